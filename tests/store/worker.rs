//! What a verb does with records and leases, in a process of its own.

use std::{
    fs,
    io::{PipeWriter, Read, pipe},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use groundwork::{
    cni::mac::Mac,
    config::{Attachment, Range, RangeSet},
    ipam::reservations::Reservations,
    store::{HostLink, Leases, Netns, Record, State, Store},
    sys::netns::NetnsId,
};

pub(crate) const FLAG: &str = "--worker";
pub(crate) const NETWORK: &str = "net";

/// A state folder, and perhaps a `dataDir` beside it.
pub(crate) struct Place {
    root: tempfile::TempDir,
    shared: bool,
}

impl Place {
    pub(crate) fn new(shared: bool) -> Self {
        Self { root: tempfile::tempdir().unwrap(), shared }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        if self.shared { self.root.path().join("data") } else { PathBuf::new() }
    }

    pub(crate) fn leases(&self) -> PathBuf {
        if self.shared { self.data_dir().join(NETWORK) } else { self.state().join(NETWORK).join("leases") }
    }

    /// A worker, to be started: its words, and before them those of a program that runs it.
    pub(crate) fn command(&self, before: &[&str], verb: &str, container: &str, last: &str) -> Command {
        let own = std::env::current_exe().unwrap();
        let mut words: Vec<PathBuf> = before.iter().map(Into::into).collect();
        words.extend([own, FLAG.into(), verb.into(), self.state(), self.data_dir(), container.into(), last.into()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a worker, and gives what it printed, or what it complained of.
    pub(crate) fn run(&self, verb: &str, container: &str, last: &str) -> Result<String, String> {
        outcome(&self.command(&[], verb, container, last).output().unwrap())
    }

    /// The files that stand for something: leases, index entries, records.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        let folders = [self.state().join(NETWORK).join("attachments"), self.leases()];
        for folder in folders.into_iter().chain(indexes(&self.leases())) {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if name != "lock" && !name.starts_with("last_reserved_ip.") && !name.starts_with(".groundwork-") {
                    left.push(name);
                }
            }
        }
        left.sort();
        left
    }
}

pub(crate) fn indexes(leases: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(leases).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(".groundwork-")).collect()
}

pub(crate) fn outcome(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{}: {}", output.status, text(&output.stderr)))
    }
}

/// Processes that start at once when the gate is opened, that is, dropped.
pub(crate) struct Gate {
    reader: std::io::PipeReader,
    _writer: PipeWriter,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let (reader, writer) = pipe().unwrap();
        Self { reader, _writer: writer }
    }

    pub(crate) fn before(&self, mut command: Command) -> Child {
        command.stdin(self.reader.try_clone().unwrap()).spawn().unwrap()
    }
}

