//! Passing control to another plugin: a reference one, and scripts that tell what they were given.

use serde_json::{Value, json};

use crate::{
    network::{Kernel, addresses_of, text, with},
    support::{Host, Sandbox, with_prev},
};

fn to_bridge() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "net", "type": "groundwork",
        "delegate": {
            "type": "bridge", "bridge": "br0", "isDefaultGateway": true,
            "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" },
        },
    })
}

/// A plugin that notes what it gets in /run/VERB and then runs `script`.
fn with_plugin<'a>(host: &'a Host, script: &str) -> Sandbox<'a> {
    let plugin = format!("#!/bin/sh\ncat > /run/$CNI_COMMAND; env >> /run/$CNI_COMMAND.env\n{script}");
    host.sh(&format!(
        "mkdir -p /run/plugins; cat > /run/plugins/sample <<'END'\n{plugin}\nEND\nchmod +x /run/plugins/sample"
    ));
    let mut web = host.sandbox("web");
    web.env.push(("CNI_PATH".into(), "/nowhere:/run/plugins".into()));
    web
}

fn to_sample(inner: Value) -> Value {
    json!({ "cniVersion": "1.1.0", "name": "net", "type": "groundwork", "delegate": with(&json!({ "type": "sample" }), inner) })
}

fn given(host: &Host, verb: &str) -> Value {
    serde_json::from_str(&host.sh(&format!("cat /run/{verb}"))).unwrap()
}

#[test]
fn the_reference_bridge() {
    let host = Host::new();
    let (web, client) = (host.sandbox("web"), host.sandbox("client"));
    let result = web.add(&to_bridge());
    assert_eq!((&result["cniVersion"], addresses_of(&result)), (&json!("1.0.0"), vec!["10.88.0.2".to_owned()]));
    client.add(&to_bridge());
    web.ping("10.88.0.1");
    web.ping("10.88.0.3");
    web.check(&to_bridge(), &result);
    web.sh("ip route del default");
    let error = web.verb("CHECK", &with_prev(&to_bridge(), &result)).error();
    assert!(text(&error, "msg").to_lowercase().contains("route"), "the plugin's own words: {error}");
    web.del(&with_prev(&to_bridge(), &result));
    web.del(&to_bridge());
    client.del(&to_bridge());
    assert_eq!((web.links(), host.links()), (vec!["lo".into()], vec!["br0".into(), "lo".into()]));
    assert_eq!(host.sh("ls /var/lib/cni/networks/net | grep '^10' || true"), "");
    assert_eq!(host.sh("ls -d /run/groundwork || true"), "", "groundwork keeps nothing of a delegate's");
}

