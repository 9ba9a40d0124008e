//! Transactions on elements.

use std::{thread, time::Duration};

use groundwork::nft::{
    ruleset::{Element, LinkName, Owned, Owner, Protocol},
    socket::Base,
};

use super::{masquerade, nft};
use crate::support::{eventually, in_new_netns, sh};

/// As the kernel room leaves it: while many at once make the kernel load a module, some are told that there is none.
fn with_modules() {
    assert!(eventually(Duration::from_secs(10), || nft().add(&everything(0)).is_ok()));
    sh("nft flush ruleset");
}

fn rules() -> usize {
    sh("nft list table inet groundwork").lines().filter(|line| line.trim_end().ends_with("masquerade")).count()
}

#[test]
fn elements_are_added_found_listed_and_deleted() {
    in_new_netns(|| {
        let (one, two) = (masquerade("10.22.0.5/24", "net/one/eth0"), masquerade("fd00::5/64", "net/two/eth0"));
        let mut nft = nft();
        assert_eq!(nft.list().unwrap(), vec![]);
        assert!(!nft.contains(&one[0]).unwrap());
        nft.delete(&one).unwrap();
        assert_eq!(sh("nft list ruleset"), "", "asking and deleting make nothing");

        nft.add(&one).unwrap();
        nft.add(&two).unwrap();
        nft.add(&two).unwrap();
        assert!(one.iter().chain(&two).all(|owned| nft.contains(owned).unwrap()));
        let mut listed = nft.list().unwrap();
        listed.sort_unstable();
        let mut all = [one.clone(), two.clone()].concat();
        all.sort_unstable();
        assert_eq!(listed, all);

        nft.delete(&one).unwrap();
        nft.delete(&one).unwrap();
        assert!(!one.iter().any(|owned| nft.contains(owned).unwrap()));
        nft.delete(&[one.clone(), two.clone()].concat()).unwrap();
        assert_eq!(nft.list().unwrap(), vec![]);
    });
}

#[test]
fn a_key_is_its_last_owners() {
    in_new_netns(|| {
        let (first, second) = (masquerade("10.22.0.5/24", "net/one/eth0"), masquerade("10.22.0.5/24", "net/two/eth0"));
        let mut nft = nft();
        nft.add(&first).unwrap();
        nft.add(&second).unwrap();
        assert!(second.iter().all(|owned| nft.contains(owned).unwrap()));
        assert!(!first.iter().any(|owned| nft.contains(owned).unwrap()));
        nft.delete(&first).unwrap();
        assert!(second.iter().all(|owned| nft.contains(owned).unwrap()), "a late DEL takes nothing of another");
        sh("nft add element inet groundwork masq4_24 '{ 10.22.0.7 }'");
        let typed = Owned { element: Element::Masquerade("10.22.0.7/24".parse().unwrap()), owner: Owner::default() };
        assert!(nft.contains(&typed).unwrap());
        assert!(nft.list().unwrap().contains(&typed));
    });
}

#[test]
fn owners_of_any_length_are_found_again() {
    in_new_netns(|| {
        let owner = Owner::attachment(&"n".repeat(200), &"c".repeat(250), "a23456789012345");
        let element = Element::Masquerade("10.22.0.5/24".parse().unwrap());
        let owned = Owned { element, owner };
        let mut nft = nft();
        nft.add(std::slice::from_ref(&owned)).unwrap();
        assert_eq!(nft.list().unwrap(), vec![owned.clone()]);
        // nft refuses longer comments than it prints: a saved ruleset must be one that can be restored.
        sh(
            "nft list ruleset > $TMPDIR/saved.nft 2>/dev/null || true; nft list ruleset | (sleep 0.1; nft flush ruleset; nft -f -)",
        );
        assert_eq!(nft.list().unwrap(), vec![owned]);
    });
}