/// The words after [`FLAG`]: verb, state folder, dataDir or nothing, container, last byte of the range's end.
pub(crate) fn run(words: impl Iterator<Item = String>) -> ExitCode {
    let words: Vec<_> = words.collect();
    let [verb, state, data_dir, container, last] = &words[..] else { panic!("{words:?}") };
    let mut worker = Worker::new(state, data_dir, container, last);
    let mut gate = Vec::new();
    std::io::stdin().read_to_end(&mut gate).unwrap();
    let done = match verb.as_str() {
        "add" | "add_after_reboot" | "add_from_the_dead" => worker.add("self"),
        "add_and_end" => worker.add(&std::process::id().to_string()),
        "del" => worker.del().map(|()| String::new()),
        "churn" => worker.churn().map(|rounds| rounds.to_string()),
        "unrecorded" => worker.del_unrecorded(),
        "full" => crate::full::run(&mut worker).map(|()| String::new()),
        _ => panic!("{verb}"),
    };
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) struct Worker {
    pub(crate) state: PathBuf,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) attachment: Attachment,
    sets: [RangeSet; 1],
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Worker {
    fn new(state: &str, data_dir: &str, container: &str, last: &str) -> Self {
        let ip = |last: &str| format!("10.1.0.{last}").parse::<IpAddr>().unwrap();
        let range = Range { subnet: "10.1.0.0/24".parse().unwrap(), start: ip("2"), end: ip(last), gateway: ip("1") };
        Self {
            state: state.into(),
            data_dir: Some(PathBuf::from(data_dir)).filter(|path| !path.as_os_str().is_empty()),
            attachment: Attachment { container_id: container.into(), ifname: "eth0".into() },
            sets: [RangeSet(vec![range])],
        }
    }

    /// As an ADD: the intent, the addresses, the addresses in the record, success. Its sandbox is the namespace of a
    /// process, gone with it; that of `self` is always there.
    pub(crate) fn add(&self, process: &str) -> Result<String, String> {
        let store = Store::open(&self.state, NETWORK).map_err(text)?;
        let lock = store.lock(&self.attachment).map_err(text)?;
        let netns = Netns { path: format!("/proc/{process}/ns/net").into(), id: NetnsId::own().map_err(text)? };
        let mut record = Record::intent(NETWORK, &self.attachment, netns, store.boot().clone());
        record.host_link = Some(HostLink { name: "veth0".into(), mac: Mac::local(1) });
        let intent = store.write(&lock, &record).map_err(text);
        let given = intent.and_then(|()| self.reserve(&store)).and_then(|address| {
            record.leases = Some(Leases { data_dir: self.data_dir.clone(), addresses: vec![address] });
            store.write(&lock, &record).map_err(text)?;
            record.state = State::Added;
            store.write(&lock, &record).map_err(text)?;
            Ok(address.to_string())
        });
        if given.is_err() {
            self.release(&store, Some(&record))?;
            store.remove(lock).map_err(text)?;
        }
        given
    }

    fn reserve(&self, store: &Store) -> Result<IpAddr, String> {
        let reservations = Reservations::open(store, self.data_dir.as_deref()).map_err(text)?;
        let mut dead = |owner: &Attachment| store.lock_if_dead(owner, |_| false).ok().flatten();
        let leases = reservations.reserve(&self.attachment, &self.sets, &[], &mut dead).map_err(text)?;
        Ok(leases[0].address.addr())
    }

    /// As a DEL, which knows nothing but the names.
    pub(crate) fn del(&self) -> Result<(), String> {
        let store = Store::existing(&self.state, NETWORK).map_err(text)?;
        let Some(store) = store else { return Ok(()) };
        let lock = store.lock_existing(&self.attachment).map_err(text)?;
        let record = store.read(&self.attachment).unwrap_or(None);
        self.release(&store, record.as_ref())?;
        lock.map_or(Ok(()), |lock| store.remove(lock)).map_err(text)
    }

    /// As a DEL of what has no record: the reference plugin made it.
    fn del_unrecorded(&self) -> Result<String, String> {
        let reservations = Reservations::existing(None, NETWORK, self.data_dir.as_deref()).map_err(text)?;
        let reservations = reservations.ok_or("no folder")?;
        Ok(format!("{:?}", reservations.release_unrecorded(&self.attachment).map_err(text)?))
    }

    fn release(&self, store: &Store, record: Option<&Record>) -> Result<(), String> {
        let found = Reservations::existing(Some(store), NETWORK, self.data_dir.as_deref()).map_err(text)?;
        let Some(reservations) = found else { return Ok(()) };
        let leases = record.and_then(|record| record.leases.as_ref());
        reservations.release(&self.attachment, leases.map_or(&[], |leases| &leases.addresses)).map_err(text)
    }

    /// ADD and DEL for two seconds, on a busy machine for three rounds at least; in between the address must stay ours.
    fn churn(&mut self) -> Result<u32, String> {
        let (end, mut rounds) = (Instant::now() + Duration::from_secs(2), 0);
        while Instant::now() < end || rounds < 3 {
            let address: IpAddr = self.add(&std::process::id().to_string())?.parse().map_err(text)?;
            sleep(Duration::from_micros(u64::from(std::process::id() + rounds) * 7919 % 3000));
            let store = Store::open(&self.state, NETWORK).map_err(text)?;
            let reservations = Reservations::open(&store, self.data_dir.as_deref()).map_err(text)?;
            if !reservations.is_held_by(&self.attachment, address).map_err(text)? {
                return Err(format!("{address} was taken from us"));
            }
            self.del()?;
            rounds += 1;
        }
        Ok(rounds)
    }
}