#[test]
fn results_in_the_version_asked_for() {
    let host = Host::new();
    for (version, number) in ["0.2.0", "0.3.1", "0.4.0", "1.0.0"].iter().zip(0..) {
        let web = host.sandbox(&format!("web{number}"));
        let config = with(&to_bridge(), json!({ "cniVersion": version }));
        let own = with(&to_bridge()["delegate"], json!({ "cniVersion": version, "name": "net" }));
        let result = web.add(&config);
        assert_eq!(result["cniVersion"], *version);
        web.del(&config);
        let reference = web.verb_of("/usr/lib/cni/bridge".as_ref(), "ADD", &own).json("ADD");
        assert_eq!(shape(&result), shape(&reference), "{version}");
        web.del(&config);
    }
    // One that answers in another version than it was asked in, or in none.
    let web = with_plugin(&host, r#"echo '{"cniVersion":"0.4.0","ips":[{"version":"4","address":"192.0.2.1/24"}]}'"#);
    let converted = json!({ "cniVersion": "1.1.0", "ips": [{ "address": "192.0.2.1/24" }] });
    assert_eq!(web.add(&to_sample(json!({}))), converted);
    host.sh("ip netns del web");
    let web = with_plugin(&host, r#"echo '{"ips":[{"address":"192.0.2.1/24"}]}'"#);
    assert_eq!(web.add(&to_sample(json!({}))), converted);
}

/// The keys of a document, without what differs from one ADD to the next.
fn shape(document: &Value) -> Vec<String> {
    match document {
        Value::Object(map) => map.iter().flat_map(|(key, value)| prefixed(key, shape(value))).collect(),
        Value::Array(list) => {
            list.iter().zip(0..).flat_map(|(value, at)| prefixed(&format!("{at}"), shape(value))).collect()
        }
        _ => vec![String::new()],
    }
}

fn prefixed(key: &str, paths: Vec<String>) -> Vec<String> {
    paths.into_iter().map(|path| format!("{key}.{path}")).collect()
}

#[test]
fn every_verb_reaches_it_with_everything() {
    let host = Host::new();
    let mut web = with_plugin(&host, "[ $CNI_COMMAND != ADD ] || echo '{\"cniVersion\":\"1.1.0\"}'");
    web.env.push(("CNI_ARGS".into(), "K8S_POD_NAME=web".into()));
    let config = with(
        &to_sample(json!({ "own": { "deep": [1] }, "capabilities": { "portMappings": true, "mac": false } })),
        json!({
            "runtimeConfig": { "portMappings": [{ "hostPort": 80 }], "mac": "02:00:00:00:00:01" },
            "args": { "cni": { "labels": ["a"] } }, "dns": { "domain": "outer" },
        }),
    );
    let expected = json!({
        "cniVersion": "1.1.0", "name": "net", "type": "sample", "own": { "deep": [1] },
        "capabilities": { "portMappings": true, "mac": false },
        "runtimeConfig": { "portMappings": [{ "hostPort": 80 }] }, "args": { "cni": { "labels": ["a"] } },
    });
    let result = web.add(&config);
    assert_eq!(given(&host, "ADD"), expected);
    web.check(&config, &result);
    assert_eq!(given(&host, "CHECK"), with(&expected, json!({ "prevResult": result })));
    web.del(&with_prev(&config, &result));
    assert_eq!(given(&host, "DEL"), with(&expected, json!({ "prevResult": result })));
    for verb in ["ADD", "CHECK", "DEL"] {
        let env = host.sh(&format!("cat /run/{verb}.env"));
        for line in ["CNI_CONTAINERID=web", "CNI_NETNS=/run/netns/web", "CNI_IFNAME=eth0", "CNI_ARGS=K8S_POD_NAME=web"]
        {
            assert!(env.lines().any(|found| found == line), "{verb}: {line} is not in\n{env}");
        }
        assert!(env.contains("CNI_PATH=/nowhere:/run/plugins\n"), "{env}");
    }
}

#[test]
fn gc_and_status_reach_it() {
    let host = Host::new();
    drop(with_plugin(
        &host,
        "[ $CNI_COMMAND != STATUS ] || { echo '{\"cniVersion\":\"1.1.0\",\"code\":51,\"msg\":\"poorly\"}'; exit 1; }",
    ));
    // GC and STATUS come without a container; the test's binary is beside the reference plugins in CNI_PATH.
    host.sh("mkdir -p /run/bin");
    let call = |verb: &str, config: &Value| {
        let script =
            format!("CNI_COMMAND={verb} CNI_PATH=/run/plugins {} <<'END'\n{config}\nEND", host.plugin.display());
        host.try_sh(&script)
    };
    let mut config = to_sample(json!({}));
    config["cni.dev/valid-attachments"] = json!([{ "containerID": "web", "ifname": "eth0" }]);
    call("GC", &config).success("GC");
    let sent = given(&host, "GC");
    assert_eq!(sent["cni.dev/valid-attachments"], config["cni.dev/valid-attachments"]);
    let error = call("STATUS", &config).error();
    assert_eq!(error, json!({ "cniVersion": "1.1.0", "code": 51, "msg": "poorly" }));
    let older = with(&config, json!({ "cniVersion": "1.0.0" }));
    assert_eq!(call("STATUS", &older).error()["code"], 1);
    assert_eq!(
        host.sh("cat /run/STATUS.env | grep -c CNI_COMMAND"),
        "1\n",
        "it was not called for a version that has no STATUS"
    );
}

#[test]
fn its_errors_are_its_own() {
    let host = Host::new();
    let own = r#"{"cniVersion":"0.4.0","code":107,"msg":"its words","details":"more"}"#;
    let web = with_plugin(&host, &format!("echo on stderr >&2; echo '{own}'; exit 3"));
    for verb in ["ADD", "DEL"] {
        let output = web.verb(verb, &to_sample(json!({})));
        assert_eq!(
            output.error(),
            json!({ "cniVersion": "1.1.0", "code": 107, "msg": "its words", "details": "more" })
        );
        assert!(output.stderr.contains("on stderr\n"), "{}", output.stderr);
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn one_that_does_not_keep_to_the_protocol() {
    for (script, says) in [
        ("echo nonsense; exit 1", "without an error document: exit code 1; it wrote \"nonsense\""),
        ("exit 7", "exit code 7"),
        ("kill -9 $$", "signal 9 SIGKILL"),
        ("echo '{\"cniVersion\":\"1.1.0\"} {}'", "no result"),
        ("echo '[]'", "no result"),
        ("true", "no result"),
        ("echo '{\"cniVersion\":\"7.0.0\"}'", "7.0.0"),
        ("echo '{\"cniVersion\":\"1.1.0\",\"ips\":[{\"address\":\"x\"}]}'", "ips[0].address"),
    ] {
        let host = Host::new();
        let web = with_plugin(&host, script);
        let error = web.verb("ADD", &to_sample(json!({}))).error();
        assert_eq!(error["code"], 104, "{script}: {error}");
        assert!(text(&error, "msg").contains(says), "{script}: {error}");
    }
}

#[test]
fn it_is_found_in_cni_path_only() {
    let host = Host::new();
    let mut web = with_plugin(&host, "echo '{\"cniVersion\":\"1.1.0\"}'");
    web.env.push(("PATH".into(), "/run/plugins:/usr/bin:/bin:/usr/sbin:/sbin".into()));
    web.env[0].1 = "/run/elsewhere:/run".into();
    let error = web.verb("ADD", &to_sample(json!({}))).error();
    assert!(error["code"] == 104 && text(&error, "msg").contains("/run/elsewhere:/run"), "{error}");
    web.env[0].1 = String::new();
    let error = web.verb("ADD", &to_sample(json!({}))).error();
    assert!(error["code"] == 4 && text(&error, "msg").contains("CNI_PATH"), "{error}");
    host.sh("mkdir -p /run/elsewhere; echo '#!/bin/sh' > /run/elsewhere/sample");
    web.env[0].1 = "/run/elsewhere".into();
    let error = web.verb("ADD", &to_sample(json!({}))).error();
    assert!(text(&error, "msg").contains("not executable"), "{error}");
}

/// A user changes `type` and nothing else, or not even that: the binary under the reference plugin's name.
#[test]
fn under_the_name_of_the_reference_bridge() {
    let host = Host::new();
    let web = host.sandbox("web");
    let program = std::path::Path::new("/run/bin/bridge");
    host.sh(&format!("mkdir /run/bin; ln -s {} {}", host.plugin.display(), program.display()));
    let config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "bridge",
        "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" },
    });
    let result = web.verb_of(program, "ADD", &config).json("ADD");
    assert_eq!(result["interfaces"][0]["name"], "cni0");
    web.verb_of(program, "CHECK", &with_prev(&config, &result)).success("CHECK");
    web.verb_of(program, "DEL", &config).success("DEL");
    assert_eq!(host.links(), ["cni0", "lo"]);
}
