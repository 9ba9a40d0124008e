//! Host ports and firewall: what asks for them, and what is refused.

use serde_json::{Value, json};

use super::{
    broken::{document, each_is_refused},
    native, native_of, parse, with,
};
use crate::{
    config::{Destinations, HostPortsConfig, IngressPolicy, Mode, PortMapping},
    nft::ruleset::Protocol,
};

#[test]
fn keys_of_host_ports_and_firewall() {
    let mapping = json!({ "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1" });
    let base = with(&native(), "/runtimeConfig/portMappings", json!([mapping, mapping]));
    let base = with(&base, "/ingressPolicy", json!("same-bridge"));
    each_is_refused(
        &base,
        &[
            ("/runtimeConfig/portMappings", json!({}), 6, "`runtimeConfig.portMappings`"),
            ("/runtimeConfig/portMappings/0", json!(80), 6, "`runtimeConfig.portMappings[0]`"),
            (
                "/runtimeConfig/portMappings/1/hostPort",
                json!(0),
                7,
                "`runtimeConfig.portMappings[1].hostPort` is 0: expected a port, 1 to 65535",
            ),
            ("/runtimeConfig/portMappings/0/hostPort", json!(65536), 7, "portMappings[0].hostPort` is 65536"),
            ("/runtimeConfig/portMappings/0/hostPort", json!("80"), 6, "portMappings[0].hostPort`"),
            ("/runtimeConfig/portMappings/0/hostPort", Value::Null, 7, "portMappings[0].hostPort` is missing"),
            ("/runtimeConfig/portMappings/0/containerPort", json!(-1), 7, "portMappings[0].containerPort` is -1"),
            ("/runtimeConfig/portMappings/0/protocol", json!("icmp"), 7, "expected tcp, udp or sctp"),
            ("/runtimeConfig/portMappings/0/hostIP", json!("localhost"), 7, "portMappings[0].hostIP`"),
            (
                "/runtimeConfig/portMappings/1/containerPort",
                json!(81),
                7,
                "`runtimeConfig.portMappings[1].hostPort` is 8080: expected a port that is not mapped twice: it goes to \
                 containerPort 80 already",
            ),
            ("/snat", json!("no"), 6, "`snat`"),
            ("/masqAll", json!(1), 6, "`masqAll`"),
            ("/conditionsV4", json!(["-s", "192.0.2.0/24"]), 2, "`conditionsV4` is [\"-s\",\"192.0.2.0/24\"]"),
            ("/conditionsV4", json!(["!", "-d", "192.0.2.0/24"]), 2, "keeps [\"-d\", \"ADDRESS,ADDRESS\"] and"),
            ("/conditionsV4", json!(["!", "-d", "192.0.2.1,192.0.2.2"]), 2, "`conditionsV4`"),
            ("/conditionsV4", json!(["-d", "192.0.2.1", "-i", "eth0"]), 2, "`conditionsV4`"),
            ("/conditionsV4", json!(["-d", "2001:db8::1"]), 2, "`conditionsV4`"),
            ("/conditionsV4", json!(["-d", "192.0.2.1,"]), 2, "`conditionsV4`"),
            ("/conditionsV4", json!(["-m", "set", "--match-set", "allowed", "src"]), 2, "`conditionsV4`"),
            ("/conditionsV4", json!("-d 192.0.2.1"), 6, "`conditionsV4`"),
            ("/conditionsV6", json!(["-s", "2001:db8::/32"]), 2, "`conditionsV6`"),
            ("/ingressPolicy", json!("closed"), 7, "expected open, same-bridge or isolated"),
        ],
    );
    let both = with(&with(&base, "/markMasqBit", json!(3)), "/externalSetMarkChain", json!("KUBE-MARK-MASQ"));
    assert_eq!(document(parse(&both).unwrap_err()).code, 7);
}

