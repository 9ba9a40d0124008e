//! What groundwork is asked for, and what the kernel's answers to loaders depend on.

/// A feature, or any other module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Feature {
    /// Its name in `modules`.
    pub(crate) name: &'static str,
    /// The module that brings it.
    pub(crate) module: &'static str,
    /// What the kernel asks modprobe for when someone uses the feature; nothing for those that it never loads by itself.
    pub(crate) autoload: Option<&'static str>,
    /// How groundwork learns whether it is there.
    pub(crate) question: Question,
}

/// How groundwork learns whether a feature is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// One that loads nothing: of links and filesystems.
    Passive,
    /// One that makes the kernel load it, so lists of modules are asked first.
    Loading,
    /// Lists of modules are all there is.
    Lists,
}

/// A kind of link, or of filesystem.
const fn passive(name: &'static str, module: &'static str, alias: &'static str) -> Feature {
    Feature { name, module, autoload: Some(alias), question: Question::Passive }
}

/// A part of nf_tables or of traffic control.
const fn loading(name: &'static str, module: &'static str, alias: &'static str) -> Feature {
    Feature { name, module, autoload: Some(alias), question: Question::Loading }
}

/// One that the kernel does not load by itself.
const fn by_name(name: &'static str, question: Question) -> Feature {
    Feature { name, module: name, autoload: None, question }
}

pub(crate) const BRIDGE: Feature = passive("bridge", "bridge", "rtnl-link-bridge");
pub(crate) const VXLAN: Feature = passive("vxlan", "vxlan", "rtnl-link-vxlan");
pub(crate) const GENEVE: Feature = passive("geneve", "geneve", "rtnl-link-geneve");
pub(crate) const VLAN: Feature = passive("vlan", "8021q", "rtnl-link-vlan");
pub(crate) const NF_TABLES: Feature = loading("nf_tables", "nf_tables", "nfnetlink-subsys-10");
pub(crate) const NFT_MASQ: Feature = loading("nft_masq", "nft_masq", "nft-expr-masq");
/// 20 bytes: no ioctl takes it, nor what the kernel asks for.
pub(crate) const CONNTRACK: Feature = loading("nf_conntrack_netlink", "nf_conntrack_netlink", "nfnetlink-subsys-1");
pub(crate) const BR_NETFILTER: Feature = by_name("br_netfilter", Question::Passive);
/// Later kernels ask for net-sch-tbf.
pub(crate) const TBF: Feature = loading("tbf", "sch_tbf", "sch_tbf");
pub(crate) const OVERLAY: Feature = passive("overlay", "overlay", "fs-overlay");
/// Stays until the end of the boot.
pub(crate) const VRF: Feature = passive("vrf", "vrf", "rtnl-link-vrf");
/// Part of nf_tables until 6.12 at least.
pub(crate) const NFT_META_BRIDGE: Feature = loading("nft_meta_bridge", "nft_meta_bridge", "nft-expr-7-meta");
/// A module that groundwork knows nothing about.
pub(crate) const IP_GRE: Feature = by_name("ip_gre", Question::Lists);
/// Another, of 16 bytes.
pub(crate) const CONNTRACK_FTP: Feature = by_name("nf_conntrack_ftp", Question::Lists);

/// One of each sort.
pub(crate) const SORTS: &[Feature] =
    &[BRIDGE, VXLAN, VLAN, NF_TABLES, NFT_MASQ, CONNTRACK, BR_NETFILTER, TBF, OVERLAY, IP_GRE, CONNTRACK_FTP];

/// All that groundwork knows and that can be unloaded, and the two.
pub(crate) const ALL: &[Feature] = &[
    BRIDGE,
    VXLAN,
    GENEVE,
    VLAN,
    NF_TABLES,
    NFT_MASQ,
    CONNTRACK,
    BR_NETFILTER,
    TBF,
    OVERLAY,
    IP_GRE,
    CONNTRACK_FTP,
    passive("veth", "veth", "rtnl-link-veth"),
    passive("macvlan", "macvlan", "rtnl-link-macvlan"),
    passive("ipvlan", "ipvlan", "rtnl-link-ipvlan"),
    passive("dummy", "dummy", "rtnl-link-dummy"),
    passive("ifb", "ifb", "rtnl-link-ifb"),
    passive("wireguard", "wireguard", "rtnl-link-wireguard"),
    passive("bond", "bonding", "rtnl-link-bond"),
    by_name("tun", Question::Passive),
    Feature { module: "bridge", ..by_name("vlan_filtering", Question::Passive) },
    loading("nft_chain_nat", "nft_chain_nat", "nft-chain-1-nat"),
    loading("nft_nat", "nft_nat", "nft-expr-nat"),
    loading("nft_ct", "nft_ct", "nft-expr-ct"),
    loading("nft_fib", "nft_fib_inet", "nft-expr-1-fib"),
    loading("nft_reject", "nft_reject_inet", "nft-expr-1-reject"),
    loading("nft_bridge", "nf_tables", "nft-chain-7-filter"),
    loading("ingress", "sch_ingress", "sch_ingress"),
    loading("mirred", "act_mirred", "act_mirred"),
    loading("u32", "cls_u32", "cls_u32"),
    NFT_META_BRIDGE,
];
