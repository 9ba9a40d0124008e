//! What CHECK finds.

use super::{Difference, differ};

/// CHECK of the reference's finds a fault that there is not.
const THEIRS: &[&str] = &["- CHECK of *: fails", "+ CHECK of *: succeeds"];
/// CHECK of the reference's overlooks a fault.
const OURS: &[&str] = &["- CHECK of *: succeeds", "+ CHECK of *: fails"];

pub(super) const DIFFERENCES: &[Difference] = &[
    differ(
        &["bridge/no ipam*", "bridge/disableContainerInterface"],
        THEIRS,
        "a network without addresses is checked, too: the reference looks for the IPAM's plugin",
    ),
    differ(
        &["check/a route *", "host-local/routes*", "version/0.4.0*", "version/1.0.0*"],
        THEIRS,
        "the reference looks for a route without next hop as it was configured, not as it was made",
    ),
    differ(&["static/an address alone in its net"], THEIRS, "an address may be without gateway"),
    differ(
        &[
            "portmap/tcp*",
            "portmap/udp*",
            "portmap/a protocol in capitals",
            "portmap/hostIP",
            "portmap/hostIP together",
            "portmap/hostIP of *",
            "portmap/hostIP unspecified*",
            "portmap/both families*",
            "portmap/several*",
            "portmap/snat off*",
            "portmap/masqAll*",
            "portmap/markMasqBit",
            "portmap/CHECK, the rules are gone",
            "chain/*",
        ],
        THEIRS,
        "Debian's version looks for each family's rules in both families' tables",
    ),
    differ(&["tuning/sysctl of the interface*"], THEIRS, "IFNAME stands for the interface in CHECK as in ADD"),
    differ(&["tuning/sysctl of several numbers"], THEIRS, "the kernel answers with tabs between them"),
    differ(&["bandwidth/nothing*"], THEIRS, "the reference panics"),
    differ(
        &["sbr/no gateway", "sbr/table", "sbr/* together"],
        THEIRS,
        "source routing moves the routes that the network made: they are not gone",
    ),
    differ(&["document/CHECK with an empty prevResult"], THEIRS, "the record of the ADD says what to look for"),
    differ(
        &[
            "check/hairpin mode is off",
            "check/the host's end is down",
            "check/the bridge has no address",
            "check/the rules are gone",
            "bandwidth/CHECK, no limit",
        ],
        OURS,
        "without it the container does not work as configured",
    ),
];
