//! What a power cut, a disk and a reboot do to files.

use serde_json::{Value, json};

use crate::{
    everything::{Kind, Scene, assert_same},
    network::{dual, with},
    random::{Random, seed},
    support::{Host, Output},
};

/// Everything but source routing: without its record nobody can know what rules in the container were there before.
fn scene(host: &Host) -> Scene<'_> {
    let scene = Scene::new(host, Kind::Native);
    let config = with(&scene.config, json!({ "sbr": null }));
    Scene { config, ..scene }
}

const RECORD: &str = "/run/groundwork/net/attachments/web@eth0";

fn write(host: &Host, path: &str, bytes: &[u8]) {
    let octal: String = bytes.iter().map(|byte| format!("\\0{byte:03o}")).collect();
    host.sh(&format!("printf '%b' '{octal}' > {path}"));
}

/// Lets a verb find the files as they are, and says what it logged.
fn mend(scene: &Scene<'_>, verb: &str) -> String {
    let output = match verb {
        "DEL" => scene.web.verb("DEL", &scene.config),
        "GC" => scene.host.gc(&scene.config, &[("stays", "eth0")]),
        _ => {
            let output = scene.web.verb("ADD", &scene.config);
            let result = output.stdout.clone();
            assert!(output.status.success(), "{output:?}");
            scene.web.check(&scene.config, &serde_json::from_str(&result).unwrap());
            scene.web.del(&scene.config);
            return output.stderr;
        }
    };
    let said = output.stderr.clone();
    output.success(verb);
    said
}

const MENDS: [&str; 3] = ["DEL", "GC", "ADD"];

/// A record cut anywhere: whatever is left of it, DEL, GC and ADD set it right.
#[test]
fn truncated_records() {
    let host = Host::new();
    let scene = scene(&host);
    let before = scene.held();
    scene.web.add(&scene.config);
    let whole = host.sh(&format!("cat {RECORD}")).into_bytes();
    scene.web.del(&scene.config);
    let first = 1 + whole[1..].iter().position(|byte| *byte == b'\n').unwrap();
    // Everywhere near the ends of lines, and at some places within.
    let mut cuts: Vec<_> = [0, 1, 2, first - 1, first, first + 1, whole.len() - 1].into();
    cuts.extend((0..30).map(|part| part * whole.len() / 30));
    for (number, cut) in cuts.iter().enumerate() {
        let verb = MENDS[number % 3];
        scene.web.add(&scene.config);
        host.sh(&format!("truncate -s {cut} {RECORD}"));
        let said = mend(&scene, verb);
        assert_same(&before, &scene.held(), &format!("cut at {cut} of {}, then {verb}", whole.len()));
        if (2..first).contains(cut) {
            assert!(said.contains("damaged"), "cut at {cut}, then {verb}: {said:?}");
        }
    }
    // A GC that is not told who lives leaves alone what may.
    let result = scene.web.add(&scene.config);
    for content in ["", "{"] {
        host.sh(&format!("cp {RECORD} /run/kept; printf '{content}' > {RECORD}"));
        host.verb("GC", &scene.config).success("GC without a list");
        host.sh(&format!("cat /run/kept > {RECORD}"));
        scene.web.check(&scene.config, &result);
    }
    println!("a record of {} bytes cut at {} places", whole.len(), cuts.len());
}

