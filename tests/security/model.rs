//! The document and the trials name each other.

use std::{fs, path::Path};

/// `suite::module::trial` of each line of the threat model.
fn named() -> Vec<String> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md")).unwrap();
    let (_, model) = page.split_once("| from whom |").unwrap();
    let lines = model.lines().skip(2).take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let last = line.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap();
            let trials: Vec<_> = last.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            assert!(!trials.is_empty(), "a line without a trial: {line}");
            trials
        })
        .collect::<Vec<_>>()
        .concat()
}

#[test]
fn each_line_names_trials_that_exist() {
    let trials = named();
    assert!(trials.len() > 10, "{trials:?}");
    for trial in trials {
        let (folder, name) = trial.split_once("::").unwrap();
        let (file, function) = name.rsplit_once("::").unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(match folder {
            "unit" => format!("src/{}.rs", file.replace("::", "/")),
            suite => format!("tests/{suite}/{file}.rs"),
        });
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{trial}: {}: {error}", path.display()));
        assert!(source.contains(&format!("fn {function}(")), "{trial}: no such function in {}", path.display());
    }
}
