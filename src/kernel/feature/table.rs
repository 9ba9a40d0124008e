//! The features that we know, and what the reference plugins need of them.

use super::{Feature, NftFamily, Probe, listed_name};

/// A kind of link.
const fn link(
    kind: &'static str,
    modules: &'static [&'static str],
    request: &'static str,
    kconfig: &'static str,
    needed_for: &'static str,
) -> Feature {
    Feature { name: kind, needed_for, probe: Probe::Link(kind), modules, request: Some(request), aliases: &[], kconfig }
}

/// A part of nf_tables that is a module of its own.
const fn nft(
    name: &'static str,
    modules: &'static [&'static str],
    probe: Probe,
    request: &'static str,
    kconfig: &'static str,
    needed_for: &'static str,
) -> Feature {
    Feature { name, needed_for, probe, modules, request: Some(request), aliases: &[], kconfig }
}

/// A part of traffic control, known by its module's name too.
const fn traffic(
    name: &'static str,
    modules: &'static [&'static str],
    probe: Probe,
    kconfig: &'static str,
    needed_for: &'static str,
) -> Feature {
    Feature { name, needed_for, probe, modules, request: None, aliases: modules, kconfig }
}

/// An expression in rules of family inet.
const fn expression(name: &'static str) -> Probe {
    Probe::NftExpression { family: NftFamily::Inet, name }
}

/// Link kind `bridge`.
pub static BRIDGE: Feature =
    link("bridge", &["bridge"], "rtnl-link-bridge", "BRIDGE", "the switch that containers of a network share");
/// Link kind `veth`.
pub static VETH: Feature =
    link("veth", &["veth"], "rtnl-link-veth", "VETH", "the cable between a container and the host");
/// Link kind `vxlan`.
pub static VXLAN: Feature = link("vxlan", &["vxlan"], "rtnl-link-vxlan", "VXLAN", "an overlay network between hosts");
/// Link kind `geneve`.
pub static GENEVE: Feature =
    link("geneve", &["geneve"], "rtnl-link-geneve", "GENEVE", "an overlay network between hosts (Geneve)");
/// Link kind `macvlan`.
pub static MACVLAN: Feature = link(
    "macvlan",
    &["macvlan"],
    "rtnl-link-macvlan",
    "MACVLAN",
    "containers with a MAC of their own on the host's link",
);
/// Link kind `ipvlan`.
pub static IPVLAN: Feature =
    link("ipvlan", &["ipvlan"], "rtnl-link-ipvlan", "IPVLAN", "containers that share the MAC of the host's link");
/// Link kind `vlan`, of module 8021q.
pub static VLAN: Feature = Feature {
    aliases: &["8021q"],
    ..link("vlan", &["8021q"], "rtnl-link-vlan", "VLAN_8021Q", "links that tag frames (802.1Q)")
};
/// VLANs inside a bridge, a part of it.
pub static VLAN_FILTERING: Feature = Feature {
    name: "vlan_filtering",
    needed_for: "VLANs inside a bridge",
    probe: Probe::VlanFiltering,
    modules: &["bridge"],
    request: None,
    aliases: &["bridge_vlan_filtering"],
    kconfig: "BRIDGE_VLAN_FILTERING",
};
/// Link kind `dummy`.
pub static DUMMY: Feature = link("dummy", &["dummy"], "rtnl-link-dummy", "DUMMY", "links that lead nowhere");
/// Link kind `ifb`.
pub static IFB: Feature = link("ifb", &["ifb"], "rtnl-link-ifb", "IFB", "shaping what a container sends");
/// Link kind `wireguard`.
pub static WIREGUARD: Feature =
    link("wireguard", &["wireguard"], "rtnl-link-wireguard", "WIREGUARD", "an encrypted overlay network");
