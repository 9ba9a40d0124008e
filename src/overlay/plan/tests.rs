#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::{
    cni::mac::Mac,
    config::{Engine, OverlayConfig, Underlay},
    rtnl::values::{Link, LinkKind},
};

fn host(node: &str, subnet: &str, vtep: &str) -> Host {
    let vtep: IpAddr = vtep.parse().unwrap();
    Host { node: node.into(), subnets: vec![subnet.parse().unwrap()], vtep, mac: derived_mac(vtep) }
}

fn networks() -> Vec<IpNet> {
    vec!["10.244.0.0/16".parse().unwrap()]
}

fn own() -> Host {
    host("a", "10.244.1.0/24", "192.0.2.1")
}

fn reason(candidate: Host) -> Option<Reason> {
    let review = review(&own(), &networks(), [host("b", "10.244.2.0/24", "192.0.2.2"), candidate]);
    assert_eq!(review.accepted[0].node, "b");
    assert!(review.accepted.len() + review.refused.len() <= 2);
    review.refused.into_iter().next().map(|refused| refused.reason)
}

#[test]
fn records_are_read_with_and_without_a_mac() {
    let text = r#"{"node": "b", "subnets": ["10.244.2.0/24"], "vtep": "192.0.2.2"}"#;
    let read: Host = serde_json::from_str(text).unwrap();
    assert_eq!(read, host("b", "10.244.2.0/24", "192.0.2.2"));
    assert_eq!(read.mac.to_string(), "02:67:c0:00:02:02");
    let written = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<Host>(&written).unwrap(), read);
    let text = r#"{"node": "b", "subnets": [], "vtep": "2001:db8::2", "mac": "02:00:00:00:00:07"}"#;
    assert_eq!(serde_json::from_str::<Host>(text).unwrap().mac, Mac([2, 0, 0, 0, 0, 7]));
    let derived = derived_mac("2001:db8::2".parse().unwrap());
    assert_eq!(derived.0[0], 2);
    assert_ne!(derived, derived_mac("2001:db8::3".parse().unwrap()));
}

#[test]
fn a_record_that_cannot_be_true_is_refused() {
    assert_eq!(reason(host("c", "10.244.3.0/24", "192.0.2.3")), None);
    let kind = |candidate| reason(candidate).unwrap().to_string();
    let with_subnets = |subnets: [&str; 2]| Host {
        subnets: subnets.map(|subnet| subnet.parse().unwrap()).into(),
        ..host("c", "10.244.3.0/24", "192.0.2.3")
    };
    for (candidate, said) in [
        (host("", "10.244.3.0/24", "192.0.2.3"), "no name"),
        (host("b", "10.244.3.0/24", "192.0.2.3"), "has its name"),
        (host("a", "10.244.3.0/24", "192.0.2.3"), "speaks of this host"),
        (host("c", "10.244.3.1/24", "192.0.2.3"), "host bits"),
        (host("c", "10.245.3.0/24", "192.0.2.3"), "not inside"),
        (host("c", "10.0.0.0/8", "192.0.2.3"), "not inside"),
        (host("c", "10.244.1.128/25", "192.0.2.3"), "overlaps that of \"a\""),
        (host("c", "10.244.0.0/16", "192.0.2.3"), "overlaps that of"),
        (host("c", "10.244.2.0/23", "192.0.2.3"), "overlaps that of \"b\""),
        (host("c", "10.244.3.0/24", "127.0.0.1"), "no address that a host can have"),
        (host("c", "10.244.3.0/24", "224.0.0.1"), "no address that a host can have"),
        (host("c", "10.244.3.0/24", "0.0.0.0"), "no address that a host can have"),
        (host("c", "10.244.3.0/24", "10.244.9.9"), "inside the overlay itself"),
        (host("c", "10.244.3.0/24", "2001:db8::3"), "family"),
        (host("c", "10.244.3.0/24", "192.0.2.1"), "is that of \"a\""),
        (host("c", "10.244.3.0/24", "192.0.2.2"), "is that of \"b\""),
        (Host { subnets: vec![], ..host("c", "10.244.3.0/24", "192.0.2.3") }, "names no subnet"),
        (Host { mac: Mac([1, 0, 0, 0, 0, 1]), ..host("c", "10.244.3.0/24", "192.0.2.3") }, "hardware address"),
        (Host { mac: Mac([3, 0, 0, 0, 0, 1]), ..host("c", "10.244.3.0/24", "192.0.2.3") }, "hardware address"),
        (with_subnets(["10.244.4.0/24", "10.244.4.128/25"]), "overlaps that of \"c\""),
        (with_subnets(["10.244.4.128/25", "10.244.4.0/24"]), "overlaps that of \"c\""),
        (Host { mac: own().mac, ..host("c", "10.244.3.0/24", "192.0.2.3") }, "is that of \"a\""),
    ] {
        let text = kind(candidate.clone());
        assert!(text.contains(said), "{candidate:?}: {text}");
    }
}

