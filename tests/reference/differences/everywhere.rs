//! What every scenario may show.

use super::{Difference, differ};

const ANY: &[&str] = &["*"];

/// All whose container is on a bridge.
const BRIDGED: &[&str] = &[
    "bridge/*",
    "check/*",
    "del/*",
    "host-local/*",
    "static/*",
    "portmap/*",
    "firewall/*",
    "tuning/*",
    "bandwidth/*",
    "sbr/*",
    "chain/*",
    "version/*",
    "environment/*",
    "document/*",
    "loopback/after a bridge",
];

pub(super) const DIFFERENCES: &[Difference] = &[
    differ(ANY, &["- ADD of *: dns = {}"], "the specification leaves out what is empty"),
    differ(
        ANY,
        &["+ ADD of *: routes[*].gw = *", "+ ADD of *: ip4.routes[*].gw = *", "+ ADD of *: ip6.routes[*].gw = *"],
        "a route without next hop goes by the gateway: the result says so, as the kernel does",
    ),
    differ(
        ANY,
        &[
            "- ADD of *: interfaces[0].mac = MAC of the VETH of *",
            "- with *, host: link br0: address = MAC of the VETH of *",
            "- at the end is left in host: link br0: address = 00:00:00:00:00:00",
            "+ ADD of *: interfaces[0].mac = MAC of br0",
            "+ with *, host: link br0: address = MAC of br0",
        ],
        "the bridge has a hardware address of its own: another's would change with the containers",
    ),
    differ(
        ANY,
        &[
            "+ with *, *: link eth0: txqlen = 1000",
            "+ with *, *: link net1: txqlen = 1000",
            "+ with *, host: link VETH of *: txqlen = 1000",
            "+ with *, host: link bwp*: txqlen = 32",
        ],
        "the kernel's length; Debian's version makes queues of length 0, later ones do not",
    ),
    differ(
        ANY,
        &["- *: route to * by *: protocol = \"boot\"", "+ *: route to * by *: protocol = \"static\""],
        "routing daemons leave alone what an administrator set",
    ),
    differ(
        BRIDGED,
        &["- with *, host: sysctl ipv6/VETH of */accept_ra: 0"],
        "a port of a bridge hears no router: what it receives is the bridge's",
    ),
    differ(
        ANY,
        &["+ with *, *: sysctl ipv6/eth0/accept_ra: 0", "+ with *, *: sysctl ipv6/net1/accept_ra: 0"],
        "a container has the routes that its network gives, and none of a neighbour's that says it is a router",
    ),
    differ(
        ANY,
        &[
            "+ with *, *: sysctl ipv4/eth0/arp_notify: 1",
            "+ with *, *: sysctl ipv6/eth0/ndisc_notify: 1",
            "+ with *, *: sysctl ipv6/eth0/accept_dad: 0",
        ],
        "every kind of link is set as containers of a bridge are: neighbours learn at once who has an address now",
    ),
    differ(
        ANY,
        &["+ with *, *: sysctl ipv6/eth0/keep_addr_on_down: 1"],
        "an interface that is set down and up again keeps its addresses; later versions do the same",
    ),
    differ(
        ANY,
        &[
            "+ with *, host: sysctl ipv6/br0/accept_dad: 0",
            "+ with *, host: sysctl ipv6/cni0/accept_dad: 0",
            "+ with *, host: sysctl ipv6/VETH of */accept_dad: 0",
            "+ with *, *: address * of *: nodad = true",
            "+ at the end is left in host: address * of br0: nodad = true",
        ],
        "nobody else can have these addresses: IPv6 works when ADD returns, and not a second or two later",
    ),
    differ(
        ANY,
        &["- *file /*: mode = 644", "- *file /*/lock: mode = 750", "+ *file /*: mode = 600"],
        "Debian's version lets everybody read leases, later ones do not; and nothing is to be executed",
    ),
    differ(
        ANY,
        &["+ *, file /*/.groundwork-*/*@*"],
        "an index by attachment: an ADD costs the same with ten leases and with ten thousand",
    ),
    differ(
        ANY,
        &["- DEL of *: fails", "+ DEL of *: succeeds"],
        "a DEL that fails keeps the runtime from ever removing the container",
    ),
    differ(
        ANY,
        &[
            "- after the failed ADD of *: link * veth",
            "- after the failed ADD of *: link br0 bridge",
            "- after the failed ADD of *: address * of *",
            "- after the failed ADD of *: route to * by *",
        ],
        "a failed ADD leaves nothing behind: the reference leaves half of it to DEL",
    ),
];