#[test]
fn host_ports_are_asked_for_by_type_capability_or_mappings() {
    let ports = |config: Value| match parse(&config).unwrap().mode {
        Mode::Native(native) => native.host_ports.map(|ports| (native.link.is_some(), ports)),
        _ => None,
    };
    let base = json!({ "cniVersion": "1.0.0", "name": "n", "type": "groundwork" });
    assert_eq!(ports(base.clone()), None);
    for (pointer, value) in [("/type", json!("portmap")), ("/capabilities", json!({ "portMappings": true }))] {
        let (makes_link, ports) = ports(with(&base, pointer, value)).unwrap();
        assert!(!makes_link && ports.mappings.is_empty() && ports.snat && !ports.masq_all);
    }
    // As containerd's CRI writes it.
    let sent = json!({ "PortMappings": [{ "HostPort": 53, "ContainerPort": 5353, "Protocol": "UDP", "HostIP": "" }] });
    let config = with(&with(&base, "/runtimeConfig", sent), "/snat", json!(false));
    let (makes_link, ports) = ports(config).unwrap();
    let expected = PortMapping { host_ip: None, protocol: Protocol::Udp, host_port: 53, container_port: 5353 };
    assert!(!makes_link && !ports.snat && ports.mappings == [expected], "{ports:?}");
    let (makes_link, ports) = ports_of(&with(
        &native(),
        "/runtimeConfig/portMappings",
        json!([{
            "hostPort": 80, "containerPort": 8080, "hostIP": "::",
        }]),
    ));
    assert!(makes_link && ports.mappings[0].host_ip == Some("::".parse().unwrap()), "{ports:?}");
}

#[test]
fn a_port_is_mapped_for_each_protocol_and_address() {
    let places = [("tcp", ""), ("SCTP", ""), ("udp", ""), ("tcp", "192.0.2.1")];
    let mappings = places.map(
        |(protocol, host_ip)| json!({ "hostPort": 80, "containerPort": 80, "protocol": protocol, "hostIP": host_ip }),
    );
    let (_, ports) = ports_of(&with(&native(), "/runtimeConfig/portMappings", json!(mappings)));
    let protocols: Vec<_> = ports.mappings.iter().map(|mapping| mapping.protocol).collect();
    assert_eq!(protocols, [Protocol::Tcp, Protocol::Sctp, Protocol::Udp, Protocol::Tcp]);
}

fn ports_of(config: &Value) -> (bool, HostPortsConfig) {
    let config = parse(config).unwrap();
    let native = native_of(&config);
    (native.link.is_some(), native.host_ports.clone().unwrap())
}

#[test]
fn conditions_on_the_hosts_addresses() {
    let destinations = |keys: Value| {
        let config = with(&native(), "/type", json!("groundwork"));
        let config = with(&config, "/runtimeConfig/portMappings", json!([{ "hostPort": 80, "containerPort": 80 }]));
        let config = with(&with(&config, "/conditionsV4", keys[0].clone()), "/conditionsV6", keys[1].clone());
        let (_, ports) = ports_of(&config);
        (ports.conditions_v4, ports.conditions_v6)
    };
    let ip = |text: &str| text.parse::<std::net::IpAddr>().unwrap();
    assert_eq!(destinations(json!([[], null])), (Destinations::Any, Destinations::Any));
    assert_eq!(
        destinations(json!([["-d", "192.0.2.1/32,127.0.0.1"], ["!", "--destination", "2001:db8::1/128"]])),
        (Destinations::Only(vec![ip("192.0.2.1"), ip("127.0.0.1")]), Destinations::Except(ip("2001:db8::1")))
    );
}

#[test]
fn a_firewall_is_asked_for_by_type_or_key() {
    let policy = |config: Value| match parse(&config).unwrap().mode {
        Mode::Native(native) => native.firewall.map(|firewall| firewall.ingress),
        _ => None,
    };
    let base = json!({ "cniVersion": "1.0.0", "name": "n", "type": "firewall" });
    assert_eq!(policy(base.clone()), Some(IngressPolicy::Open));
    assert_eq!(policy(with(&base, "/ingressPolicy", json!("isolated"))), Some(IngressPolicy::Isolated));
    assert_eq!(policy(native()), None);
    assert_eq!(policy(with(&native(), "/ingressPolicy", json!(""))), None);
    assert_eq!(policy(with(&native(), "/ingressPolicy", json!("open"))), Some(IngressPolicy::Open));
    assert_eq!(policy(with(&native(), "/firewalldZone", json!("trusted"))), Some(IngressPolicy::Open));
}
