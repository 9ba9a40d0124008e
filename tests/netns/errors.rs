//! What cannot be done is refused in words, and leaves nothing.

use serde_json::{Value, json};

use crate::{
    network::{Kernel, dual, host_link_of, single, text, with},
    support::{Host, Sandbox},
};

/// The ADD is refused with this code and these words, and nothing is as it was not before.
#[track_caller]
fn refused(host: &Host, web: &Sandbox<'_>, config: &Value, code: u64, says: &[&str]) {
    let before = host.snapshot();
    let output = web.verb("ADD", config);
    let error = output.error();
    let msg = text(&error, "msg");
    assert!(error["code"] == code, "{error}");
    for word in says {
        assert!(msg.contains(word), "{word:?} is not in {msg:?}");
    }
    let after = host.snapshot();
    // Folders may have been made, and files that hold nothing of anybody's.
    let harmless = [" file d", "/leases/lock", "/leases/last_reserved_ip."];
    let difference = before.difference(&after);
    let left: Vec<_> = difference.lines().filter(|line| !harmless.iter().any(|part| line.contains(part))).collect();
    assert_eq!(left, [""; 0], "{error}");
}

#[test]
fn the_hosts_own_namespace_is_no_sandbox() {
    let host = Host::new();
    let mut web = host.sandbox("web");
    web.netns = "/proc/1/ns/net".into();
    refused(&host, &web, &dual(), 8, &["/proc/1/ns/net", "CNI_NETNS_OVERRIDE"]);
    assert_eq!(host.sh("ls -d /run/groundwork || true"), "", "nothing was written either");
    web.env.push(("CNI_NETNS_OVERRIDE".into(), "1".into()));
    let config = with(&single(), json!({ "isDefaultGateway": null, "ipMasq": null }));
    web.add(&config);
    assert_eq!(host.addresses("eth0"), ["10.88.0.2/24"]);
    web.del(&config);
    assert_eq!(host.links(), ["br0", "lo"]);
}

#[test]
fn what_is_no_sandbox() {
    let host = Host::new();
    let mut web = host.sandbox("web");
    host.sh("touch /run/netns/empty; ln -s nowhere /run/netns/dangling");
    for path in ["/run/netns/none", "/etc/passwd", "/run/netns/empty", "/run/netns/dangling", "/proc/1/ns/mnt", "/run"]
    {
        web.netns = path.into();
        refused(&host, &web, &dual(), 8, &[path]);
    }
    assert_eq!(host.sh("ls -d /run/groundwork || true"), "");
}

#[test]
fn the_interfaces_name_is_taken() {
    let host = Host::new();
    let web = host.sandbox("web");
    host.sandbox("first").add(&dual());
    web.sh("ip link add eth0 type veth peer name eth0p; ip address add 192.0.2.1/24 dev eth0");
    let inside = web.snapshot();
    host.sh("rm /run/groundwork/net/leases/last_reserved_ip.*");
    let error = web.verb("ADD", &dual()).error();
    assert_eq!(error["code"], 101, "{error}");
    assert!(text(&error, "msg").contains("EEXIST"), "{error}");
    inside.assert_same(&web.snapshot());
    assert_eq!(host.links().len(), 3, "{:?}", host.links());
    web.del(&dual());
    inside.assert_same(&web.snapshot());
    web.sh("ip link del eth0");
    web.add(&dual());
}

#[test]
fn the_bridges_name_is_taken() {
    let host = Host::new();
    let web = host.sandbox("web");
    host.sh("ip link add br0 type veth peer name other");
    refused(&host, &web, &dual(), 7, &["br0", "veth", "not a bridge"]);
    refused(&host, &web, &with(&dual(), json!({ "bridge": "lo" })), 7, &["lo", "not a bridge"]);
}

#[test]
fn the_container_has_the_interface_already() {
    let host = Host::new();
    let web = host.sandbox("web");
    let result = web.add(&dual());
    refused(&host, &web, &dual(), 4, &["web", "eth0", "DEL"]);
    web.check(&dual(), &result);
    web.del(&dual());
    web.add(&dual());
    web.ping("10.88.0.1");
}