#[test]
fn the_own_record_is_no_peer() {
    assert_eq!(reason(own()), None);
    assert_eq!(reason(Host { node: "another name".into(), ..own() }), None);
    let all = review(&own(), &networks(), [own()]);
    assert_eq!(all, Review::default());
}

#[test]
fn a_change_of_a_peer_is_put_in_place_and_nothing_else() {
    let (b, c) = (host("b", "10.244.2.0/24", "192.0.2.2"), host("c", "10.244.3.0/24", "192.0.2.3"));
    let both = entries(&[b.clone(), c.clone()]);
    assert_eq!(both.len(), 6);
    assert_eq!(difference(&both, &both), []);
    let text =
        |changes: Vec<Change>| changes.iter().map(|change| Command("vxlan.1", change).to_string()).collect::<Vec<_>>();
    // The route goes before what it leads to, and comes after it.
    assert_eq!(
        text(difference(&entries(std::slice::from_ref(&c)), &entries(std::slice::from_ref(&b)))),
        [
            "ip route del 10.244.2.0/24 via 10.244.2.0 dev vxlan.1 onlink proto 103",
            "bridge fdb del 02:67:c0:00:02:02 dev vxlan.1 dst 192.0.2.2 self permanent",
            "ip neigh del 10.244.2.0 lladdr 02:67:c0:00:02:02 dev vxlan.1 nud permanent",
            "ip neigh replace 10.244.3.0 lladdr 02:67:c0:00:02:03 dev vxlan.1 nud permanent",
            "bridge fdb replace 02:67:c0:00:02:03 dev vxlan.1 dst 192.0.2.3 self permanent",
            "ip route replace 10.244.3.0/24 via 10.244.3.0 dev vxlan.1 onlink proto 103",
        ]
    );
    let moved = Host { vtep: "192.0.2.9".parse().unwrap(), ..b.clone() };
    assert_eq!(
        text(difference(&entries(&[moved, c.clone()]), &both)),
        ["bridge fdb replace 02:67:c0:00:02:02 dev vxlan.1 dst 192.0.2.9 self permanent"]
    );
    let reborn = Host { mac: Mac([2, 0, 0, 0, 0, 9]), ..b };
    assert_eq!(
        text(difference(&entries(&[reborn, c]), &both)),
        [
            "bridge fdb del 02:67:c0:00:02:02 dev vxlan.1 dst 192.0.2.2 self permanent",
            "ip neigh replace 10.244.2.0 lladdr 02:00:00:00:00:09 dev vxlan.1 nud permanent",
            "bridge fdb replace 02:00:00:00:00:09 dev vxlan.1 dst 192.0.2.2 self permanent",
        ]
    );
}

fn config(engine: Engine) -> OverlayConfig {
    OverlayConfig {
        vni: 7,
        port: 4789,
        mtu: None,
        underlay: Underlay::DefaultRoute,
        networks: networks(),
        subnet_len: vec![24],
        subnets: None,
        node: None,
        engine,
        peers: Vec::new(),
        peer_file: None,
    }
}

fn made(device: &Device) -> Link {
    Link {
        name: device.name.clone(),
        kind: Some("vxlan".into()),
        mac: Some(device.mac),
        mtu: device.mtu,
        up: true,
        alias: Some(device.alias.clone()),
        detail: Some(device.kind()),
        ..Link::default()
    }
}

#[test]
fn a_device_is_made_changed_or_left_alone_and_never_taken_over() {
    let device = Device::of("net", &config(Engine::Static), &own(), 1450);
    assert_eq!((device.name.as_str(), device.alias.as_str()), ("vxlan.7", "groundwork overlay net"));
    let overheads = ["192.0.2.1", "2001:db8::1"].map(|vtep| overhead(vtep.parse().unwrap()));
    assert_eq!(overheads, [50, 70], "IP, UDP, VXLAN and Ethernet headers");
    assert_eq!(device.addresses, ["10.244.1.0/32".parse().unwrap()]);
    assert_eq!(device.course(None), Ok(Course::Make));
    let link = made(&device);
    assert_eq!(device.course(Some(&link)), Ok(Course::Keep));
    assert!(matches!(device.course(Some(&Link { up: false, ..link.clone() })), Ok(Course::Change(_))));
    let smaller = Link { mtu: 1400, ..link.clone() };
    assert!(matches!(device.course(Some(&smaller)), Ok(Course::Change(settings)) if settings.mtu == Some(1450)));
    // Killed before it was signed.
    assert!(matches!(device.course(Some(&Link { alias: None, ..link.clone() })), Ok(Course::Change(_))));
    let elsewhere = LinkKind::Vxlan { vni: 7, port: 4789, local: Some("192.0.2.9".parse().unwrap()), learning: false };
    let moved = Link { detail: Some(elsewhere), ..link.clone() };
    assert_eq!(device.course(Some(&moved)), Ok(Course::Remake));
    for foreign in [
        Link { alias: None, ..moved },
        Link { alias: Some("groundwork overlay other".into()), ..link.clone() },
        Link { kind: Some("dummy".into()), detail: None, ..link.clone() },
    ] {
        assert!(device.course(Some(&foreign)).unwrap_err().to_string().contains("not the overlay's"));
    }
    let rival = Link { name: "flannel.7".into(), ..link.clone() };
    assert_eq!(device.rival(&[link, rival.clone()]), Some(&rival));
}

