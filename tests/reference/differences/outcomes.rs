//! What one of the two does, and the other refuses.

use super::{Difference, differ};

/// Groundwork's ADD alone succeeds.
const OURS: &[&str] = &["- ADD of *: fails", "+ ADD of *: succeeds"];
/// And CHECK has something to compare with.
const OURS_AND_CHECK: &[&str] =
    &["- ADD of *: fails", "+ ADD of *: succeeds", "- CHECK of *: there is no result", "+ CHECK of *: succeeds"];
/// The reference's ADD alone succeeds.
const THEIRS: &[&str] = &["- ADD of *: succeeds", "+ ADD of *: fails"];

pub(super) const DIFFERENCES: &[Difference] = &[
    differ(
        &["bridge/isDefaultGateway, the default route by ipam"],
        OURS_AND_CHECK,
        "a default route by the same gateway is what was asked for, and no obstacle",
    ),
    differ(
        &[
            "host-local/IP by CNI_ARGS alone",
            "host-local/ips by runtimeConfig beside IP of CNI_ARGS",
            "static/IP and GATEWAY by CNI_ARGS",
            "static/lists by CNI_ARGS*",
            "static/IP by CNI_ARGS beside addresses",
            "static/ips by runtimeConfig over all",
        ],
        OURS_AND_CHECK,
        "keys that the network's own IPAM knows are known: the reference's bridge wants IgnoreUnknown for them",
    ),
    differ(
        &["static/no address", "ptp/no ipam"],
        OURS,
        "a link without addresses is what was asked for, as on a bridge",
    ),
    differ(&["static/no address"], OURS_AND_CHECK, "as above, and it can be checked"),
    differ(&["static/one address twice"], OURS, "to say it twice changes nothing"),
    differ(
        &["portmap/externalSetMarkChain"],
        OURS_AND_CHECK,
        "constant rules mark nothing: the key has no effect, and a log line says so",
    ),
    differ(&["portmap/no protocol"], OURS, "tcp when absent, as the convention has it"),
    differ(&["firewall/isolated"], OURS, "Debian's version does not know it yet"),
    differ(&["tuning/sysctl by args.cni alone"], OURS_AND_CHECK, "the reference panics"),
    differ(&["version/1.1.0*"], OURS, "Debian's version is older than 1.1.0 of the specification"),
    differ(&["environment/no CNI_PATH"], OURS, "no other plugin is run, so nobody has to say where they are"),
    differ(
        &["environment/no CNI_COMMAND"],
        &[
            "- ADD of *: succeeds",
            "- DEL of *: succeeds",
            "+ ADD of *: fails",
            "+ DEL of *: fails",
            "+ * of *: code none, but exit status Some(0) and what is no document",
        ],
        "whoever calls it by hand reads on stdout what it is; the reference says it on stderr",
    ),
    differ(
        &["bridge/vlanTrunk"],
        THEIRS,
        "Debian's version does not know it yet, and connects the container to every VLAN",
    ),
    differ(&["bridge/an ipam without type"], THEIRS, "a misspelt `type` must not make a network without addresses"),
    differ(&["static/a gateway of another family"], THEIRS, "no packet could go there"),
    differ(
        &["portmap/hostIP that is none"],
        THEIRS,
        "a port that was to be at one address only would be open at none, or at all",
    ),
    differ(
        &["portmap/conditions"],
        &["- ADD of *: succeeds", "- CHECK of *: fails", "+ ADD of *: fails", "+ CHECK of *: there is no result"],
        "constant rules cannot have them, and a port must not be open to more than was meant",
    ),
    differ(&["portmap/two containers"], THEIRS, "the second would wait for connections that never come"),
];
