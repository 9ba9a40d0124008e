//! What is left at the end.

use super::{Difference, differ};

const ANY: &[&str] = &["*"];

pub(super) const DIFFERENCES: &[Difference] = &[
    differ(
        ANY,
        &[
            "- at the end is left: table ip nat",
            "- at the end is left: table ip6 nat",
            "- at the end is left: table ip filter",
            "- at the end is left: table ip6 filter",
            "- at the end is left: table *, chain POSTROUTING",
            "- at the end is left: table *, chain PREROUTING",
            "- at the end is left: table *, chain OUTPUT",
            "- at the end is left: table *, chain FORWARD",
            "- at the end is left: table *, chain CNI-HOSTPORT-*",
            "- at the end is left: table *, chain CNI-FORWARD",
            "- at the end is left: table *, chain CNI-ADMIN",
            "- at the end is left: table *, chain CNI-ISOLATION-*",
            "- at the end is left: table bridge nat*",
            "+ at the end is left: table inet groundwork*",
            "+ at the end is left: table bridge groundwork*",
        ],
        "constant rules stay, the reference's by iptables and groundwork's own",
    ),
    differ(
        ANY,
        &[
            "- * file /*/lock: \"\"",
            "- * file /*/last_reserved_ip.*: *",
            "- at the end is left in host: link br0 bridge",
        ],
        "what cannot be is refused before anything is touched: the reference has made the bridge, and asked for addresses",
    ),
    differ(
        &[
            "bridge/a bridge that is none",
            "bridge/the interface is there",
            "host-local/resolvConf that is not there",
            "macvlan/mtu greater than its parent's",
            "macvlan/no master and no default route",
            "macvlan/a master that is not there",
        ],
        &["+ * file /*/last_reserved_ip.0: \"10.88.0.2\"", "+ * file /*/lock: \"\""],
        "addresses are taken first, and links made when everything is known",
    ),
    differ(
        &[
            "bridge/isDefaultGateway, the default route by ipam",
            "host-local/IP by CNI_ARGS alone",
            "host-local/ips by runtimeConfig beside IP of CNI_ARGS",
            "static/IP *",
            "static/lists by CNI_ARGS*",
            "static/ips by runtimeConfig over all",
            "version/1.1.0*",
            "environment/no CNI_PATH",
        ],
        &[
            "+ at the end is left in host: link br0 bridge",
            "+ at the end is left in host: address * of br0: *",
            "+ at the end is left in host: route to * by br0 in *",
            "+ at the end is left in host: sysctl *",
            "+ at the end is gone from host: sysctl *",
            "+ at the end is left: file /*/last_reserved_ip.*",
            "+ at the end is left: file /*/lock: \"\"",
        ],
        "as after every ADD that succeeds, the bridge, its addresses and forwarding stay for the next container",
    ),
    differ(
        &[
            "del/the namespace *",
            "del/the path is no namespace",
            "ptp/DEL without its namespace",
            "portmap/markMasqBit and externalSetMarkChain",
            "portmap/hostPort 0",
            "portmap/containerPort 0",
            "firewall/isolated",
            "firewall/no-such-policy",
            "tuning/sysctl that is a number",
            "tuning/sysctl by args.cni alone",
            "bandwidth/a rate without burst",
            "bandwidth/a burst *",
            "check/the interface has another name",
        ],
        &[
            "- at the end is left in host: link VETH of web veth",
            "- at the end is left in host: address * of VETH of web: *",
            "- at the end is left in host: route to * by VETH of web in *",
            "- at the end is left in web: link eth* veth",
            "- at the end is left in web: address * of eth*",
            "- at the end is left in web: route to * by eth* in *",
            "- at the end is left: file /*/10.88.0.2: \"web\\r\\neth0\"",
        ],
        "DEL takes everything away by the record of the ADD, whatever it is told: the reference needs what ADD needed",
    ),
    differ(
        &[
            "del/the namespace *",
            "del/the path is no namespace",
            "del/the interface is gone",
            "del/the addresses are gone",
            "ptp/DEL without its namespace",
            "portmap/markMasqBit and externalSetMarkChain",
            "portmap/hostPort 0",
            "portmap/containerPort 0",
            "firewall/isolated",
            "firewall/no-such-policy",
        ],
        &["- at the end is left: table ip nat, chain CNI-437252eec243bd2aa31b9f27"],
        "masquerading ends with the container; the reference has to be told its addresses",
    ),
    differ(
        &["bridge/isGateway*, *address*"],
        &[
            "- *: sysctl ipv6/br0/accept_ra: 0",
            "- at the end is gone from host: link br0: address = *",
            "+ *: link br0: address = *",
        ],
        "an administrator's bridge, which keeps its hardware address: see above",
    ),
    differ(
        &["bridge/the interface is there"],
        &["+ at the end is left in web: link eth* veth"],
        "a link that the ADD did not make is not its to delete",
    ),
    differ(
        &["firewall/same-bridge*", "firewall/isolated"],
        &[
            "+ at the end is left: elements of table inet groundwork, set isolated: elements = { \"br0\" comment \"net\" }",
            "+ at the end is left: elements of table inet groundwork, set same_bridge: *{ \"br0\" . \"br0\" comment \"net\" }",
        ],
        "which bridges are isolated is known of the network, until GC finds nobody on it",
    ),
    differ(
        &["tuning/DEL, the interface is gone"],
        &["- at the end is left: file /run/cni/tuning/web_eth0.json: *"],
        "there is nothing to be restored any more",
    ),
    differ(
        &["tuning/sysctl by args.cni alone"],
        &[
            "+ at the end is gone from web: sysctl core/somaxconn: 4096",
            "+ at the end is left in web: sysctl core/somaxconn: 9",
        ],
        "the reference panics; settings go with the sandbox",
    ),
    differ(
        &["host-device/*"],
        &[
            "- at the end is gone from host: link parent0: flags = BROADCAST MULTICAST UP",
            "- at the end is left in host: link parent0: flags = BROADCAST MULTICAST",
            "- at the end is left in host: link parent0: ifalias = parent0",
        ],
        "the host has its link back as it was: up, and without the alias that said its name",
    ),
];