#[test]
fn what_is_to_do_follows_from_what_is_there() {
    let device = Device::of("net", &config(Engine::Static), &own(), 1450);
    let peers = [host("b", "10.244.2.0/24", "192.0.2.2")];
    let empty = Todo::new("net", &device, &peers, &Observed::default()).unwrap();
    assert!(empty.guard && empty.admit.len() == 1 && empty.changes.len() == 3 && empty.addresses.len() == 1);
    let right = Observed {
        link: Some(made(&device)),
        addresses: device.addresses.clone(),
        entries: entries(&peers),
        admitted: device.elements("net", &vteps(&peers)),
        is_guarded: true,
    };
    let nothing = Todo::new("net", &device, &peers, &right).unwrap();
    assert!(nothing.is_nothing());
    let (address, change) = (empty.addresses.clone(), empty.changes.clone());
    for something in [
        Todo { course: Course::Make, ..nothing.clone() },
        Todo { addresses: address.clone(), ..nothing.clone() },
        Todo { stale_addresses: address, ..nothing.clone() },
        Todo { changes: change, ..nothing.clone() },
        Todo { admit: right.admitted.clone(), ..nothing.clone() },
        Todo { expel: right.admitted.clone(), ..nothing.clone() },
        Todo { guard: true, ..nothing },
    ] {
        assert!(!something.is_nothing(), "{something:?}");
    }
    let left = Todo::new("net", &device, &[], &right).unwrap();
    assert!(left.expel.len() == 1 && left.changes.len() == 3 && left.admit.is_empty() && !left.guard);
    assert_eq!(left.to_string(), "3 entries removed, 1 peers kept out");
}

proptest! {
    /// Whatever is said, nobody gets what is another's, and nothing reaches outside.
    #[test]
    fn what_is_accepted_never_overlaps(records in prop::collection::vec((0u8..6, any::<u16>(), 16u8..=32, any::<u8>()), 0..40)) {
        let hosts = records.iter().enumerate().map(|(index, (name, bits, len, last))| {
            let subnet = IpNet::new(IpAddr::from([10, 244, bits.to_be_bytes()[0], bits.to_be_bytes()[1]]), *len).unwrap();
            let vtep = IpAddr::from([192, 0, 2, *last]);
            let node = format!("{name}-{}", index % 7);
            Host { node, subnets: vec![subnet.trunc()], vtep, mac: derived_mac(vtep) }
        }).collect::<Vec<_>>();
        let count = hosts.len();
        let all = review(&own(), &networks(), hosts);
        let own_again = count - all.accepted.len() - all.refused.len();
        prop_assert!(own_again <= count);
        let everybody: Vec<_> = all.accepted.iter().chain([&own()]).cloned().collect();
        for (index, one) in everybody.iter().enumerate() {
            for other in &everybody[..index] {
                prop_assert!(one.vtep != other.vtep && one.mac != other.mac && one.node != other.node);
                let (a, b) = (one.subnets[0], other.subnets[0]);
                prop_assert!(!a.contains(&b) && !b.contains(&a), "{a} {b}");
            }
            prop_assert!(networks()[0].contains(&one.subnets[0]));
        }
    }

    /// Applying a difference to what is there makes what is wanted.
    #[test]
    fn differences_lead_to_what_is_wanted(before in any::<[bool; 8]>(), after in any::<[bool; 8]>(), moved in any::<u8>()) {
        let of = |there: [bool; 8], moved: u8| {
            let hosts = there.iter().enumerate().filter(|(_, there)| **there).map(|(index, _)| {
                let index = u8::try_from(index).unwrap();
                let vtep = if moved >> index & 1 == 1 { index + 100 } else { index + 10 };
                host("x", &format!("10.244.{index}.0/24"), &format!("192.0.2.{vtep}"))
            }).collect::<Vec<_>>();
            entries(&hosts)
        };
        let (wanted, mut present) = (of(after, moved), of(before, 0));
        for change in difference(&wanted, &present) {
            match change {
                Change::Put(key, value) => { present.insert(key, value); }
                Change::Remove(key, value) => prop_assert_eq!(present.remove(&key), Some(value)),
            }
        }
        prop_assert_eq!(present, wanted);
    }
}
