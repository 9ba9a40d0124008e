//! Killed right before each system call that changes something: what the next verb finds, it takes away or mends.

use serde_json::{Value, json};

use crate::{
    everything::{Kind, Scene, assert_same},
    network::{Kernel, dual, with},
    strike::{Blow, Call},
    support::{Host, Sandbox, with_prev},
};

/// Strikes a verb at each change, and lets the next verb set it right: then all is as it was before, and can be done
/// anew. Which verb that is takes turns; when `LOST_THOROUGH` is set, each has its turn at each change.
fn struck_anywhere(kind: Kind, verb: &str, mends: &[&str]) {
    let host = Host::new();
    let scene = Scene::new(&host, kind);
    let before = scene.held();
    let turns = if std::env::var_os("LOST_THOROUGH").is_some() { mends.len() } else { 1 };
    let mut blows = 0;
    loop {
        let (at, mend) = (blows / turns, mends[blows % mends.len()]);
        if verb == "DEL" {
            scene.web.add(&scene.config);
        }
        let struck = scene.strike(verb, Blow::Kill(at));
        if !struck.killed() {
            assert!(struck.output.status.success(), "{struck:?}");
            break;
        }
        mended(&scene, mend);
        let what = format!("{verb}, struck before change {at}, {:?}; then {mend}", struck.changes[at]);
        assert_same(&before, &scene.held(), &what);
        blows += 1;
    }
    scene.web.del(&scene.config);
    scene.works();
    assert_same(&before, &scene.held(), "at the end");
    let points = blows / turns;
    assert!(points > if verb == "ADD" { 30 } else { 10 }, "{points}");
    println!("{kind:?}: {verb} killed before each of {points} changes, {blows} times; then {mends:?}: nothing left");
}

fn mended(scene: &Scene<'_>, mend: &str) {
    match mend {
        "DEL" => scene.web.del(&scene.config),
        "GC" => scene.gc(),
        "ADD" => {
            let result = add_anew(scene.host, &scene.web, &scene.config);
            scene.web.check(&scene.config, &result);
            scene.web.del(&scene.config);
        }
        "DEL without netns" => {
            let mut gone = scene.host.sandbox("gone");
            gone.container = scene.web.container.clone();
            gone.netns = String::new();
            gone.del(&with(&scene.config, json!({ "ipam": { "ranges": [[{ "subnet": "10.99.0.0/24" }]] } })));
            scene.host.sh("ip netns del gone");
        }
        _ => panic!("{mend}"),
    }
}

/// ADD after one that was killed. When all of that was done but its answer, it takes a DEL first, as runtimes send.
fn add_anew(host: &Host, web: &Sandbox<'_>, config: &Value) -> Value {
    let output = web.verb("ADD", config);
    if output.status.success() {
        return output.json("ADD");
    }
    assert_eq!(output.error()["code"], 4);
    let record: Value = serde_json::from_str(&host.sh("tail -n 1 /run/groundwork/net/*/web@eth0")).unwrap();
    web.check(config, &record["result"]);
    web.del(config);
    web.add(config)
}

#[test]
fn plain_add() {
    struck_anywhere(Kind::Plain, "ADD", &["DEL without netns", "GC"]);
}

#[test]
fn native_add_then_del() {
    struck_anywhere(Kind::Native, "ADD", &["DEL"]);
}

#[test]
fn native_add_then_gc_or_add() {
    struck_anywhere(Kind::Native, "ADD", &["GC", "ADD"]);
}

#[test]
fn native_del() {
    struck_anywhere(Kind::Native, "DEL", &["DEL", "GC"]);
}

#[test]
fn chained_add() {
    struck_anywhere(Kind::Chained, "ADD", &["DEL", "GC", "ADD"]);
}

#[test]
fn chained_del() {
    struck_anywhere(Kind::Chained, "DEL", &["DEL", "GC"]);
}

