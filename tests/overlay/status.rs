//! `groundwork overlay status` where the engine is no service of ours.

use serde_json::json;

use crate::fabric::Fabric;

#[test]
fn it_tells_what_the_peer_file_is_worth() {
    let fabric = Fabric::new(&["a", "b"], false);
    fabric.write_peers(&fabric.records());
    let _pod = fabric.pod("a", "web");
    let file = fabric.peer_file().display().to_string();
    let alone = || {
        let words = fabric.host("a").try_sh(&format!("{} overlay status", fabric.host("a").plugin.display()));
        (words.status.success(), words.stdout)
    };
    let engine = fabric.status("a")["engine"].clone();
    assert_eq!(engine, json!({ "name": "static", "peerFile": file, "records": 2 }));
    let (right, words) = alone();
    assert!(right && words.contains(&format!("engine    static, peer file {file} with 2 records\n")), "{words}");
    // A record that cannot be read.
    let mut records = fabric.records();
    records.push(json!({ "node": "blurred", "subnets": "everywhere", "vtep": "192.0.2.69" }));
    fabric.write_peers(&records);
    let status = fabric.status("a");
    assert_eq!((&status["engine"]["records"], status["refused"].as_array().unwrap().len()), (&json!(3), 1), "{status}");
    let (right, words) = alone();
    assert!(
        !right && words.contains("with 3 records") && words.contains("refused: ") && words.contains("blurred"),
        "{words}"
    );
    // No list at all, and no file at all.
    for damage in ["echo '[{' > FILE", "rm FILE"] {
        fabric.host("a").sh(&damage.replace("FILE", &file));
        let status = fabric.status("a");
        assert_eq!(status["engine"], json!({ "name": "static", "peerFile": file, "records": null }));
        assert_eq!(status["problems"].as_array().unwrap().len(), 1, "{status}");
        let (right, words) = alone();
        assert!(!right && words.contains("cannot be read: the peers stay as they are"), "{words}");
        assert_eq!(words.matches("problem: ").count(), 1, "{words}");
    }
    // Peers by the configuration alone.
    let config = fabric.config_with("a", &json!({ "engine": "static", "peers": fabric.records() }));
    let told = fabric.command("a", &config, &["overlay", "status"]).success("status");
    assert!(told.contains("engine    static, peers by the configuration\n"), "{told}");
}

#[test]
fn it_tells_whether_frr_has_made_routes() {
    let fabric = Fabric::new(&["a"], false);
    let mut config = fabric.config_with("a", &json!({ "engine": "evpn", "subnet": "10.244.1.0/24" }));
    config["overlay"]["network"] = "10.244.0.0/16".into();
    let _pod = fabric.pod_by("a", "web", &config);
    let told = || fabric.command("a", &config, &["overlay", "status"]).success("status");
    let none = told();
    assert!(none.contains("engine    evpn, no route by BGP through vxbr.1") && none.contains("vtysh"), "{none}");
    // As FRR makes them; and one outside the overlay, which is not counted.
    for subnet in ["10.244.2.0/24", "10.244.3.0/24", "198.51.100.0/24"] {
        fabric.host("a").sh(&format!("ip route add {subnet} via 192.0.2.2 dev vxbr.1 onlink proto bgp"));
    }
    assert!(told().contains("engine    evpn, 2 routes by BGP through vxbr.1\n"), "{}", told());
}
