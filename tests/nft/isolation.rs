//! Isolated bridges and checked hardware addresses, as packets see them.

use groundwork::nft::ruleset::{Element, LinkName, Owned};

use super::{
    masquerade,
    net::{Net, tcp},
    nft, owned,
};
use crate::support::Host;

fn link(name: &str) -> LinkName {
    LinkName::new(name).unwrap()
}

#[test]
fn isolated_bridges_do_not_reach_each_other() {
    let host = Host::new();
    let net = Net::new(&host);
    host.sh("ip netns exec world ip route add default via 192.0.2.1
             ip netns exec a ip route add 10.22.0.6/32 via 10.22.0.1
             sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.br0.send_redirects=0");
    let between = || tcp(&net.c, "10.23.0.5:80", &net.a, "10.23.0.5:80").is_some();
    let inside = || tcp(&net.b, "10.22.0.6:80", &net.a, "10.22.0.6:80").is_some();
    let outside = || {
        tcp(&net.world, "192.0.2.2:80", &net.a, "192.0.2.2:80").is_some()
            && tcp(&net.a, "10.22.0.5:80", &net.world, "10.22.0.5:80").is_some()
    };
    assert!(between() && inside() && outside());
    let [br0, br1] = [link("br0"), link("br1")];
    host.inside(|| nft().add(&owned(&[Element::IsolatedBridge(br0), Element::SameBridge(br0)])).unwrap());
    assert!(between() && inside() && outside(), "only one is isolated");
    host.inside(|| nft().add(&owned(&[Element::IsolatedBridge(br1)])).unwrap());
    assert!(!between() && inside() && outside());
    host.inside(|| nft().delete_shared(|| owned(&[Element::SameBridge(br0)])).unwrap());
    assert!(!between() && !inside() && outside(), "br0's containers are isolated from each other too");
}

#[test]
fn shared_elements_are_there_for_all_of_a_network() {
    let host = Host::new();
    host.inside(|| {
        let shared = Element::IsolatedBridge(link("br0"));
        let [one, two] = ["net/one/eth0", "net/two/eth0"].map(|owner| Owned::new(shared, &owner.into()));
        assert_eq!(one, two);
        let (first, second) = (masquerade("10.22.0.5/24", "net/one/eth0"), masquerade("10.22.0.6/24", "net/two/eth0"));
        let mut nft = nft();
        nft.add(&[first.clone(), vec![one.clone()]].concat()).unwrap();
        nft.add(&[second, vec![two]].concat()).unwrap();
        let other = Owned::new(shared, &"other/three/eth0".into());
        nft.add(std::slice::from_ref(&other)).unwrap();
        assert!(nft.contains(&one).unwrap() && !nft.contains(&other).unwrap());
        nft.delete(&[first, vec![one.clone()]].concat()).unwrap();
        assert!(nft.contains(&one).unwrap(), "an attachment's end is not the network's");
        nft.delete_shared(|| vec![other.clone()]).unwrap();
        assert!(nft.contains(&one).unwrap(), "nor is another network's");
        nft.delete_shared(|| vec![one.clone()]).unwrap();
        assert!(!nft.contains(&one).unwrap());
    });
}

#[test]
fn frames_have_the_address_of_their_link() {
    let host = Host::new();
    let net = Net::new(&host);
    let mac = net.a.sh("ip -o link show eth0 | sed 's/.*link.ether //; s/ .*//'").trim().parse().unwrap();
    let elements = owned(&[Element::CheckedLink(link("va")), Element::LinkAddress(link("va"), mac)]);
    host.inside(|| nft().add(&elements).unwrap());
    let reaches = || tcp(&host, "10.22.0.1:80", &net.a, "10.22.0.1:80").is_some();
    assert!(reaches());
    net.a.sh("ip link set eth0 address 02:00:00:00:00:99; ip neigh flush all");
    host.sh("ip neigh flush all");
    assert!(!reaches());
    assert!(tcp(&host, "10.22.0.1:80", &net.b, "10.22.0.1:80").is_some(), "who is not checked is left alone");
    host.inside(|| nft().delete(&elements).unwrap());
    assert!(reaches());
}