/// Every file of an attachment replaced by garbage, in its place and by another file.
#[test]
fn garbage() {
    let mut random = Random(seed());
    let host = Host::new();
    let scene = scene(&host);
    let before = scene.held();
    let random_bytes: Vec<u8> = (0..200).map(|_| random.next().to_le_bytes()[0]).collect();
    let kinds: [&[u8]; 4] = [b"", &[0; 64], b"{\"format\":1,\"netw", &random_bytes];
    let mut number = 0;
    for kind in kinds {
        for which in ["attachments/web@eth0", "lock", "last_reserved_ip.0", "last_reserved_ip.1", "index"] {
            // As long as the record is whole, another ADD is refused.
            let verb = MENDS[number % if which.ends_with("web@eth0") { 3 } else { 2 }];
            number += 1;
            scene.web.add(&scene.config);
            let path = match which {
                "index" => host.sh("ls -d /run/groundwork/net/leases/.groundwork-*/web@eth0").trim().to_owned(),
                "attachments/web@eth0" => RECORD.to_owned(),
                _ => format!("/run/groundwork/net/leases/{which}"),
            };
            write(&host, &path, kind); // the index entry is the leases' file, too
            let said = mend(&scene, verb);
            if which == "lock" {
                write(&host, &path, b""); // as it was
            }
            assert_same(&before, &scene.held(), &format!("{which} is {kind:?}, then {verb}"));
            if path == RECORD && !kind.is_empty() {
                assert!(said.contains("damaged"), "{kind:?}, then {verb}: {said:?}");
            }
            scene.works();
        }
    }
    println!("{number} files replaced");
}

/// Two addresses in all.
fn two_addresses() -> Value {
    let range = json!([[{ "subnet": "10.88.0.0/24", "rangeStart": "10.88.0.2", "rangeEnd": "10.88.0.3" }]]);
    with(&dual(), json!({ "ipam": { "ranges": range }, "logLevel": "info" }))
}

/// A lease that says nothing, and belongs to no index, is free as soon as it is needed.
#[test]
fn leases_of_nobody() {
    let host = Host::new();
    let (web, other) = (host.sandbox("web"), host.sandbox("other"));
    web.add(&two_addresses());
    web.del(&two_addresses());
    for content in ["", "\\0\\0\\0\\0", "\\0377"] {
        host.sh(&format!(
            "cd /run/groundwork/net/leases; rm -f 10.*; printf '%b' '{content}' > 10.88.0.2; cp 10.88.0.2 10.88.0.3"
        ));
        let said = web.verb("ADD", &two_addresses());
        assert!(said.stderr.contains("took addresses back"), "{content:?}: {said:?}");
        said.success("ADD");
        other.add(&two_addresses());
        for one in [&web, &other] {
            one.del(&two_addresses());
        }
        assert_eq!(host.sh("cd /run/groundwork/net/leases; ls | grep '^10' || true"), "");
    }
}

/// The error of a disk: where, why, and what to do.
fn says(output: &Output, errno: &str, advice: &str) {
    let said = output.error()["msg"].as_str().unwrap().to_owned();
    assert!(said.contains("/run/groundwork") && said.contains(errno) && said.contains(advice), "{said}");
}

/// Ever less room: an ADD passes or leaves nothing; DEL needs none.
#[test]
fn a_full_disk() {
    let host = Host::new();
    let scene = scene(&host);
    host.sh("cp -a /run/groundwork /run/kept; mount -t tmpfs -o size=1m,mode=0700 small /run/groundwork; cp -a /run/kept/. /run/groundwork/");
    scene.works();
    let before = scene.held();
    let inodes: usize = host.sh("df --output=iused /run/groundwork | tail -n 1").trim().parse().unwrap();
    let mut refused = 0;
    for free in 0..20 {
        host.sh(&format!("mount -o remount,nr_inodes={} /run/groundwork", inodes + free));
        let output = scene.web.verb("ADD", &scene.config);
        if output.status.success() {
            assert!(free > 0);
            scene.web.del(&scene.config);
            break;
        }
        says(&output, "os error 28", "free some space");
        assert_same(&before, &scene.held(), &format!("ADD with {free} free inodes"));
        refused += 1;
    }
    assert!((1..15).contains(&refused), "{refused}");
    host.sh("mount -o remount,nr_inodes=1000 /run/groundwork");
    // As many files as are there, but no page for what is in them.
    scene.web.add(&scene.config);
    host.sh("dd if=/dev/zero of=/run/groundwork/filler bs=4096 2>/dev/null; test -s /run/groundwork/filler");
    scene.web.del(&scene.config);
    host.sh("dd if=/dev/zero of=/run/groundwork/filler2 bs=4096 2>/dev/null || true");
    says(&scene.web.verb("ADD", &scene.config), "os error 28", "free some space");
    host.sh("rm /run/groundwork/filler*");
    assert_same(&before, &scene.held(), "with room again");
    scene.works();
    println!("{refused} times too few inodes, once no page");
}