/// Link kind `vrf`.
pub static VRF: Feature = link("vrf", &["vrf"], "rtnl-link-vrf", "NET_VRF", "routing tables of one's own (VRF)");
/// Link kind `bond`, of module bonding.
pub static BOND: Feature = Feature {
    aliases: &["bonding"],
    ..link("bond", &["bonding"], "rtnl-link-bond", "BONDING", "several links as one")
};
/// Link kind `tun`: tap devices too. Opening /dev/net/tun loads it, asking for the kind does not.
pub static TUN: Feature = Feature {
    name: "tun",
    needed_for: "tap and tun devices",
    probe: Probe::Link("tun"),
    modules: &["tun"],
    request: None,
    aliases: &["tap"],
    kconfig: "TUN",
};

/// nf_tables itself, with the expressions that are part of it (lookup, immediate, meta, payload, cmp, bitwise).
pub static NF_TABLES: Feature = nft(
    "nf_tables",
    &["nf_tables"],
    Probe::NfTables,
    "nfnetlink-subsys-10",
    "NF_TABLES",
    "every firewall and NAT rule",
);
/// Expression `masq`.
pub static NFT_MASQ: Feature = nft(
    "nft_masq",
    &["nft_masq"],
    expression("masq"),
    "nft-expr-masq",
    "NFT_MASQ",
    "masquerade of what containers send out",
);
/// Expression `nat`.
pub static NFT_NAT: Feature =
    nft("nft_nat", &["nft_nat"], expression("nat"), "nft-expr-nat", "NFT_NAT", "host ports (destination NAT)");
/// Chain type `nat` of family inet.
pub static NFT_CHAIN_NAT: Feature = nft(
    "nft_chain_nat",
    &["nft_chain_nat"],
    Probe::NftChain { family: NftFamily::Inet, name: "nat" },
    "nft-chain-1-nat",
    "NFT_NAT",
    "chains that translate addresses (masquerade, host ports)",
);
/// Expression `ct`.
pub static NFT_CT: Feature =
    nft("nft_ct", &["nft_ct"], expression("ct"), "nft-expr-ct", "NFT_CT", "rules that ask for a connection's state");
/// Expression `fib` of family inet.
pub static NFT_FIB: Feature = Feature {
    aliases: &["nft_fib_inet"],
    ..nft(
        "nft_fib",
        &["nft_fib_inet"],
        expression("fib"),
        "nft-expr-1-fib",
        "NFT_FIB_INET",
        "host ports on the host's own addresses only",
    )
};
/// Expression `reject` of family inet.
pub static NFT_REJECT: Feature = Feature {
    aliases: &["nft_reject_inet"],
    ..nft(
        "nft_reject",
        &["nft_reject_inet"],
        expression("reject"),
        "nft-expr-1-reject",
        "NFT_REJECT_INET",
        "rules that refuse and say so",
    )
};
/// Chain type `filter` of family bridge, a part of nf_tables.
pub static NFT_BRIDGE: Feature = nft(
    "nft_bridge",
    &["nf_tables"],
    Probe::NftChain { family: NftFamily::Bridge, name: "filter" },
    "nft-chain-7-filter",
    "NF_TABLES_BRIDGE",
    "rules on frames inside a bridge (spoof check)",
);
/// Expression `meta` of family bridge; a part of nf_tables until 6.12 at least.
pub static NFT_META_BRIDGE: Feature = nft(
    "nft_meta_bridge",
    &["nft_meta_bridge"],
    Probe::NftExpression { family: NftFamily::Bridge, name: "meta" },
    "nft-expr-7-meta",
    "NFT_BRIDGE_META",
    "rules that ask from where a frame comes (spoof check)",
);
/// Connection tracking over netlink.
pub static CONNTRACK: Feature = Feature {
    aliases: &["conntrack"],
    ..nft(
        "nf_conntrack_netlink",
        &["nf_conntrack_netlink"],
        Probe::Conntrack,
        "nfnetlink-subsys-1",
        "NF_CT_NETLINK",
        "ending flows to a container that is gone (UDP host ports)",
    )
};

