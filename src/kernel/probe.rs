//! Asking the kernel whether a feature is there. No question leaves anything behind.
//!
//! A question is *passive* when it cannot make the kernel load a module. Link kinds, filesystems and files are asked
//! about passively; for the rest the lists of modules say whether the function may be asked without loading anything.
//! A list alone never proves a function that can be asked.

mod link;
mod nft;
mod traffic;
mod vlan;

use std::{
    collections::{HashMap, HashSet},
    ffi::CString,
    fs,
    path::Path,
};

use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use nix::errno::Errno;

use self::nft::Part;
use super::{
    feature::{self, Feature, FeatureRef, NftFamily, Probe},
    modules::{ModuleState, Modules},
};
use crate::{
    nft::ruleset::TABLE,
    sys::{
        filesystem,
        netlink::{Channel, Refusal},
    },
};

/// The module that answers what a table holds.
const NF_TABLES: &str = "nf_tables";

/// What is known of a feature after a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is there.
    Present,
    /// It is not, and this is what the kernel said, if it was asked.
    Absent(Option<Refusal>),
    /// The question could not be asked, or has no answer: lists that are not there, a capability that we lack.
    Unknown(Option<Refusal>),
}

impl Answer {
    /// Whether it is [`Answer::Present`].
    #[must_use]
    pub fn is_present(&self) -> bool {
        *self == Self::Present
    }

    /// What the kernel said, when it refused.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Present => None,
            Self::Absent(refusal) | Self::Unknown(refusal) => refusal.as_ref(),
        }
    }
}