#[test]
fn a_disk_that_cannot_be_written() {
    let host = Host::new();
    let scene = scene(&host);
    let before = scene.held();
    let mount = |how: &str| host.sh(&format!("mount -o remount,bind,{how} /run/groundwork"));
    host.sh("mount --bind /run/groundwork /run/groundwork");
    mount("ro");
    says(&scene.web.verb("ADD", &scene.config), "os error 30", "mount it writable");
    assert_same(&before, &scene.held(), "ADD");
    mount("rw");
    let result = scene.web.add(&scene.config);
    let whole = scene.held();
    mount("ro");
    says(&scene.web.verb("DEL", &scene.config), "os error 30", "mount it writable");
    says(&host.gc(&scene.config, &[("stays", "eth0")]), "os error 30", "mount it writable");
    assert_same(&whole, &scene.held(), "DEL and GC: nothing goes as long as nothing can be noted");
    mount("rw");
    scene.web.check(&scene.config, &result);
    scene.web.del(&scene.config);
    assert_same(&before, &scene.held(), "writable again");
}

/// Another boot: no link, table or namespace of before, but all files of a state folder that outlives it.
fn reboot(host: &Host, boot: &str) {
    host.sh(&format!(
        "for name in $(ip netns list | cut -d ' ' -f 1); do ip netns del $name; done
         until [ $(ip -br link | grep -c ^veth) = 0 ]; do sleep 0.05; done
         ip link del br0; nft flush ruleset; ip -o link show type ifb | cut -d : -f 2 | xargs -rn 1 ip link del
         echo {boot} > /run/boot; mount --bind /run/boot /proc/sys/kernel/random/boot_id"
    ));
}

#[test]
fn a_reboot() {
    let host = Host::new();
    let outliving = with(
        &two_addresses(),
        json!({
            "stateDir": "/var/lib/state", "runtimeConfig": { "portMappings": [{ "hostPort": 80, "containerPort": 80, "protocol": "tcp" }] }
        }),
    );
    let files = || host.sh("cd /var/lib/state/net && find . -type f ! -name lock ! -name 'last_reserved_ip.*' | sort");
    for (number, first) in ["ADD", "ADD of the same", "GC", "GC of all", "DEL"].into_iter().enumerate() {
        let names = ["one", "two"].map(|name| format!("{name}{number}"));
        let no_ports = with(&outliving, json!({ "runtimeConfig": null }));
        host.sandbox(&names[0]).add(&outliving);
        host.sandbox(&names[1]).add(&no_ports);
        reboot(&host, &format!("1111-{number}"));
        let next = host.sandbox("next");
        match first {
            // All addresses, and the port, were those' of before.
            "ADD" => {
                let said = next.verb("ADD", &outliving);
                assert!(said.stderr.contains("freed the leases of older boots"), "{said:?}");
                said.success("ADD");
                host.sandbox("another").add(&no_ports);
                host.named("another").del(&no_ports);
                next.del(&outliving);
            }
            "ADD of the same" => {
                let one = host.sandbox(&names[0]);
                let result = one.add(&outliving);
                one.check(&outliving, &result);
                one.del(&outliving);
            }
            "GC" => drop(host.gc(&outliving, &[]).success("GC")),
            "GC of all" => drop(host.verb("GC", &outliving).success("GC without a list")),
            _ => names.iter().for_each(|name| host.named(name).del(&outliving)),
        }
        let result = next.add(&outliving);
        next.check(&outliving, &result);
        next.del(&outliving);
        host.gc(&outliving, &[]).success("GC");
        assert_eq!(files(), "", "after a reboot and {first}");
        assert!(!host.sh("nft list ruleset").contains("comment \"net"), "{}", host.sh("nft list ruleset"));
        host.sh("ip netns del next");
    }
}