/// GC that takes a dead container away, and the gates that nobody needs any more.
#[test]
fn gc_then_gc() {
    let host = Host::new();
    let scene = Scene::new(&host, Kind::Native);
    let none_lives = with(&scene.config, json!({ "cni.dev/valid-attachments": [] }));
    let gc = |blow| Call::verb(&host, &scene.web, "GC", &none_lives).strike(blow);
    scene.web.add(&scene.config);
    let all = gc(Blow::Spare);
    assert!(all.output.status.success() && all.changes.len() > 10, "{all:?}");
    let after = scene.held();
    assert!(!after.contains("@eth0") && !after.contains("0x00001000 accept"), "{after}");
    let stays = host.named("stays");
    let mut points = 0;
    loop {
        for sandbox in [&stays, &scene.web] {
            sandbox.add(&with(&scene.config, json!({ "runtimeConfig": null })));
        }
        let struck = gc(Blow::Kill(points));
        if !struck.killed() {
            break; // how often it must ask depends on what others change meanwhile
        }
        gc(Blow::Spare).output.success("GC");
        assert_same(&after, &scene.held(), &format!("GC, struck before change {points}, {:?}", struck.changes[points]));
        points += 1;
    }
    assert!(points > 10, "{points}");
    scene.works();
    println!("GC killed before each of {points} changes, then GC: nothing left");
}

/// Repair after another program took everything: once more mends the rest, and a DEL finds all of it.
#[test]
fn repair_then_repair() {
    let host = Host::new();
    let scene = Scene::new(&host, Kind::Native);
    let before = scene.held();
    let result = scene.web.add(&with(&scene.config, json!({ "sbr": null })));
    let whole = scene.held();
    let damage = || {
        host.sh("nft flush table inet groundwork; nft delete table inet groundwork; nft flush chain ip filter FORWARD
                 sysctl -qw net.ipv4.conf.br0.route_localnet=0 net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
        scene.web.sh("ip route del default; ip -6 route del default");
        assert_ne!(scene.held(), whole);
    };
    let repair = |blow| Call::command(&host, &["repair"]).strike(blow);
    damage();
    let all = repair(Blow::Spare);
    assert!(all.output.status.success() && all.changes.len() > 10, "{all:?}");
    assert_same(&whole, &scene.held(), "undisturbed");
    for at in 0..all.changes.len() {
        damage();
        let struck = repair(Blow::Kill(at));
        assert!(struck.killed(), "{at}: {struck:?}");
        repair(Blow::Spare).output.success("repair");
        assert_same(&whole, &scene.held(), &format!("repair, struck before change {at}, {:?}", all.changes[at]));
        scene.web.check(&with(&scene.config, json!({ "sbr": null })), &result);
    }
    scene.web.del(&scene.config);
    assert_same(&before, &scene.held(), "undisturbed");
    println!("repair killed before each of {} changes, then repair: all is back", all.changes.len());
}

/// The first ADD of all makes the bridge, the table and the folders: none of them is left half made.
#[test]
fn the_first_add_then_add() {
    let settled = |host: &Host, web: Sandbox<'_>| {
        let result = add_anew(host, &web, &dual());
        web.check(&dual(), &result);
        web.ping("fd00:88::1");
        web.del(&with_prev(&dual(), &result));
        let scene = Scene { host, kind: Kind::Plain, web, config: dual() };
        scene.held().replace(host.link("br0")["address"].as_str().unwrap(), "MAC")
    };
    let strike = |host: &Host, web: &Sandbox<'_>, blow| Call::verb(host, web, "ADD", &dual()).strike(blow);
    let host = Host::new();
    let web = host.sandbox("web");
    let all = strike(&host, &web, Blow::Spare);
    assert!(all.output.status.success() && all.changes.len() > 40, "{all:?}");
    web.del(&dual());
    let expected = settled(&host, web);
    for at in 0..all.changes.len() {
        let host = Host::new();
        let web = host.sandbox("web");
        let struck = strike(&host, &web, Blow::Kill(at));
        assert!(struck.killed(), "{at}: {struck:?}");
        assert_same(&expected, &settled(&host, web), &format!("struck before change {at}, {:?}", all.changes[at]));
    }
    println!("the first ADD: killed before each of {} changes", all.changes.len());
}