/// Bridged frames pass the IP firewall.
pub static BR_NETFILTER: Feature = Feature {
    name: "br_netfilter",
    needed_for: "bridged frames to pass the IP firewall (it then does so on every bridge of the host)",
    probe: Probe::File("/proc/sys/net/bridge/bridge-nf-call-iptables"),
    modules: &["br_netfilter"],
    request: None,
    aliases: &[],
    kconfig: "BRIDGE_NETFILTER",
};
/// Queueing discipline `tbf`.
pub static TBF: Feature = traffic("tbf", &["sch_tbf"], Probe::Qdisc("tbf"), "NET_SCH_TBF", "limits on bandwidth");
/// Queueing discipline `ingress`.
pub static INGRESS: Feature = traffic(
    "ingress",
    &["sch_ingress"],
    Probe::Qdisc("ingress"),
    "NET_SCH_INGRESS",
    "limits on what a container sends",
);
/// Action `mirred`.
pub static MIRRED: Feature = traffic(
    "mirred",
    &["act_mirred"],
    Probe::Action("mirred"),
    "NET_ACT_MIRRED",
    "limits on what a container sends (redirection to an ifb)",
);
/// Classifier `u32`.
pub static U32: Feature = traffic(
    "u32",
    &["cls_u32"],
    Probe::Classifier("u32"),
    "NET_CLS_U32",
    "limits on what a container sends (which packets are redirected)",
);
/// Filesystem `overlay`.
pub static OVERLAY: Feature = Feature {
    name: "overlay",
    needed_for: "the layered root filesystems of containers",
    probe: Probe::Filesystem("overlay"),
    modules: &["overlay"],
    request: Some("fs-overlay"),
    aliases: &["overlayfs"],
    kconfig: "OVERLAY_FS",
};

/// Every feature, in the order in which people read them.
pub static ALL: &[&Feature] = &[
    &BRIDGE,
    &VETH,
    &VXLAN,
    &GENEVE,
    &MACVLAN,
    &IPVLAN,
    &VLAN,
    &VLAN_FILTERING,
    &DUMMY,
    &IFB,
    &WIREGUARD,
    &VRF,
    &BOND,
    &TUN,
    &NF_TABLES,
    &NFT_CHAIN_NAT,
    &NFT_MASQ,
    &NFT_NAT,
    &NFT_CT,
    &NFT_FIB,
    &NFT_REJECT,
    &NFT_BRIDGE,
    &NFT_META_BRIDGE,
    &CONNTRACK,
    &BR_NETFILTER,
    &TBF,
    &INGRESS,
    &MIRRED,
    &U32,
    &OVERLAY,
];

/// What a set in our own table proves: (family of the table, how the set's name begins, what the rules that came with
/// it are made of).
static OUR_SETS: &[(NftFamily, &str, &[&Feature])] = &[
    (NftFamily::Inet, "masq", &[&NFT_CHAIN_NAT, &NFT_MASQ]),
    (NftFamily::Inet, "hp", &[&NFT_CHAIN_NAT, &NFT_NAT, &NFT_FIB]),
    (NftFamily::Inet, "snat", &[&NFT_CHAIN_NAT, &NFT_MASQ, &NFT_CT]),
    (NftFamily::Bridge, "spoof", &[&NFT_BRIDGE, &NFT_META_BRIDGE]),
];

/// What the sets of these names, in our table of this family, prove.
#[must_use]
pub fn proven_by_sets(family: NftFamily, names: &[String]) -> Vec<&'static Feature> {
    let there = |start: &str| names.iter().any(|name| name.starts_with(start));
    let entries = OUR_SETS.iter().filter(|(of, start, _)| *of == family && there(start));
    entries.flat_map(|(.., features)| *features).copied().collect()
}

/// The feature of that name or alias, `-` and `_` being one.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Feature> {
    let name = listed_name(name);
    ALL.iter().copied().find(|feature| {
        feature.name == name
            || feature.aliases.contains(&name.as_str())
            || feature.request.is_some_and(|request| listed_name(request) == name)
    })
}

/// What a reference plugin (containernetworking/plugins) needs of the kernel, by its `type`.
///
/// What it asks of iptables is not in it: that depends on which iptables the host has.
#[must_use]
pub fn for_plugin(plugin_type: &str) -> &'static [&'static Feature] {
    BY_PLUGIN.iter().find(|(name, _)| *name == plugin_type).map_or(&[], |(_, features)| features)
}

