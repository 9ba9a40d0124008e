//! `groundwork overlay status` where the engine is etcd: who is there and who is not.

use serde_json::{Value, json};

use crate::{
    etcd_site::{Node, PATIENCE, ROOT, SOON, Site},
    support::{GROUNDWORK, eventually},
};

/// What the command says: its document, which the exit status agrees with, and its words.
#[track_caller]
fn status(node: &Node<'_>, options: &str) -> (Value, String) {
    let command = format!("{GROUNDWORK} overlay status --state-dir /run/{} {options}", node.name);
    let output = node.try_sh(&format!("{command} --json"));
    let all: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(output.status.success(), all[0]["right"] == true, "{all}");
    (all[0].clone(), node.try_sh(&command).stdout)
}

/// How the agent fares, once it fares so.
#[track_caller]
fn agent_that(node: &Node<'_>, fares: &str) -> (Value, String) {
    let mut seen = (Value::Null, String::new());
    let is_so = eventually(SOON, || {
        seen = status(node, "");
        seen.0["engine"]["agent"] == fares
    });
    assert!(is_so, "not {fares}: {}\n{}", seen.0, node.log());
    seen
}

#[test]
fn it_tells_an_agent_that_is_gone_from_an_etcd_that_is() {
    let site = Site::with_agents(2);
    let node = site.node(1);
    let overlay = json!({ "network": ["10.244.0.0/16", "fd00:244::/48"], "engine": "etcd" });
    let (well, words) = agent_that(&node, "follows");
    let expected = json!({
        "name": "etcd", "listen": "127.0.0.1:9471", "agent": "follows", "peers": 1, "refused": 0, "kernel": null,
    });
    assert_eq!((&well["engine"], &well["right"]), (&expected, &json!(true)));
    assert!(words.contains("engine    etcd, agent at 127.0.0.1:9471 follows etcd: 1 peers\n"), "{words}");

    site.kill_etcd();
    let (away, words) = agent_that(&node, "cutOff");
    // The peers by what etcd said last.
    assert_eq!((&away["peers"], &away["right"]), (&well["peers"], &json!(false)));
    assert_eq!((&well["peers"][0]["node"], well["peers"].as_array().unwrap().len()), (&json!("h2"), 1));
    assert!(words.contains("has not followed etcd for") && words.contains("stays in force"), "{words}");
    // It goes on counting from one attempt to the next.
    let longer = || status(&node, "").0["engine"]["seconds"].as_u64() > Some(7);
    assert!(eventually(PATIENCE, longer), "{away}\n{}", node.log());

    // It hangs, and is waited for no longer than a moment.
    node.sh("kill -STOP $(cat /run/h1.pid)");
    let (hung, _) = agent_that(&node, "silent");
    assert_eq!(hung["engine"]["why"], "no answer within 2 s");
    node.end("KILL");
    let (gone, words) = agent_that(&node, "silent");
    assert!(gone["engine"]["why"].as_str().unwrap().contains("Connection refused"), "{gone}");
    assert!(words.contains("does not answer: Connection refused") && words.contains("systemctl start"), "{words}");
    // By what the kernel holds.
    assert_eq!((&gone["peers"][0]["vtep"], &gone["peers"][0]["node"]), (&well["peers"][0]["vtep"], &Value::Null));
    // A runtime is told of none of this: containers come and go.
    node.verb("STATUS", "none", &overlay).success("STATUS");

    site.start_etcd();
    agent_that(&node, "silent");
    node.start();
    agent_that(&node, "follows");
    assert_eq!(status(&node, "").0["right"], true);
}

