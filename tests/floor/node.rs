//! Nodes with many containers, and the way in through their host ports.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Host;
use crate::variant::{Variant, host_port};

/// Sandboxes that a node has.
pub(crate) const SANDBOXES: usize = 1_020;

/// Containers that listen, if there are that many: what goes through rules one by one finds them early or late.
const LISTENING: [usize; 5] = [1, 50, 100, 500, 1_000];

const CONNECTIONS: usize = 60;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A host for variants whose attachments look alike.
pub(crate) struct Node {
    pub(crate) host: Host,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    Groundwork,
    Reference,
}

impl Node {
    /// A host with sandboxes that have only a loopback link, and a neighbour that knows its uplink's address.
    pub(crate) fn new(kind: Kind) -> Self {
        let host = Host::new();
        batch(&host, (0..SANDBOXES).map(|number| format!("netns add c{number}")));
        host.sh("sysctl -qw net.ipv4.ip_forward=1
                 ip netns add world; ip link add up0 type veth peer name eth0 netns world
                 ip link set up0 up; ip address add 192.0.2.1/24 dev up0
                 ip -n world link set eth0 up; ip -n world address add 192.0.2.2/24 dev eth0");
        if kind == Kind::Floor {
            host.sh("ip link add br0 type bridge; ip address add 10.88.0.1/16 dev br0; ip link set br0 up");
            host.sh(&format!("nft -f {ROOT}/tests/floor/ruleset.nft"));
        }
        Self { host, kind }
    }
}

/// Attaches containers until there are so many, of which `present` are already.
///
/// Those of the reference take so long that all but the listening ones are made from one: what its ADD adds to the rules,
/// the leases and the bridge, with another address and other names.
pub(crate) fn populate(variant: &Variant<'_>, present: usize, wanted: usize) {
    let numbers: Vec<usize> = (present + 1..=wanted).collect();
    if variant.node.kind != Kind::Reference {
        return attach(variant, &numbers);
    }
    for part in numbers.split_inclusive(|number| LISTENING.contains(number)) {
        let (copied, real) = part.split_at(part.len() - usize::from(LISTENING.contains(&part[part.len() - 1])));
        copy(variant, copied);
        attach(variant, real);
    }
}

fn attach(variant: &Variant<'_>, numbers: &[usize]) {
    variant.node.host.starting(|| {
        for number in numbers {
            let outcome = variant.perform("ADD", *number, &Value::Null, &[]);
            outcome.unwrap().unwrap_or_else(|said| panic!("{}: c{number}: {said}", variant.name));
        }
    });
}

/// What the reference's ADDs of these containers would leave.
fn copy(variant: &Variant<'_>, numbers: &[usize]) {
    let (host, Some(first)) = (&variant.node.host, numbers.first()) else { return };
    let before = host.sh("iptables-save");
    let (_, result) = variant.measure("ADD", *first, &Value::Null).unwrap();
    let template = added(&before, &host.sh("iptables-save"));
    variant.measure("DEL", *first, &result);
    let address = result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
    let chain = template.lines().find_map(|line| Some(line.strip_prefix(":CNI-DN-")?.split(' ').next()?.to_owned()));
    let chain = chain.unwrap_or_else(|| panic!("no chain for host ports in\n{template}"));

    let own = |number: usize| format!("10.88.{}.{}", 100 + number / 250, number % 250 + 2);
    let mut rules = String::new();
    for table in template.split_terminator("COMMIT\n") {
        let (name, lines) = table.split_once('\n').unwrap();
        rules += &format!("{name}\n");
        for number in numbers {
            let port = |words: &str, number| format!("{words} {}", host_port(number));
            rules += &lines
                .replace(&format!("{address}/"), &format!("{}/", own(*number)))
                .replace(&format!("{address}:"), &format!("{}:", own(*number)))
                .replace(&port("dport", *first), &port("dport", *number))
                .replace(&port("dports", *first), &port("dports", *number))
                .replace(&chain, &format!("{number:0width$x}", width = chain.len()));
        }
        rules += "COMMIT\n";
    }
    let leases: String =
        numbers.iter().map(|number| format!("printf 'c{number}\\r\\neth0' > {}\n", own(*number))).collect();
    batch(
        host,
        numbers
            .iter()
            .map(|number| format!("link add vethr{number} master br0 up type veth peer name eth0 netns c{number}")),
    );
    host.inside(|| std::fs::write("/run/rules", rules).unwrap());
    host.sh("iptables-restore --noflush < /run/rules");
    host.sh(&format!("cd /var/lib/cni/networks/bench\n{leases}"));
}

/// What the later of two iptables-save has more, as iptables-restore reads it.
fn added(before: &str, after: &str) -> String {
    let mut added = String::new();
    let mut table = "";
    for line in after.lines() {
        if line.starts_with('*') {
            table = line;
            added += &format!("{line}\n");
        } else if line == "COMMIT" {
            added += "COMMIT\n";
        } else if line.starts_with([':', '-']) && !holds(before, table, line) {
            added += &format!("{line}\n");
        }
    }
    added
}

/// Whether a table has a line; what packets counted is no difference.
fn holds(saved: &str, table: &str, line: &str) -> bool {
    let plain = |line: &str| line.split(" [").next().unwrap_or_default().to_owned();
    let of_table = saved.split("COMMIT").find(|part| part.contains(&format!("{table}\n")));
    of_table.is_some_and(|part| part.lines().any(|one| plain(one) == plain(line)))
}

/// How long a new TCP connection takes from outside to a container by its host port, when so many have one.
pub(crate) fn connect(node: &Node, present: usize) -> Vec<Duration> {
    let host = &node.host;
    let there: Vec<usize> = LISTENING.into_iter().filter(|number| *number <= present).collect();
    let listening: Vec<(usize, TcpListener)> = there
        .iter()
        .map(|number| (*number, host.named(&format!("c{number}")).inside(|| TcpListener::bind("0.0.0.0:80").unwrap())))
        .collect();
    host.named("world").inside(|| {
        let mut taken = Vec::new();
        for round in 0..CONNECTIONS {
            for (number, listener) in &listening {
                let to = SocketAddr::from(([192, 0, 2, 1], u16::try_from(host_port(*number)).unwrap()));
                let start = Instant::now();
                let connected = TcpStream::connect_timeout(&to, Duration::from_secs(5));
                let elapsed = start.elapsed();
                connected.unwrap_or_else(|error| panic!("c{number} by port {}: {error}", to.port()));
                drop(listener.accept().unwrap());
                if round > 0 {
                    taken.push(elapsed); // the first asks for neighbours
                }
            }
        }
        taken
    })
}

fn batch(host: &Host, lines: impl Iterator<Item = String>) {
    let lines: Vec<_> = lines.collect();
    host.inside(|| std::fs::write("/run/batch", lines.join("\n")).unwrap());
    host.sh("ip -batch /run/batch");
}