static BY_PLUGIN: &[(&str, &[&Feature])] = &[
    ("bridge", &[&BRIDGE, &VETH]),
    ("flannel", &[&BRIDGE, &VETH]),
    ("ptp", &[&VETH]),
    ("macvlan", &[&MACVLAN]),
    ("ipvlan", &[&IPVLAN]),
    ("vlan", &[&VLAN]),
    ("dummy", &[&DUMMY]),
    ("tap", &[&TUN]),
    ("vrf", &[&VRF]),
    ("bandwidth", &[&IFB, &TBF, &INGRESS, &MIRRED, &U32]),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{
        kernel::feature::{FeatureRef, ModuleName},
        nft::ruleset::{Family, Part, Table},
    };

    #[test]
    fn names_and_aliases_are_unique_and_every_module_name_is_one() {
        let mut seen = HashSet::new();
        for feature in ALL {
            for name in std::iter::once(&feature.name).chain(feature.aliases) {
                assert!(seen.insert(listed_name(name)), "{name} names two features");
                assert_eq!(lookup(name), Some(*feature));
            }
            for name in feature.modules.iter().chain(feature.request.as_ref()) {
                ModuleName::new(name).unwrap();
            }
            assert!(!feature.modules.is_empty(), "{} has no module", feature.name);
        }
    }

    #[test]
    fn features_are_found_by_alias_and_by_what_the_kernel_asks_for() {
        for (asked, name) in [
            ("8021q", "vlan"),
            ("overlay", "overlay"),
            ("fs-overlay", "overlay"),
            ("nft_masq", "nft_masq"),
            ("nft-expr-masq", "nft_masq"),
            ("rtnl-link-vxlan", "vxlan"),
            ("br-netfilter", "br_netfilter"),
            ("sch_tbf", "tbf"),
        ] {
            assert_eq!(lookup(asked).map(|feature| feature.name), Some(name), "{asked}");
        }
        assert_eq!(lookup("nf_conntrack_ftp"), None);
        assert!(matches!(FeatureRef::new("nf_conntrack_ftp"), Ok(FeatureRef::Module(_))));
        assert!(FeatureRef::new("../vxlan").is_err());
    }

    #[test]
    fn a_feature_is_known_by_the_name_of_each_module_that_brings_it_alone() {
        let parts = ["nft_bridge", "vlan_filtering"];
        for feature in ALL.iter().filter(|feature| !parts.contains(&feature.name)) {
            let telling = FeatureRef::Known(feature).telling_module().to_owned();
            assert_eq!(lookup(&telling), Some(*feature), "{telling}");
        }
    }

    #[test]
    fn a_set_of_ours_proves_just_what_its_part_of_the_ruleset_is_made_of() {
        let v4_and_v6 = [Family::Ipv4, Family::Ipv6];
        let parts = v4_and_v6.into_iter().flat_map(|family| {
            [Part::Masquerade(family, 24), Part::HostPorts(family), Part::HostPortSources(family, 24)]
        });
        for part in parts.chain([Part::Isolation, Part::Spoofing, Part::Sources]) {
            let table = if part.table() == Table::Inet { NftFamily::Inet } else { NftFamily::Bridge };
            let names: Vec<String> = part.sets().into_iter().map(|set| set.name).collect();
            let proven: HashSet<&str> = proven_by_sets(table, &names).iter().filter_map(part_name).collect();
            let made_of: HashSet<&str> = part.expressions().into_iter().chain(part.chain_types()).collect();
            assert_eq!(proven, made_of, "{part:?}");
        }
    }

    /// The name in nf_tables, for parts that kernels with nf_tables can lack.
    fn part_name(feature: &&'static Feature) -> Option<&'static str> {
        match feature.probe {
            Probe::NftExpression { family: NftFamily::Inet, name }
            | Probe::NftChain { family: NftFamily::Inet, name } => Some(name),
            _ => None,
        }
    }
}