/// Asks questions over one socket per protocol.
pub struct Prober {
    modules: Modules,
    route: Option<Channel>,
    netfilter: Option<Channel>,
    /// Parts of nf_tables, with their modules, to ask for together: a batch costs the same for one as for all.
    together: Vec<(Part, &'static str)>,
    parts: HashMap<Part, Answer>,
    /// Whether nf_tables answered, and what our table's sets prove.
    tables: HashMap<NftFamily, (Answer, Vec<&'static Feature>)>,
    proven: HashSet<String>,
}

impl Prober {
    /// A prober that will be asked about `features`.
    pub fn new<'a>(features: impl IntoIterator<Item = &'a FeatureRef>) -> Self {
        Self {
            modules: Modules::default(),
            route: None,
            netfilter: None,
            together: features.into_iter().filter_map(known_part).collect(),
            parts: HashMap::new(),
            tables: HashMap::new(),
            proven: HashSet::new(),
        }
    }

    /// What the lists of modules say.
    #[must_use]
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// Whether `feature` is there, by questions that load nothing.
    pub fn passive(&mut self, feature: &FeatureRef) -> Answer {
        if self.proven.contains(feature.name()) {
            return Answer::Present;
        }
        let answer = match feature.probe() {
            Probe::Link(kind) => self.link(kind),
            Probe::VlanFiltering => self.vlan_filtering(),
            Probe::Filesystem(kind) => listed_filesystem(kind),
            Probe::File(path) => file(path),
            Probe::Listed => self.listed(feature.telling_module()),
            Probe::NfTables
            | Probe::NftExpression { .. }
            | Probe::NftChain { .. }
            | Probe::Conntrack
            | Probe::Qdisc(_)
            | Probe::Action(_)
            | Probe::Classifier(_) => self.gated(feature),
        };
        self.remember(feature, answer)
    }

    /// Whether `feature` is there, by the question that makes the kernel load it if it can. For features without such
    /// a question, the passive one.
    pub fn active(&mut self, feature: &FeatureRef) -> Answer {
        let answer = match feature.probe() {
            Probe::Link(kind) => with(&mut self.route, NETLINK_ROUTE, |channel| link::active(channel, kind)),
            Probe::Filesystem(kind) => open_filesystem(kind),
            Probe::VlanFiltering | Probe::File(_) | Probe::Listed => self.passive(feature),
            _ => self.function(feature),
        };
        self.remember(feature, answer)
    }

    /// Looks again: something may have been loaded. What was present stays so.
    pub fn forget(&mut self) {
        self.modules.forget();
        self.parts.retain(|_, answer| answer.is_present());
        self.tables.retain(|_, (answer, _)| answer.is_present());
    }

    fn remember(&mut self, feature: &FeatureRef, answer: Answer) -> Answer {
        if answer.is_present() {
            self.proven.insert(feature.name().to_owned());
        }
        answer
    }

    /// The function is asked when that loads nothing: its module is there already, or nothing can be loaded.
    fn gated(&mut self, feature: &FeatureRef) -> Answer {
        let module = feature.telling_module();
        if part(feature.probe()).is_some_and(|part| self.in_our_table(feature, part)) {
            return Answer::Present;
        }
        if self.loads_nothing(module) {
            return self.function(feature);
        }
        match self.modules.state(module) {
            ModuleState::Absent => Answer::Absent(None),
            _ => Answer::Unknown(None),
        }
    }

    fn function(&mut self, feature: &FeatureRef) -> Answer {
        match feature.probe() {
            Probe::NfTables => self.table(NftFamily::Inet).0.clone(),
            Probe::Conntrack => with(&mut self.netfilter, NETLINK_NETFILTER, nft::conntrack),
            Probe::Qdisc(kind) => with(&mut self.route, NETLINK_ROUTE, |channel| traffic::qdisc(channel, kind)),
            Probe::Action(kind) => with(&mut self.route, NETLINK_ROUTE, |channel| traffic::action(channel, kind)),
            Probe::Classifier(kind) => self.classifier(kind, feature.telling_module()),
            probe => match part(probe) {
                Some(part) => self.part(part),
                None => Answer::Unknown(None),
            },
        }
    }

    /// The kernel loads a classifier when asked, and answers the same whether it has it: the lists tell, and where
    /// there are none, its use will.
    fn classifier(&mut self, kind: &str, module: &str) -> Answer {
        let asked = with(&mut self.route, NETLINK_ROUTE, |channel| traffic::classifier(channel, kind));
        self.modules.forget();
        match self.modules.state(module) {
            ModuleState::Absent if asked.is_present() => Answer::Absent(None),
            _ => asked,
        }
    }

    fn link(&mut self, kind: &str) -> Answer {
        self.dump(|channel| link::passive(channel, kind))
    }

    fn vlan_filtering(&mut self) -> Answer {
        self.dump(vlan::filtering)
    }

    /// Asks by a dump, which may leave the channel unusable: false beside the answer.
    fn dump(&mut self, ask: impl FnOnce(&mut Channel) -> (Answer, bool)) -> Answer {
        let mut usable = true;
        let answer = with(&mut self.route, NETLINK_ROUTE, |channel| {
            let (answer, over) = ask(channel);
            usable = over;
            answer
        });
        if !usable {
            self.route = None;
        }
        answer
    }

    fn listed(&self, module: &str) -> Answer {
        match self.modules.state(module) {
            ModuleState::Live | ModuleState::BuiltIn => Answer::Present,
            ModuleState::Absent => Answer::Absent(None),
            ModuleState::Unknown => Answer::Unknown(None),
        }
    }

    /// Rules of ours that are in place prove what they are made of: who sees them need not ask for each part.
    fn in_our_table(&mut self, feature: &FeatureRef, part: Part) -> bool {
        let (Part::Expression(family, _) | Part::Chain(family, _)) = part;
        let safe = self.tables.contains_key(&family) || self.loads_nothing(NF_TABLES);
        safe && self.table(family).1.iter().any(|proven| proven.name == feature.name())
    }

    fn table(&mut self, family: NftFamily) -> &(Answer, Vec<&'static Feature>) {
        self.tables.entry(family).or_insert_with(|| {
            let mut names = Vec::new();
            let answer = with(&mut self.netfilter, NETLINK_NETFILTER, |channel| {
                let (answer, found) = nft::sets(channel, family, TABLE);
                names = found;
                answer
            });
            (answer, feature::proven_by_sets(family, &names))
        })
    }

    /// Asks for a part and, in the same batch, for those others that are safe to ask for: the kernel repeats a batch
    /// for each module that it loads, and each time asks modprobe for all of them again.
    fn part(&mut self, part: Part) -> Answer {
        if !self.parts.contains_key(&part) {
            let others = self.together.iter().filter(|(other, module)| {
                *other != part && !self.parts.contains_key(other) && self.loads_nothing(module)
            });
            let asked: Vec<Part> = std::iter::once(part).chain(others.map(|(other, _)| *other)).collect();
            let answers = match channel(&mut self.netfilter, NETLINK_NETFILTER) {
                Ok(channel) => nft::parts(channel, &asked),
                Err(answer) => vec![answer; asked.len()],
            };
            self.parts.extend(asked.into_iter().zip(answers));
        }
        self.parts.get(&part).cloned().unwrap_or(Answer::Unknown(None))
    }

    /// Whether asking for what `module` brings can make the kernel load nothing.
    fn loads_nothing(&self, module: &str) -> bool {
        matches!(self.modules.state(module), ModuleState::Live | ModuleState::BuiltIn) || !self.modules.can_autoload()
    }
}

fn known_part(feature: &FeatureRef) -> Option<(Part, &'static str)> {
    let FeatureRef::Known(known) = feature else { return None };
    Some((part(known.probe)?, known.modules.last()?))
}

fn part(probe: Probe) -> Option<Part> {
    match probe {
        Probe::NftExpression { family, name } => Some(Part::Expression(family, name)),
        Probe::NftChain { family, name } => Some(Part::Chain(family, name)),
        _ => None,
    }
}

fn with(slot: &mut Option<Channel>, protocol: isize, ask: impl FnOnce(&mut Channel) -> Answer) -> Answer {
    match channel(slot, protocol) {
        Ok(channel) => ask(channel),
        Err(answer) => answer,
    }
}

fn channel(slot: &mut Option<Channel>, protocol: isize) -> Result<&mut Channel, Answer> {
    if slot.is_none() {
        *slot = Some(Channel::open(protocol).map_err(|errno| match errno {
            Errno::EPROTONOSUPPORT => Answer::Absent(Some(errno.into())),
            errno => Answer::Unknown(Some(errno.into())),
        })?);
    }
    slot.as_mut().ok_or(Answer::Unknown(None))
}

/// A line of /proc/filesystems is `[nodev]<TAB>kind`.
fn listed_filesystem(kind: &str) -> Answer {
    match fs::read_to_string("/proc/filesystems") {
        Ok(text) if text.lines().any(|line| line.rsplit('\t').next() == Some(kind)) => Answer::Present,
        Ok(_) => Answer::Absent(None),
        Err(error) => Answer::Unknown(refusal(&error)),
    }
}

fn open_filesystem(kind: &str) -> Answer {
    let Ok(name) = CString::new(kind) else { return Answer::Unknown(None) };
    match filesystem::open(&name) {
        Ok(_) => Answer::Present,
        Err(errno) => match listed_filesystem(kind) {
            Answer::Absent(None) => Answer::Absent(Some(errno.into())),
            answer => answer,
        },
    }
}

fn file(path: &str) -> Answer {
    match Path::new(path).try_exists() {
        Ok(true) => Answer::Present,
        Ok(false) => Answer::Absent(None),
        Err(error) => Answer::Unknown(refusal(&error)),
    }
}

fn refusal(error: &std::io::Error) -> Option<Refusal> {
    Some(Errno::from_raw(error.raw_os_error()?).into())
}
