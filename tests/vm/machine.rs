//! One virtual machine: a kernel, a root folder and a plan in, a report out.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    initrd::Initrd,
    kernels::{Kernel, Unpacked},
    report::Report,
};

/// A boot that is due: its first reader runs it, the others share its report.
pub(crate) struct Boot {
    kernel: &'static Kernel,
    /// More for the kernel's command line.
    options: &'static str,
    /// More for qemu's.
    machine: &'static [&'static str],
    plan: String,
    fill: fn(&Initrd, &Unpacked) -> Result<(), String>,
    report: OnceLock<Result<Report, String>>,
}

/// A boot takes seconds, on a machine with nothing else to do; one that hangs is ended after this.
const PATIENCE: Duration = Duration::from_secs(600);

/// Words of a kernel in trouble.
const COMPLAINTS: [&str; 4] = ["BUG:", "WARNING:", "Oops", "Kernel panic"];

/// The kernel's command line. Its watchdogs would take a busy machine of ours for a fault of its own.
const COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nowatchdog \
     rcupdate.rcu_cpu_stall_suppress=1";

impl Boot {
    /// `plan` is shell, run after `lib.sh`; `fill` puts modules and programs into the root folder.
    pub(crate) fn new(
        kernel: &'static Kernel,
        options: &'static str,
        plan: String,
        fill: fn(&Initrd, &Unpacked) -> Result<(), String>,
    ) -> Self {
        Self { kernel, options, machine: &[], plan, fill, report: OnceLock::new() }
    }

    /// The same on a machine with more.
    pub(crate) fn with(self, machine: &'static [&'static str]) -> Self {
        Self { machine, ..self }
    }

    /// The report, from a boot that ran to its end.
    ///
    /// # Errors
    /// What stopped it, with the end of the console's log; the same again at each call.
    pub(crate) fn report(&self) -> Result<&Report, String> {
        self.report.get_or_init(|| self.run()).as_ref().map_err(Clone::clone)
    }

    fn run(&self) -> Result<Report, String> {
        let kernel = self.kernel.unpacked()?;
        let folder = TempDir::new().map_err(|e| format!("temporary folder: {e}"))?;
        let initrd = Initrd::new()?;
        (self.fill)(&initrd, kernel)?;
        initrd.text("/plan", &self.plan)?;
        initrd.pack(&folder.path().join("initrd"))?;
        let ended = self.emulate(kernel, folder.path());
        let read = |name| {
            fs::read(folder.path().join(name)).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
        };
        let (console, report) = (read("console"), Report::parse(&read("report")));
        let complaint = console.lines().find(|line| COMPLAINTS.iter().any(|words| line.contains(words)));
        let problems = [ended.err(), complaint.map(|line| format!("the kernel complained: {line}"))];
        let problems: Vec<_> = problems.into_iter().flatten().chain(report.as_ref().err().cloned()).collect();
        match (&problems[..], report) {
            ([], Ok(report)) => Ok(report),
            _ => Err(format!("{}\nconsole:\n{}", problems.join("\n"), tail(&console))),
        }
    }

    fn emulate(&self, kernel: &Unpacked, folder: &Path) -> Result<(), String> {
        let file = |name: &str| format!("file:{}", folder.join(name).display());
        let mut child = Command::new("qemu-system-x86_64")
            // TCG's cmpxchg16b now and then spoils the flags: kernels do without when the processor does.
            .args(["-cpu", "qemu64,-cx16"])
            .args(["-accel", "tcg", "-m", "512", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
            .arg("-kernel")
            .arg(kernel.image())
            .arg("-initrd")
            .arg(folder.join("initrd"))
            .arg("-append")
            .arg(format!("{COMMAND_LINE} {}", self.options))
            .args(["-serial", &file("console"), "-serial", &file("report")])
            .args(self.machine)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|e| format!("qemu-system-x86_64: {e} (see tests/vm/packages)"))?;
        let ended = wait(&mut child);
        // Of no use when it has ended; whatever happened, nothing of ours runs on.
        let _ = child.kill();
        let _ = child.wait();
        ended
    }
}

fn wait(child: &mut Child) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("qemu-system-x86_64: {status}")),
            Err(e) => return Err(format!("qemu-system-x86_64: {e}")),
        }
    }
    Err(format!("the guest did not end within {} s", PATIENCE.as_secs()))
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