#[test]
fn what_others_flush_comes_back_with_the_next_add() {
    in_new_netns(|| {
        let one = masquerade("10.22.0.5/24", "net/one/eth0");
        let two = masquerade("10.22.0.6/24", "net/two/eth0");
        let mut nft = nft();
        let mut after = |damage: &str, expected: Base| {
            nft.add(&one).unwrap();
            assert_eq!(nft.base(one.iter().map(|owned| &owned.element)).unwrap(), Base::Current);
            sh(damage);
            assert_eq!(nft.base(one.iter().map(|owned| &owned.element)).unwrap(), expected, "{damage}");
            nft.add(&two).unwrap();
            assert_eq!(nft.base(one.iter().map(|owned| &owned.element)).unwrap(), Base::Current, "{damage}");
            assert_eq!(rules(), 1, "{damage}");
            nft.contains(&one[0]).unwrap()
        };
        assert!(!after("nft flush ruleset", Base::Absent));
        assert!(!after("nft delete table inet groundwork", Base::Absent));
        assert!(after("nft flush chain inet groundwork masq4_24", Base::Absent), "elements stay");
        assert!(after("nft insert rule inet groundwork masq4_24 accept", Base::Outdated));
        assert!(after("nft add rule inet groundwork masq4_24 ip saddr @masq4_24 masquerade", Base::Outdated));
        assert!(after(
            "nft replace rule inet groundwork masq4_24 handle \
             $(nft -a list chain inet groundwork masq4_24 | sed -n 's/.*multi.*//; s/.*224.*handle //p') \
             ip daddr 225.0.0.0/8 return",
            Base::Outdated
        ));
        assert!(after("nft delete chain inet groundwork masq4_24", Base::Absent));
    });
}