#[test]
fn before_there_is_a_subnet_it_tells_what_the_agent_waits_for() {
    let site = Site::new();
    site.start_etcd();
    site.add_node(1);
    let node = site.node(1);
    let config = json!({
        "cniVersion": "1.0.0", "name": "pods", "type": "groundwork", "bridge": "cni0", "stateDir": "/run/h1",
        "overlay": { "network": "10.244.0.0/16", "engine": "etcd" },
    });
    node.sh(&format!("echo '{config}' >/run/pods.conf"));
    let (nothing, words) = status(&node, "--config /run/pods.conf");
    assert_eq!(nothing["engine"]["agent"], "silent");
    assert!(words.contains("this host has no subnet"), "{words}");
    node.start();
    node.await_log("etcd has no key /groundwork/v1/pods/config");
    let (waits, _) = status(&node, "--config /run/pods.conf");
    assert_eq!(
        (&waits["engine"]["agent"], &waits["engine"]["kernel"]),
        (&json!("cutOff"), &json!("waits for a subnet"))
    );
    assert!(waits["engine"]["why"].as_str().unwrap().contains("etcdctl put /groundwork/v1/pods/config"), "{waits}");
}

#[test]
fn an_agent_is_asked_where_its_configuration_says_and_is_no_other_networks() {
    let site = Site::new();
    site.start_etcd();
    site.configure(&json!({ "network": "10.244.0.0/16" }));
    site.add_node(1);
    let node = site.node(1);
    node.configure(json!({ "listen": "[::1]:9999" }));
    node.start();
    let is_there = || status(&node, "").0["engine"]["listen"] == "[::1]:9999";
    assert!(
        eventually(PATIENCE, || node.try_sh("test -e /run/h1/pods/overlay.json").status.success()),
        "{}",
        node.log()
    );
    assert!(is_there());
    assert_eq!(agent_that(&node, "follows").0["right"], true);
    // The agent of another network has the address now.
    node.end("TERM");
    node.configure(json!({ "listen": "[::1]:9999", "network": "other" }));
    node.start();
    let (other, words) = agent_that(&node, "stranger");
    assert_eq!(other["engine"]["network"], "other");
    assert!(words.contains("is that of network other"), "{words}");
}

#[test]
fn it_compares_the_kernel_with_what_the_agent_knows() {
    let site = Site::with_agents(2);
    let node = site.node(1);
    // The agent puts it right when it next compares all, so try again if it was faster. An entry that nobody asked for:
    // of a host that was removed while no agent ran.
    let damage = "ip route flush dev vxlan.1 proto 103; ip -6 route flush dev vxlan.1 proto 103
                  ip neigh flush dev vxlan.1 nud permanent; ip -6 neigh flush dev vxlan.1 nud permanent
                  bridge fdb del 02:67:0a:63:00:02 dev vxlan.1; bridge fdb replace 02:67:0a:63:00:09 dev vxlan.1 dst 10.99.0.9
                  nft flush set inet groundwork vtep4_4789_1";
    let mut seen = (Value::Null, String::new());
    let is_told = eventually(SOON, || {
        node.try_sh(damage);
        seen = status(&node, "");
        seen.0["peers"][0]["missing"].as_array().is_some_and(|missing| missing.len() == 6)
    });
    let (damaged, words) = seen;
    assert!(is_told, "{damaged}");
    assert_eq!((&damaged["peers"][0]["node"], &damaged["engine"]["agent"]), (&json!("h2"), &json!("follows")));
    assert!(words.contains("h2: 10.244.") && words.contains("missing: ip route replace 10.244."), "{words}");
    assert!(damaged["stale"][0].as_str().unwrap().contains("02:67:0a:63:00:09"), "{damaged}");
    // A record that is not followed, and why.
    site.etcdctl(&format!(
        "put {ROOT}/nodes/h9 '{{\"node\":\"h9\",\"subnets\":[\"10.244.9.0/24\"],\"vtep\":\"10.99.0.9\"}}'"
    ));
    let is_refused = || {
        let refused = status(&node, "").0["refused"].as_array().cloned().unwrap_or_default();
        refused.len() == 1 && refused[0].as_str().unwrap().contains("h9")
    };
    assert!(eventually(SOON, is_refused), "{}", status(&node, "").1);
}
