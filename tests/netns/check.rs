//! CHECK: what was changed behind our back is named, and nothing else.

use serde_json::{Value, json};

use crate::{
    network::{dual, host_link_of, single, text, with},
    support::{Host, with_prev},
};

/// Where a change is made.
enum In {
    Host,
    Container,
}

/// A change, and the differences that CHECK must name: these and no other. VETH stands for the host's end.
type Case = (In, &'static str, &'static [&'static str]);

const LINKS: [Case; 9] = [
    (
        In::Host,
        "sysctl -qw net.ipv6.conf.br0.keep_addr_on_down=1; ip link set br0 down",
        &["bridge br0: expected up, found down"],
    ),
    (In::Host, "ip link set VETH down", &["host link VETH: expected up, found down"]),
    (In::Host, "ip link set VETH nomaster", &["bridge of host link VETH: expected br0, found none"]),
    (
        In::Host,
        "ip link add br9 type bridge; ip link set VETH master br9; ip link set VETH type bridge_slave hairpin on",
        &["bridge of host link VETH: expected br0, found link BR9"],
    ),
    (
        In::Host,
        "ip link set VETH type bridge_slave hairpin off",
        &["hairpin mode of host link VETH: expected on, found off"],
    ),
    (
        In::Container,
        "ip link set eth0 down; ip -6 address; ip link set eth0 up; ip route add default via 10.88.0.1
         ip -6 route add default via fd00:88::1; ip link set eth0 address 02:00:00:00:00:66",
        &["hardware address of eth0: expected MAC, found 02:00:00:00:00:66"],
    ),
    (
        In::Container,
        "ip link del eth0",
        &[
            "host link VETH: expected present, found missing",
            "link eth0 in the container: expected present, found missing",
        ],
    ),
    (In::Container, "ip link set eth0 name eth7", &["link eth0 in the container: expected present, found missing"]),
    (
        In::Host,
        "ip link add name other type veth peer name otherp; ip link set VETH netns 1 name moved; true",
        &["host link VETH: expected present, found missing"],
    ),
];

const ADDRESSES: [Case; 7] = [
    (In::Host, "ip address del 10.88.0.1/24 dev br0", &["address of bridge br0: expected 10.88.0.1/24, found none"]),
    (
        In::Host,
        "ip address del 10.88.0.1/24 dev br0; ip address add 10.88.0.9/24 dev br0",
        &["address of bridge br0: expected 10.88.0.1/24, found 10.88.0.9/24"],
    ),
    (In::Host, "ip address del fd00:88::1/64 dev br0", &["address of bridge br0: expected fd00:88::1/64, found none"]),
    (
        In::Container,
        "ip address add 10.88.0.99/24 dev eth0; ip address del fd00:88::2/64 dev eth0",
        &["address of eth0 in the container: expected fd00:88::2/64, found 10.88.0.2/24, 10.88.0.99/24"],
    ),
    (In::Container, "ip route del default", &["route 0.0.0.0/0 in the container: expected via 10.88.0.1, found none"]),
    (
        In::Container,
        "ip -6 route replace default via fd00:88::9",
        &["route ::/0 in the container: expected via fd00:88::1, found via fd00:88::9"],
    ),
    (
        In::Container,
        "ip route del 10.88.0.0/24; ip route add default via 10.88.0.1 dev eth0 onlink || true",
        &["route to 10.88.0.0/24 in the container: expected dev eth0, found missing"],
    ),
];

const RULES: [Case; 7] = [
    (
        In::Host,
        "nft delete element inet groundwork masq4_24 { 10.88.0.2 }",
        &["element 10.88.0.2 of nf_tables set inet groundwork masq4_24: expected present, found missing"],
    ),
    (
        In::Host,
        "nft delete element inet groundwork masq6_64 { fd00:88::2 }",
        &["element fd00:88::2 of nf_tables set inet groundwork masq6_64: expected present, found missing"],
    ),
    (
        In::Host,
        "nft flush table inet groundwork",
        &["nf_tables rules of table inet groundwork: expected as installed, found missing"],
    ),
    (
        In::Host,
        "nft insert rule inet groundwork masq4_24 accept",
        &[
            "nf_tables rules of table inet groundwork: expected as installed, found changed by another program or version",
        ],
    ),
    (In::Host, "sysctl -qw net.ipv4.ip_forward=0", &["IPv4 forwarding of the host: expected on, found off"]),
    (In::Host, "sysctl -qw net.ipv6.conf.all.forwarding=0", &["IPv6 forwarding of the host: expected on, found off"]),
    (
        In::Host,
        "rm /run/groundwork/net/leases/10.88.0.2",
        &["lease of 10.88.0.2: expected held by this attachment, found missing"],
    ),
];

fn config() -> Value {
    with(&dual(), json!({ "hairpinMode": true }))
}

/// Each case in a host of its own.
fn each_is_named(cases: &[Case]) {
    for (place, change, differences) in cases {
        let host = Host::new();
        let web = host.sandbox("web");
        let result = web.add(&config());
        let mac = text(&result["interfaces"][2], "mac");
        let named = |text: &str| text.replace("VETH", &host_link_of(&result)).replace("MAC", &mac);
        web.check(&config(), &result);
        match place {
            In::Host => host.sh(&named(change)),
            In::Container => web.sh(&named(change)),
        };
        let refused = web.verb("CHECK", &with_prev(&config(), &result)).error();
        let br9 = host.sh("cat /sys/class/net/br9/ifindex 2>/dev/null || true");
        let expected: Vec<_> =
            differences.iter().map(|difference| named(difference).replace("BR9", br9.trim())).collect();
        assert_eq!(found(&refused), expected, "{change}");
        assert_eq!(refused["code"], 102);
    }
}

/// What an error says that differs.
fn found(refused: &Value) -> Vec<String> {
    let msg = text(refused, "msg");
    let list = msg.strip_prefix("the attachment is not as it was left: ").unwrap_or_else(|| panic!("{msg}"));
    list.split("; ").map(str::to_owned).collect()
}

#[test]
fn changed_links_are_named() {
    each_is_named(&LINKS);
}

#[test]
fn changed_addresses_and_routes_are_named() {
    each_is_named(&ADDRESSES);
}

#[test]
fn changed_rules_settings_and_leases_are_named() {
    each_is_named(&RULES);
}

#[test]
fn everything_that_is_gone_is_named() {
    let host = Host::new();
    let web = host.sandbox("web");
    let result = web.add(&config());
    host.sh("ip link del br0; nft delete table inet groundwork; cd /run/groundwork/net/leases
             rm 10.88.0.2; printf 'other\\r\\neth0' > 10.88.0.2");
    let refused = web.verb("CHECK", &with_prev(&config(), &result)).error();
    assert_eq!(
        found(&refused),
        [
            "bridge br0: expected present, found missing",
            "element 10.88.0.2 . 10.88.0.0 of nf_tables set inet groundwork same4_24: expected present, found missing",
            "element 10.88.0.2 of nf_tables set inet groundwork masq4_24: expected present, found missing",
            "element fd00:88::2 . fd00:88:: of nf_tables set inet groundwork same6_64: expected present, found missing",
            "element fd00:88::2 of nf_tables set inet groundwork masq6_64: expected present, found missing",
            "nf_tables rules of table inet groundwork: expected as installed, found missing",
            "lease of 10.88.0.2: expected held by this attachment, found held by container other (eth0)",
        ]
    );
}

#[test]
fn promiscuous_mode_and_replaced_bridge_are_named() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = with(&single(), json!({ "promiscMode": true }));
    let result = web.add(&config);
    host.sh("ip link set br0 promisc off");
    let off = web.verb("CHECK", &with_prev(&config, &result)).error();
    assert_eq!(found(&off), ["promiscuous mode of bridge br0: expected on, found off"]);
    host.sh("ip link del br0; ip link add br0 type veth peer name br0p");
    let replaced = web.verb("CHECK", &with_prev(&config, &result)).error();
    assert!(found(&replaced).contains(&"link br0: expected a bridge, found veth".to_owned()), "{replaced}");
}

/// What others did to the container that is none of ours to judge, and what a later plugin of the chain changed.
#[test]
fn what_is_not_ours_is_no_difference() {
    let host = Host::new();
    let (web, client) = (host.sandbox("web"), host.sandbox("client"));
    let result = web.add(&config());
    client.add(&config());
    client.del(&config());
    host.sh("ip link add own0 type bridge; ip address add 10.99.0.1/24 dev own0; nft add table ip own");
    host.sh("ip address add 192.0.2.1/24 dev br0");
    web.sh("ip link add other type veth peer name other1; ip address add 192.0.2.2/24 dev eth0
            ip link set lo up; ip route add 198.51.100.0/24 via 10.88.0.1; ip link set eth0 mtu 1400");
    web.check(&config(), &result);
    // As tuning does, which tells of it in the result.
    web.sh("ip link set eth0 address 02:00:00:00:00:77");
    let tuned = with(&config(), json!({ "prevResult": result }));
    assert!(!web.verb("CHECK", &tuned).status.success());
    let mut later = result;
    later["interfaces"][2]["mac"] = "02:00:00:00:00:77".into();
    web.check(&config(), &later);
}

#[test]
fn what_was_never_attached_or_is_gone() {
    let host = Host::new();
    let (web, ghost) = (host.sandbox("web"), host.sandbox("ghost"));
    let result = web.add(&config());
    let refused = ghost.verb("CHECK", &with_prev(&config(), &result)).error();
    assert_eq!(refused["code"], 3, "{refused}");
    assert!(text(&refused, "msg").contains("ghost"));
    let missing = web.verb("CHECK", &config()).error();
    assert_eq!((&missing["code"], text(&missing, "msg").contains("prevResult")), (&json!(7), true), "{missing}");
    let garbled = web.verb("CHECK", &with_prev(&config(), &json!({ "ips": 7 }))).error();
    assert!(text(&garbled, "msg").contains("prevResult.ips"), "{garbled}");
    let mut moved = host.sandbox("moved");
    moved.netns = "/run/netns/none".into();
    let refused = moved.verb("CHECK", &with_prev(&config(), &result)).error();
    assert!(text(&refused, "msg").contains("/run/netns/none"), "{refused}");
    web.check(&config(), &result);
    web.del(&config());
    assert_eq!(web.verb("CHECK", &with_prev(&config(), &result)).error()["code"], 3);
}
