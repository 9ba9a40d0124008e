//! What the kernel holds, what a result says, and what comes through while a container lives.

use super::{Difference, differ};

pub(super) const DIFFERENCES: &[Difference] = &[
    differ(
        &["bridge/dns of ipam", "host-local/resolvConf*", "static/dns*"],
        &["+ ADD of web: dns.*"],
        "Debian's version of the bridge forgets the IPAM's name servers",
    ),
    differ(
        &["bridge/portIsolation*"],
        &[
            "- with *, host: link VETH of *: linkinfo.info_slave_data.isolated = false",
            "+ with *, host: link VETH of *: linkinfo.info_slave_data.isolated = true",
        ],
        "Debian's version does not know it yet",
    ),
    differ(
        &["bridge/portIsolation, two containers"],
        &[
            "- web pings 10.88.0.3: answers",
            "- db to tcp 10.88.0.2:80: comes from 10.88.0.3",
            "+ web pings 10.88.0.3: nothing",
            "+ db to tcp 10.88.0.2:80: nothing",
        ],
        "as above: isolated ports do not reach each other",
    ),
    differ(
        &["bridge/disableContainerInterface"],
        &[
            "- with web, web: link eth0: flags = BROADCAST MULTICAST UP",
            "+ with web, web: link eth0: flags = BROADCAST MULTICAST",
        ],
        "Debian's version does not know it yet",
    ),
    differ(
        &["bridge/isGateway*, *address*"],
        &["- with web, host: sysctl ipv6/br0/accept_ra: 0"],
        "a bridge that is there and up is the administrator's: the host may have its own address from a router behind it",
    ),
    differ(
        &["bridge/isGateway, the address is there"],
        &["+ ADD of web: interfaces[0].mac = *"],
        "as it was found: only who gives it its address also fixes its hardware address, which ports change else",
    ),
    differ(
        &["host-local/routes with keys of 1.1.0"],
        &[
            "- with web, web: route to 192.0.2.0/24 by eth0 in main: *gateway = 10.88.0.1, scope*",
            "+ with web, web: route to 192.0.2.0/24 by eth0 in main: *metric = 5, metrics[0].mtu = 1300, scope*",
            "- CHECK of web: fails",
            "+ CHECK of web: succeeds",
        ],
        "Debian's version does not know them yet",
    ),
    differ(
        &[
            "host-local/IP by CNI_ARGS",
            "host-local/IP by CNI_ARGS together",
            "host-local/IP by args.cni*",
            "host-local/ips by runtimeConfig",
            "host-local/ips by runtimeConfig together",
            "host-local/ips by runtimeConfig with their prefix",
            "host-local/ips by runtimeConfig of *",
            "chain/everything*",
        ],
        &["- with web, file /*/last_reserved_ip.*", "- at the end is left: file /*/last_reserved_ip.*"],
        "an address that was asked for does not move the turn of those that are given",
    ),
    differ(
        &["host-local/dataDir by default*"],
        &[
            "- with web, file /var/lib/cni/networks/net/*",
            "- at the end is left: file /var/lib/cni/networks/net/*",
            "+ at the end is left: file /run/groundwork/net/leases/last_reserved_ip.0: \"10.88.0.2\"",
            "+ at the end is left: file /run/groundwork/net/leases/lock: \"\"",
        ],
        "leases end with the boot, as containers do",
    ),
    differ(
        &["portmap/hostIP of *", "portmap/hostIP unspecified of IPv6"],
        &["- with web, host: sysctl ipv4/br0/route_localnet: 1"],
        "what no mapping of IPv4 needs is left off",
    ),
    differ(
        &["portmap/both families*", "portmap/hostIP unspecified of IPv6"],
        &["- the host to tcp [::1]:8080: nothing", "+ the host to tcp [::1]:8080: connection refused"],
        "the kernel routes nothing from ::1 to another link: a refusal is heard sooner than nothing",
    ),
    differ(
        &["portmap/masqAll", "portmap/masqAll together"],
        &["- out to tcp 192.0.2.1:8080: comes from 192.0.2.2", "+ out to tcp 192.0.2.1:8080: comes from 10.88.0.1"],
        "Debian's version does not know it yet",
    ),
    differ(
        &["firewall/the admin's chain, no chain asks it"],
        &[
            "- out to tcp 10.88.0.2:80: nothing",
            "- web to tcp 192.0.2.2:80: nothing",
            "+ out to tcp 10.88.0.2:80: comes from 192.0.2.2",
            "+ web to tcp 192.0.2.2:80: comes from 192.0.2.1",
        ],
        "groundwork makes no FORWARD chain in iptables' tables, so where there is none nobody asks the administrator's",
    ),
    differ(&["tuning/txQLen"], &["+ with web, web: link eth0: txqlen = 77"], "Debian's version does not know it yet"),
    differ(
        &["tuning/mtu together"],
        &["- with web, host: link *: mtu = 1500", "+ with web, host: link *: mtu = 1400"],
        "in one configuration there is one `mtu`, the network's",
    ),
    differ(
        &[
            "bandwidth/egress*",
            "bandwidth/both*",
            "bandwidth/by runtimeConfig",
            "bandwidth/by runtimeConfig together",
            "bandwidth/DEL*",
            "bandwidth/CHECK*",
            "chain/everything*",
        ],
        &[
            "- with web, host: filter of VETH of web: *",
            "+ with web, host: filter of VETH of web: *, options.actions[0].to_dev = bwp437252eec243, options.bkt*",
        ],
        "the reference redirects twice, which does once",
    ),
    differ(
        &["sbr/table"],
        &[
            "- with web, web: ro* = 100*",
            "- with web, web: r* table = 100",
            "+ with web, web: route to * by eth0 in main: *",
            "+ with web, web: rule: *, src = 10.88.0.2, table = 200",
        ],
        "Debian's version does not know it yet: the table is filled by whoever names it",
    ),
    differ(
        &["sbr/tables that are taken"],
        &["- with web, web: r* table = 100*", "+ with web, web: r* table = 101*"],
        "a table that has routes is taken, whether or not a rule leads to it",
    ),
    differ(
        &["sbr/both families*"],
        &["- with web, web: route to fd00:88::/64 by eth0 in 100: *"],
        "an address of IPv4 has no use for routes of IPv6 in its table",
    ),
    differ(
        &["ptp/*"],
        &[
            "- with *, *: address * of eth0: *prefixlen = *",
            "+ with *, *: address * of eth0: *noprefixroute = true, prefixlen = *",
            "- after the failed ADD of web, web: address * of eth0: *prefixlen = *",
            "+ after the failed ADD of web, web: address * of eth0: *noprefixroute = true, prefixlen = *",
        ],
        "the kernel's own route of the subnet is not made, where the reference deletes it",
    ),
    differ(
        &["macvlan/*"],
        &["+ with *, *: link eth0: ifalias = net/*/eth0"],
        "by which DEL knows the link, whatever its name is then",
    ),
    differ(
        &["macvlan/mac by args.cni"],
        &[
            "- ADD of web: interfaces[0].mac = MAC of eth0 of web",
            "- with web, web: link eth0: address = MAC of eth0 of web",
            "+ ADD of web: interfaces[0].mac = 02:00:00:00:00:02",
            "+ with web, web: link eth0: address = 02:00:00:00:00:02",
        ],
        "what may ask for the hardware address of a bridge's port may ask for this one's",
    ),
    differ(
        &["loopback/version 0.2.0"],
        &["- ADD of web: i*", "+ ADD of web: ip4.ip = 127.0.0.1/8", "+ ADD of web: ip6.ip = ::1/128"],
        "a result has the shape of the version that was asked for",
    ),
    differ(
        &["loopback/version 0.4.0"],
        &["+ ADD of web: ips[*].version = *"],
        "a result has the shape of the version that was asked for",
    ),
    differ(
        &["environment/VERSION"],
        &["- ADD of web: supportedVersions = *", "+ ADD of web: supportedVersions = * 1.1.0"],
        "Debian's version is older than 1.1.0 of the specification",
    ),
];
