//! Records of hosts that are not there, by the thousand.

use serde_json::json;

use crate::etcd_site::{ROOT, Site};

/// Of a host that may have moved; its VTEP is in 10.98.0.0/16.
pub(crate) fn record(number: usize, moved: usize) -> String {
    let (third, fourth) = (number / 250 + 20 * moved, number % 250);
    json!({ "node": format!("p{number}"), "subnets": [subnet(number)], "vtep": format!("10.98.{third}.{fourth}") })
        .to_string()
}

fn subnet(number: usize) -> String {
    format!("10.{}.{}.0/24", 200 + number / 250, number % 250)
}

/// Claims and records of hosts that are not there.
pub(crate) fn write_records(site: &Site, count: usize) {
    let mut lines = String::new();
    for number in 0..count {
        let claim = subnet(number).replace('/', "-");
        lines += &format!("put {ROOT}/alloc/{claim} p{number}\nput {ROOT}/nodes/p{number} {}\n", record(number, 0));
    }
    let records: Vec<_> = lines.lines().collect();
    for part in records.chunks(100) {
        // etcdctl's transactions: no comparison, what is done then, nothing otherwise.
        let quoted: Vec<_> = part.iter().map(|line| quoted(line)).collect();
        site.outside.sh(&format!(
            "ETCDCTL_API=3 etcdctl --endpoints http://10.99.0.254:2379 txn >/dev/null <<'END'\n\n{}\n\n\nEND",
            quoted.join("\n")
        ));
    }
}

/// A line of a transaction with its last word in quotes.
fn quoted(line: &str) -> String {
    let mut words = line.splitn(3, ' ');
    let (verb, key, value) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    format!("{verb} {key} {:?}", value)
}
