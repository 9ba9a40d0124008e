//! What has to be done for a device and its peers, given what the kernel holds.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::{Change, Command, Course, Device, Entries, Foreign, Host, difference, entries, vteps};
use crate::{
    nft::ruleset::{Element, Family, Owned, Owner, Part, TABLE},
    rtnl::values::Link,
};

/// What the kernel holds of an overlay.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The link of the device's name.
    pub link: Option<Link>,
    /// Its addresses, without those that the kernel made by itself.
    pub addresses: Vec<IpNet>,
    /// Its entries.
    pub entries: Entries,
    /// From where encapsulated frames are taken, in order.
    pub admitted: Vec<Owned>,
    /// The rule that drops all others stands.
    pub is_guarded: bool,
}

/// What has to be done.
#[derive(Debug, Clone)]
pub struct Todo {
    /// About the device.
    pub course: Course,
    /// Addresses that it lacks.
    pub addresses: Vec<IpNet>,
    /// Addresses that it should not have.
    pub stale_addresses: Vec<IpNet>,
    /// About its entries.
    pub changes: Vec<Change>,
    /// VTEPs from which frames are to be taken, too.
    pub admit: Vec<Owned>,
    /// VTEPs from which they are not to be taken any more.
    pub expel: Vec<Owned>,
    /// The rule that drops what comes from others has to be put in place.
    pub guard: bool,
}

impl Todo {
    /// `network`: whose the overlay is. `peers` have been reviewed.
    ///
    /// # Errors
    /// The device's name belongs to a link that is not ours.
    pub fn new(network: &str, device: &Device, peers: &[Host], observed: &Observed) -> Result<Self, Foreign> {
        let course = device.course(observed.link.as_ref())?;
        let is_new = matches!(course, Course::Make | Course::Remake);
        let none = Entries::new();
        let present = if is_new { &none } else { &observed.entries };
        let has = |address: &IpNet| !is_new && observed.addresses.contains(address);
        let wanted = device.elements(network, &vteps(peers));
        let admitted = &observed.admitted;
        Ok(Self {
            course,
            addresses: device.addresses.iter().filter(|address| !has(address)).copied().collect(),
            stale_addresses: observed.addresses.iter().filter(|one| !device.addresses.contains(one)).copied().collect(),
            changes: difference(&entries(peers), present),
            admit: wanted.iter().filter(|one| admitted.binary_search(one).is_err()).cloned().collect(),
            expel: admitted.iter().filter(|one| wanted.binary_search(one).is_err()).cloned().collect(),
            guard: !observed.is_guarded,
        })
    }

    /// About the device alone.
    #[must_use]
    pub const fn of_device(course: Course) -> Self {
        Self {
            course,
            addresses: Vec::new(),
            stale_addresses: Vec::new(),
            changes: Vec::new(),
            admit: Vec::new(),
            expel: Vec::new(),
            guard: false,
        }
    }

    /// Whether all is right.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.course == Course::Keep
            && self.addresses.is_empty()
            && self.stale_addresses.is_empty()
            && self.changes.is_empty()
            && self.admit.is_empty()
            && self.expel.is_empty()
            && !self.guard
    }
}

impl Device {
    /// The part of the rules that takes frames from admitted VTEPs only.
    #[must_use]
    pub const fn guard(&self) -> Part {
        Part::Vteps { family: Family::of(self.local), port: self.port, vni: self.vni }
    }

    /// The elements that admit these VTEPs, in order if those are.
    #[must_use]
    pub fn elements(&self, network: &str, vteps: &[IpAddr]) -> Vec<Owned> {
        let owner = Owner::network(network);
        let element = |vtep: &IpAddr| Element::Vtep { vtep: *vtep, port: self.port, vni: self.vni };
        vteps.iter().map(|vtep| Owned { element: element(vtep), owner: owner.clone() }).collect()
    }
}

impl fmt::Display for Todo {
    /// In words, as of what was done.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let puts = self.changes.iter().filter(|change| matches!(change, Change::Put(..))).count();
        let device = match self.course {
            Course::Make => "device made",
            Course::Remake => "device made anew",
            Course::Change(_) => "device changed",
            Course::Keep => "",
        };
        let counted = |count: usize, words: &str| if count == 0 { String::new() } else { format!("{count} {words}") };
        let parts = [
            device.to_owned(),
            counted(puts, "entries made"),
            counted(self.changes.len() - puts, "entries removed"),
            counted(self.admit.len(), "peers let in"),
            counted(self.expel.len(), "peers kept out"),
            if self.guard { "guarded against strangers".to_owned() } else { String::new() },
        ];
        let done: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        f.write_str(&if done.is_empty() { "all was right".to_owned() } else { done.join(", ") })
    }
}

/// What is to do as the commands that a person would type, one a line.
pub struct Script<'a>(pub &'a Device, pub &'a Todo);

impl fmt::Display for Script<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(device, todo) = self;
        let name = &device.name;
        if todo.guard {
            writeln!(f, "{}", device.guard())?;
        }
        todo.admit.iter().try_for_each(|element| writeln!(f, "nft {element}"))?;
        if todo.course == Course::Remake {
            writeln!(f, "ip link del {name}")?;
        }
        match todo.course {
            Course::Make | Course::Remake => writeln!(f, "{device}")?,
            Course::Change(settings) if settings.is_empty() => writeln!(f, "ip link set {name} up")?,
            Course::Change(settings) => writeln!(f, "ip link set {name} {settings} up")?,
            Course::Keep => {}
        }
        if matches!(todo.course, Course::Keep | Course::Change(_)) {
            todo.addresses.iter().try_for_each(|address| writeln!(f, "ip addr add {address} dev {name}"))?;
            todo.stale_addresses.iter().try_for_each(|address| writeln!(f, "ip addr del {address} dev {name}"))?;
        }
        todo.changes.iter().try_for_each(|change| writeln!(f, "{}", Command(name, change)))?;
        todo.expel.iter().try_for_each(|owned| {
            let element = owned.element;
            writeln!(f, "nft delete element {} {TABLE} {} '{{ {element} }}'", element.part().table(), element.set())
        })
    }
}
