use super::*;

struct Recorder<'a> {
    name: LoaderName,
    log: &'a std::cell::RefCell<Vec<String>>,
}

impl Loader for Recorder<'_> {
    fn name(&self) -> LoaderName {
        self.name
    }

    fn load(&mut self, module: &ModuleName) -> Outcome {
        self.log.borrow_mut().push(format!("{} {module}", name(self.name)));
        Outcome::Asked
    }
}

/// Runs the chain with two loaders and a judge that says yes from its `yes`th call on; returns the order of events.
fn order(yes: usize) -> (Result<Loaded, NotLoaded<usize>>, Vec<String>) {
    let log = std::cell::RefCell::new(Vec::new());
    let mut calls = 0;
    let modules = ["a", "b"].map(|name| ModuleName::new(name).unwrap());
    let result = load_modules(
        || {
            calls += 1;
            log.borrow_mut().push("is_loaded".to_owned());
            if calls >= yes { Ok(()) } else { Err(calls) }
        },
        &modules,
        &mut [
            &mut Recorder { name: LoaderName::Ioctl, log: &log },
            &mut Recorder { name: LoaderName::Modprobe, log: &log },
        ],
    );
    (result, log.into_inner())
}

#[test]
fn nothing_is_loaded_when_it_is_loaded_already() {
    let (result, log) = order(1);
    assert_eq!(result, Ok(Loaded::default()));
    assert_eq!(log, ["is_loaded"]);
}

#[test]
fn each_loader_is_tried_for_every_module_before_the_question_and_the_next_loader() {
    let (result, log) = order(2);
    assert_eq!(result.unwrap().by(), Some(LoaderName::Ioctl));
    assert_eq!(log, ["is_loaded", "ioctl a", "ioctl b", "is_loaded"]);
    let (result, log) = order(3);
    assert_eq!(result.unwrap().by(), Some(LoaderName::Modprobe));
    assert_eq!(log, ["is_loaded", "ioctl a", "ioctl b", "is_loaded", "modprobe a", "modprobe b", "is_loaded"]);
}

#[test]
fn the_last_answer_is_the_result_and_the_attempts_come_with_it() {
    let (result, log) = order(99);
    let error = result.unwrap_err();
    assert_eq!(error.answer, 3, "the third answer is the last");
    assert_eq!(error.attempts.len(), 4);
    assert_eq!(log.len(), 7);
}