#[test]
fn fifty_first_uses_at_once_make_the_rules_once() {
    in_new_netns(|| {
        with_modules();
        let netns = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        thread::scope(|scope| {
            for index in 0..50u8 {
                let netns = &netns;
                scope.spawn(move || {
                    nix::sched::setns(netns, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                    let owner = format!("net/{index}/eth0");
                    let v4 = masquerade(&format!("10.22.0.{}/24", index + 2), &owner);
                    let v6 = masquerade(&format!("fd00::{}/64", index + 2), &owner);
                    nft().add(&[v4, v6].concat()).unwrap();
                });
            }
        });
        assert_eq!(nft().list().unwrap().len(), 200);
        assert_eq!(rules(), 2);
    });
}

/// Both families, a port each, an isolated bridge, a checked link.
fn everything(index: u16) -> Vec<Owned> {
    let mut elements = Vec::new();
    for address in [format!("10.22.{index}.5/16"), format!("fd00::{index}/64")] {
        let address: ipnet::IpNet = address.parse().unwrap();
        elements.extend(Element::masquerade(address));
        elements.extend(Element::host_port(None, Protocol::Tcp, 1000 + index, (address.addr(), 80).into()));
        elements.extend(Element::host_port_sources(address, false));
    }
    let [bridge, port] = ["br0", &format!("veth{index}")].map(|name| LinkName::new(name).unwrap());
    elements.extend([Element::IsolatedBridge(bridge), Element::CheckedLink(port)]);
    let owner = Owner::from(&*format!("net/{index}/eth0"));
    elements.into_iter().map(|element| Owned::new(element, &owner)).collect()
}

#[test]
fn a_hundred_attachments_with_everything_at_once() {
    in_new_netns(|| {
        with_modules();
        let netns = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        thread::scope(|scope| {
            for index in 0..100 {
                let netns = &netns;
                scope.spawn(move || {
                    nix::sched::setns(netns, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                    let elements = everything(index);
                    for _ in 0..5 {
                        nft().add(&elements).unwrap();
                        nft().delete(&elements).unwrap();
                    }
                    nft().add(&elements).unwrap();
                });
            }
        });
        let elements = everything(0);
        assert_eq!(nft().base(elements.iter().map(|owned| &owned.element)).unwrap(), Base::Current);
        // All but the bridge's, which they share.
        assert_eq!(nft().list().unwrap().len(), (elements.len() - 1) * 100 + 1);
        let chains = sh("nft list ruleset").lines().filter(|line| line.trim_start().starts_with("chain ")).count();
        assert_eq!(chains, 2 + 4 + 3 + 3 + 1 + 1);
    });
}

#[test]
fn whoever_flushes_meanwhile_nobody_fails() {
    in_new_netns(|| {
        let netns = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let enter = || nix::sched::setns(&netns, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        thread::scope(|scope| {
            for index in 0..6u8 {
                scope.spawn(move || {
                    enter();
                    let mut nft = nft();
                    let own = masquerade(&format!("10.22.0.{}/24", index + 2), &format!("net/{index}/eth0"));
                    for _ in 0..100 {
                        nft.add(&own).unwrap();
                        nft.list().unwrap();
                        nft.delete(&own).unwrap();
                    }
                });
            }
            scope.spawn(|| {
                enter();
                for command in ["flush ruleset", "delete table inet groundwork", "flush chain inet groundwork masq4_24"]
                {
                    sh(&format!("for i in 1 2 3 4 5 6 7 8 9 10; do nft {command} 2>/dev/null; done; true"));
                }
            });
        });
        nft().add(&masquerade("10.22.0.2/24", "net/0/eth0")).unwrap();
        assert_eq!((nft().list().unwrap().len(), rules()), (2, 1));
    });
}

#[test]
fn lists_are_whole_while_others_add_and_delete() {
    in_new_netns(|| {
        let netns = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let address = |index: usize| format!("10.{}.{}.5/24", index / 250, index % 250);
        let stay: Vec<_> = (0..2000).flat_map(|index| masquerade(&address(index), "net/stay/eth0")).collect();
        nft().add(&stay).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            for thread in 0..4 {
                let (netns, done) = (&netns, &done);
                scope.spawn(move || {
                    nix::sched::setns(netns, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                    let mut nft = nft();
                    let comes_and_goes = masquerade(&address(3000 + thread), "net/goes/eth0");
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        nft.add(&comes_and_goes).unwrap();
                        nft.delete(&comes_and_goes).unwrap();
                    }
                });
            }
            let mut nft = nft();
            let lists: Vec<_> = (0..20).map(|_| nft.list()).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            for listed in lists {
                let mut listed = listed.unwrap();
                listed.retain(|owned| owned.owner == Owner::from("net/stay/eth0"));
                let count = listed.len();
                listed.dedup();
                assert_eq!((listed.len(), count), (4000, 4000));
            }
        });
    });
}

#[test]
fn two_hundred_networks_share_the_rules() {
    in_new_netns(|| {
        let mut nft = nft();
        for index in 0..200 {
            nft.add(&masquerade(&format!("10.{index}.0.5/24"), &format!("net{index}/ctr/eth0"))).unwrap();
        }
        // Networks may lie in each other, and one address in two of them: the later one has it.
        nft.add(&masquerade("10.0.0.6/8", "wide/ctr/eth0")).unwrap();
        nft.add(&masquerade("10.7.0.5/24", "late/ctr/eth0")).unwrap();
        assert_eq!((nft.list().unwrap().len(), rules()), (402, 2));
        let mut of_late = nft.list().unwrap();
        of_late.retain(|owned| owned.owner.is_of("late"));
        assert_eq!(of_late.len(), 2);
    });
}

#[test]
fn a_thousand_elements_go_in_one_transaction_and_come_back() {
    in_new_netns(|| {
        let address = |index: usize| format!("10.{}.{}.5/24", index / 250, index % 250);
        let all: Vec<_> =
            (0..500).flat_map(|index| masquerade(&address(index), &format!("net/{index}/eth0"))).collect();
        let mut nft = nft();
        nft.add(&all).unwrap();
        assert_eq!(nft.list().unwrap().len(), 1000);
        nft.add(&all).unwrap(); // every key is taken
        let mut listed = nft.list().unwrap();
        listed.sort_unstable();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert_eq!(listed, sorted);
        nft.delete(&all).unwrap();
        assert_eq!(nft.list().unwrap(), vec![]);
    });
}