/// A restarted container comes with the same ID and a new sandbox; nobody sent a DEL for the old one.
#[test]
fn a_new_sandbox_of_the_same_container() {
    let host = Host::new();
    let web = host.sandbox("web");
    let first = web.add(&dual());
    host.sh("ip netns del web; ip netns add web");
    let second = web.add(&dual());
    web.ping("10.88.0.1");
    web.check(&dual(), &second);
    let veths = host.links().into_iter().filter(|name| name.starts_with("veth")).collect::<Vec<_>>();
    assert_eq!(veths, [host_link_of(&second)]);
    assert_eq!(host.snapshot().mentions("element").len(), 4, "{:?}", host.snapshot().mentions("element"));
    assert_eq!(host.sh("ls /run/groundwork/net/leases | grep -c '^10'"), "1\n");
    assert_ne!(first["interfaces"][2]["mac"], second["interfaces"][2]["mac"]);
}

#[test]
fn a_state_folder_that_others_could_have_written() {
    let host = Host::new();
    let web = host.sandbox("web");
    let clear = "rm -rf /run/groundwork /run/trap; mkdir /run/trap";
    for (make, says) in [
        ("ln -s /run/trap /run/groundwork", "symbolic link"),
        ("mkdir /run/groundwork; chmod 0777 /run/groundwork", "0777"),
        ("mkdir -m 0720 /run/groundwork", "0720"),
        ("mkdir -m 0700 /run/groundwork; chown 1000 /run/groundwork", "user 1000"),
        ("touch /run/groundwork", "/run/groundwork"),
    ] {
        host.sh(clear);
        host.sh(make);
        refused(&host, &web, &dual(), 105, &["/run/groundwork", says]);
        assert_eq!(host.sh("ls -A /run/trap"), "");
        assert_eq!(host.links(), ["lo"]);
        // DEL does not follow it either, and does not stop the clean-up of a chain in silence.
        let del = web.verb("DEL", &dual());
        assert!(text(&del.error(), "msg").contains(says), "{}", del.stdout);
    }
}

/// Links that somebody planted inside the state folder are not followed.
#[test]
fn planted_links_are_not_followed() {
    let host = Host::new();
    let web = host.sandbox("web");
    for plant in ["net", "net/attachments", "net/attachments/web@eth0", "net/leases"] {
        host.sh(&format!(
            "rm -rf /run/groundwork /run/trap; mkdir -p /run/trap; echo keep > /run/trap/file
             mkdir -p -m 0700 /run/groundwork; cd /run/groundwork; mkdir -p $(dirname {plant}); chmod -R go= .
             ln -s /run/trap{} {plant}",
            if plant.ends_with("eth0") { "/file" } else { "" }
        ));
        let error = web.verb("ADD", &dual()).error();
        assert!(text(&error, "msg").contains("/run/groundwork/"), "{plant}: {error}");
        assert_eq!(host.sh("cd /run/trap; ls -A; cat file"), "file\nkeep\n", "{plant}");
        assert_eq!(host.links(), ["lo"]);
    }
}

#[test]
fn a_disk_that_takes_nothing() {
    let host = Host::new();
    let web = host.sandbox("web");
    host.sh("mkdir /run/state; mount -t tmpfs -o ro none /run/state");
    let config = with(&dual(), json!({ "stateDir": "/run/state/groundwork" }));
    refused(&host, &web, &config, 105, &["/run/state/groundwork", "Read-only file system"]);
    host.sh("mount -o remount,rw,size=4k,nr_inodes=3 /run/state");
    let full = web.verb("ADD", &config).error();
    assert!(text(&full, "msg").contains("No space left on device"), "{full}");
    assert_eq!((host.links(), web.links()), (vec!["lo".into()], vec!["lo".into()]));
    host.sh("mount -o remount,size=1m,nr_inodes=100 /run/state");
    let result = web.add(&config);
    assert_eq!(host.sh("ls /run/state/groundwork/net/attachments"), "web@eth0\n");
    web.check(&config, &result);
    web.del(&config);
    assert_eq!(host.sh("ls /run/state/groundwork/net/attachments; ls -d /run/groundwork || true"), "");
}

/// One document on stdout for any failure, and the same words on stderr for the log of the runtime.
#[test]
fn errors_are_told_once_on_each_stream() {
    let host = Host::new();
    let mut web = host.sandbox("web");
    web.netns = "/run/netns/none".into();
    let output = web.verb("ADD", &dual());
    let error = output.error();
    assert_eq!(output.stdout.lines().count(), 1);
    assert_eq!(output.stderr.matches(&text(&error, "msg")).count(), 1, "{}", output.stderr);
    assert_eq!(output.status.code(), Some(1));
}
