//! Nobody in who does not belong there: records that cannot be true, users and roles, certificates, names.

use serde_json::json;

use crate::{
    etcd_site::{PATIENCE, ROOT, Site},
    support::eventually,
};

/// The page from which people type the commands.
const PAGE: &str = include_str!("../../docs/etcd.md");

/// The commands of the page's block that begins with this comment.
fn commands(title: &str) -> &'static str {
    let blocks = PAGE.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    blocks.into_iter().find(|block| block.starts_with(&format!("# {title}"))).expect(title)
}

#[test]
fn records_that_cannot_be_true_are_refused_and_told() {
    let site = Site::with_agents(2);
    let (first, second) = (site.node(1), site.node(2));
    let there = second.pod("web");
    first.pod("web");
    let before = first.kernel();
    let own = first.subnets()[0].clone();
    let record = |subnet: &str, vtep: &str| json!({ "node": "evil", "subnets": [subnet], "vtep": vtep }).to_string();
    let claimed = |subnet: &str| site.etcdctl(&format!("put {ROOT}/alloc/{} evil", subnet.replace('/', "-")));
    claimed("10.9.0.0/24");
    claimed("10.244.250.0/24");
    let taken = &second.subnets()[0];
    let cases = [
        (record("10.9.0.0/24", "10.99.0.66"), "subnet 10.9.0.0/24 is not inside the overlay's network".into()),
        (record("10.244.251.0/24", "10.99.0.66"), "it has not claimed subnet 10.244.251.0/24".into()),
        (record(taken, "10.99.0.66"), format!("subnet {taken} is claimed by \"h2\"")),
        (record(&own, "10.99.0.66"), format!("subnet {own} is claimed by \"h1\"")),
        (record("10.244.250.0/24", "10.99.0.2"), "VTEP 10.99.0.2 is that of \"h2\"".into()),
        (record("10.244.250.0/24", "10.99.0.1"), "VTEP 10.99.0.1 is that of \"h1\"".into()),
        (record("10.244.250.0/24", "10.244.250.1"), "VTEP 10.244.250.1 is inside the overlay itself".into()),
        (record("10.244.250.0/24", "10.99.0.66").replace("evil", "h2"), "it speaks of \"h2\"".into()),
        ("no record".into(), "it cannot be read".into()),
    ];
    for (record, reason) in cases {
        site.etcdctl(&format!("put {ROOT}/nodes/evil '{record}'"));
        first.await_log(&format!("the record of \"evil\" is refused: {reason}"));
        assert_eq!(first.metric("records_refused"), Some(1));
        assert_eq!(first.kernel(), before, "{record}");
    }
    first.ping("web", &there);
    // One that can be true is followed at once, and one that is put right, too.
    site.etcdctl(&format!("put {ROOT}/nodes/evil '{}'", record("10.244.250.0/24", "10.99.0.66")));
    first.await_peers(2);
    assert_eq!(first.metric("records_refused"), Some(0));
    assert!(first.kernel().contains("02:67:0a:63:00:42 dst 10.99.0.66"), "{}", first.kernel());
    // A changed hardware address alone is enough of a change.
    let moved = record("10.244.250.0/24", "10.99.0.66").replace('{', r#"{"mac": "02:00:00:00:00:42", "#);
    site.etcdctl(&format!("put {ROOT}/nodes/evil '{moved}'"));
    let is_right = || {
        let kernel = first.kernel();
        kernel.contains("10.244.250.0 lladdr 02:00:00:00:00:42") && !kernel.contains("02:67:0a:63:00:42")
    };
    assert!(eventually(PATIENCE, is_right), "{}", first.kernel());
}

#[test]
fn two_hosts_of_one_name_are_not_taken_for_one() {
    let site = Site::with_agents(2);
    let (first, third) = (site.node(1), site.node(3));
    site.add_node(3);
    third.configure(json!({ "node": "h2" }));
    third.start();
    third.await_log("a host with the address 10.99.0.2 is alive under the name \"h2\"");
    assert!(third.routes().is_empty() && third.subnets().is_empty());
    assert!(site.value("nodes/h2").contains("10.99.0.2"));
    first.await_peers(1);
}

#[test]
fn a_node_writes_only_what_is_its_own() {
    let mut site = Site::new();
    // Tokens that end soon: an agent has to live with that.
    site.outside.sh("cd /run; openssl genrsa -out jwt.key 2048 2>/dev/null; openssl rsa -in jwt.key -pubout -out jwt.pub 2>/dev/null");
    site.etcd_options = "--auth-token jwt,pub-key=/run/jwt.pub,priv-key=/run/jwt.key,sign-method=RS256,ttl=3s".into();
    site.start_etcd();
    site.configure(&json!({ "network": "10.244.0.0/16" }));
    let environment = "export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=http://10.99.0.254:2379 network=pods";
    site.outside.sh(&format!("set -e; {environment} root_password=rootpw\n{}", commands("once")));
    site.etcdctl_options = "--user root:rootpw".into();
    for number in 1..=2 {
        let variables =
            format!("ETCDCTL_USER=root:rootpw node=h{number} password=pw{number} subnet=10.244.{number}.0-24");
        site.outside.sh(&format!("set -e; {environment} {variables}\n{}", commands("for each host")));
        site.add_node(number);
        let node = site.node(number);
        node.sh(&format!("echo pw{number} >/run/h{number}.pw"));
        node.configure(
            json!({ "etcd": { "user": format!("h{number}"), "passwordFile": format!("/run/h{number}.pw") } }),
        );
        node.start();
    }
    let (first, second) = (site.node(1), site.node(2));
    first.await_peers(1);
    second.await_peers(1);
    assert_eq!((first.subnets(), second.subnets()), (vec!["10.244.1.0/24".into()], vec!["10.244.2.0/24".into()]));
    // What is its own is put back after its token has ended.
    std::thread::sleep(std::time::Duration::from_secs(4));
    site.etcdctl(&format!("del {ROOT}/nodes/h1"));
    assert!(eventually(PATIENCE, || !site.value("nodes/h1").is_empty()), "{}", first.log());
    let as_user = |user: &str, arguments: &str| {
        let call = format!("ETCDCTL_API=3 etcdctl --endpoints http://10.99.0.254:2379 {user} {arguments}");
        site.outside.try_sh(&call)
    };
    let h1 = "--user h1:pw1";
    assert!(as_user(h1, &format!("put {ROOT}/nodes/h1 '{}'", site.value("nodes/h1"))).status.success());
    for foreign in ["nodes/h2", "alive/h2", "alloc/10.244.1.0-24", "alloc/10.244.7.0-24", "config", "nodes/h1x"] {
        let refused = as_user(h1, &format!("put {ROOT}/{foreign} x"));
        assert!(refused.stderr.contains("permission denied"), "{foreign}: {}", refused.stderr);
    }
    let anonymous = as_user("", &format!("get {ROOT}/config"));
    assert!(!anonymous.status.success(), "{}", anonymous.stdout);
    // One that nobody has given a subnet is told what to do, and so is one with a wrong password.
    site.add_node(3);
    let third = site.node(3);
    third.sh("echo pw1 >/run/h3.pw");
    third.configure(json!({ "node": "h3", "etcd": { "user": "h1", "passwordFile": "/run/h3.pw" } }));
    third.start();
    third.await_log("permission denied: give the user's role these keys");
    third.end("TERM");
    third.sh("echo wrong >/run/h3.pw");
    third.start();
    third.await_log("see etcd.user and the file etcd.passwordFile");
}

#[test]
fn certificates_are_asked_of_both() {
    let mut site = Site::new();
    site.outside.sh("cd /run
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem 2>/dev/null
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout other.key -out other.pem 2>/dev/null
        echo 'subjectAltName=IP:10.99.0.254' >ext
        for name in etcd h1 h2; do
          openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name.key -out $name.csr 2>/dev/null
          openssl x509 -req -days 2 -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile ext -out $name.pem 2>/dev/null
        done");
    site.scheme = "https";
    site.etcd_options =
        "--cert-file /run/etcd.pem --key-file /run/etcd.key --trusted-ca-file /run/ca.pem --client-cert-auth".into();
    site.etcdctl_options = "--cacert /run/ca.pem --cert /run/h1.pem --key /run/h1.key".into();
    site.start_etcd();
    site.configure(&json!({ "network": "10.244.0.0/16" }));
    for number in 1..=2 {
        site.add_node(number);
        let (ca, name) = ("/run/ca.pem", format!("h{number}"));
        let (cert, key) = (format!("/run/{name}.pem"), format!("/run/{name}.key"));
        site.node(number).configure(json!({ "etcd": { "ca": ca, "cert": cert, "key": key } }));
        site.node(number).start();
    }
    site.node(1).await_peers(1);
    site.node(2).await_peers(1);
    // Whoever is not vouched for is not believed, and whoever shows nothing is not heard.
    site.add_node(3);
    let third = site.node(3);
    third.configure(json!({ "etcd": { "ca": "/run/other.pem" } }));
    third.start();
    third.await_log("invalid peer certificate");
    third.end("TERM");
    third.configure(json!({ "etcd": { "ca": "/run/ca.pem" } }));
    third.sh("rm /run/h3.log");
    third.start();
    third.await_log("etcd is not followed");
    assert!(third.subnets().is_empty());
    assert_eq!(site.keys("alloc").len(), 2);
}
