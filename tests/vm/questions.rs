//! Questions load nothing: what `groundwork doctor` and STATUS say with no module loaded, and with all of them.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{
    feature::{ALL, VRF},
    kernels::{KERNELS, Kernel},
    machine::Boot,
    matrix::all_modules,
    report::Report,
};

/// Each step with what the kernel asked of modprobe meanwhile, and the modules that were loaded then.
const PLAN: &str = r#"
. /cases.sh
ask() {
    : > /log/modprobe
    step=$1
    shift
    section "$step/run" "$@"
    section "$step/asked" cat /log/modprobe
    section "$step/after" loaded
}
status() {
    CNI_COMMAND=STATUS CNI_PATH=/bin /bin/groundwork << END
{"cniVersion": "1.1.0", "name": "vm", "type": "groundwork", "bridge": "vm0", "ipMasq": true, "isGateway": true,
 "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}
END
}
as_it_was
ask unloaded /bin/groundwork doctor --json
ask status status
for module in $modules; do /opt/modprobe "$module"; done
ask loaded /bin/groundwork doctor --json
"#;

/// A boot of each kernel.
pub(crate) fn trials() -> Vec<Trial> {
    KERNELS.iter().flat_map(on).collect()
}

fn on(kernel: &'static Kernel) -> Vec<Trial> {
    let modules: Vec<_> = ALL.iter().chain(&[VRF]).map(|feature| feature.module).collect();
    let plan = format!("modules='{}'\n{PLAN}", modules.join(" "));
    let boot = Arc::new(Boot::new(kernel, "", plan, all_modules));
    let trial = |name: &str, check: fn(&Report) -> Result<(), String>| {
        let boot = Arc::clone(&boot);
        let name = format!("{}::questions::{name}", kernel.name);
        Trial::test(name, move || boot.report().and_then(check).map_err(Failed::from))
    };
    vec![
        trial("boots", |_| Ok(())),
        trial("of_the_doctor", |report| {
            quiet(report, "unloaded")?;
            states(report, "unloaded", "loadable")?;
            nothing_loaded(report, "unloaded")
        }),
        trial("of_status", |report| {
            quiet(report, "status")?;
            report.stdout("status/run")?;
            nothing_loaded(report, "status")
        }),
        trial("with_all_loaded", |report| {
            quiet(report, "loaded")?;
            states(report, "loaded", "loaded")
        }),
    ]
}

/// The kernel called no modprobe, and neither did we.
fn quiet(report: &Report, step: &str) -> Result<(), String> {
    match report.stdout(&format!("{step}/asked"))? {
        "" => Ok(()),
        asked => Err(format!("modprobe was called: {asked}")),
    }
}

fn nothing_loaded(report: &Report, step: &str) -> Result<(), String> {
    match report.stdout(&format!("{step}/after"))? {
        "" => Ok(()),
        loaded => Err(format!("loaded: {loaded}")),
    }
}

/// Every feature is in this state.
fn states(report: &Report, step: &str, state: &str) -> Result<(), String> {
    let document: Value = serde_json::from_str(report.stdout(&format!("{step}/run"))?).map_err(|e| e.to_string())?;
    let features = document["features"].as_array().ok_or("no features")?;
    let others: Vec<_> = features.iter().filter(|feature| feature["state"] != state).collect();
    match (features.len(), &others[..]) {
        (26.., []) => Ok(()),
        (count, others) => Err(format!("of {count}, not {state}: {others:#?}")),
    }
}
