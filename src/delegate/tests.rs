use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::json;

use super::*;
use crate::{cni::Request, config::NetworkConfig};

/// A folder with one plugin in it: a shell script that finds its own folder in `$here`.
struct Plugin {
    folder: tempfile::TempDir,
}

impl Plugin {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sample");
        fs::write(&path, format!("#!/bin/sh\nhere=${{0%/*}}\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn path(&self) -> Vec<PathBuf> {
        vec!["/nowhere".into(), self.folder.path().into()]
    }

    fn find(&self) -> Delegate {
        Delegate::find("sample", &self.path()).unwrap()
    }

    fn left(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("{value}") };
    map
}

fn config() -> Map<String, Value> {
    object(json!({"cniVersion": "1.0.0", "name": "net", "type": "sample"}))
}

#[test]
fn the_configuration_arrives_on_stdin_and_the_verb_in_the_environment() {
    let plugin = Plugin::new("cat > $here/stdin; env > $here/env; echo '{\"ips\": [{\"address\": \"10.1.0.2/24\"}]}'");
    let added = plugin.find().add(&config()).unwrap();
    assert_eq!(added.result.ips[0].address.to_string(), "10.1.0.2/24");
    assert_eq!(added.document, json!({"ips": [{"address": "10.1.0.2/24"}]}));
    assert_eq!(serde_json::from_str::<Value>(&plugin.left("stdin")).unwrap(), Value::Object(config()));
    let env = plugin.left("env");
    assert!(env.lines().any(|line| line == "CNI_COMMAND=ADD"), "{env}");
    assert!(env.lines().any(|line| line.starts_with("PATH=")), "{env}");

    let stale = Attachment { container_id: "gone".into(), ifname: "eth7".into() };
    plugin.find().call(Verb::Del, Subject::Other(&stale, None), &config()).unwrap();
    let env = plugin.left("env");
    for line in ["CNI_COMMAND=DEL", "CNI_CONTAINERID=gone", "CNI_IFNAME=eth7", "CNI_NETNS="] {
        assert!(env.lines().any(|found| found == line), "{line} is not in {env}");
    }
}

#[test]
fn a_plugin_is_taken_from_cni_path_only() {
    let plugin = Plugin::new("exit 0");
    let not_found = |name: &str, path: &[PathBuf]| Delegate::find(name, path).unwrap_err().to_string();
    let message = not_found("sh", &plugin.path());
    assert!(message.contains("/nowhere:") && message.contains(&*plugin.folder.path().to_string_lossy()), "{message}");
    assert!(not_found("sample", &[]).contains("empty or not set"));
    for wrong in ["", ".", "..", "/bin/sh", "../sample", "a\0b"] {
        assert!(matches!(Delegate::find(wrong, &plugin.path()), Err(Error::Type { .. })), "{wrong:?}");
    }
    fs::create_dir(plugin.folder.path().join("folder")).unwrap();
    assert!(not_found("folder", &plugin.path()).contains("no regular file"));
    fs::set_permissions(plugin.folder.path().join("sample"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(not_found("sample", &plugin.path()).contains("not executable"));
}

#[test]
fn its_own_error_comes_back_as_it_was() {
    let plugin =
        Plugin::new("echo '{\"cniVersion\":\"1.0.0\",\"code\":11,\"msg\":\"busy\",\"details\":\"lease\"}'; exit 1");
    let Error::Refused { document, verb: Verb::Add, .. } = plugin.find().add(&config()).unwrap_err() else { panic!() };
    assert_eq!((document.code, &*document.msg, &*document.details), (11, "busy", "lease"));
}

#[test]
fn each_way_to_fail_has_its_words() {
    for (script, verb, expected) in [
        ("exit 3", Verb::Add, "exit code 3; it wrote nothing to stdout"),
        ("echo oops; exit 1", Verb::Del, "exit code 1; it wrote \"oops\""),
        ("kill -9 $$", Verb::Check, "killed by signal 9 SIGKILL"),
        ("exit 0", Verb::Add, "answered ADD with no result"),
        ("echo '[1]'", Verb::Add, "answered ADD with no result"),
        ("echo '{\"ips\": 1}'", Verb::Add, "answered ADD with no result"),
        ("exec cat /dev/zero", Verb::Add, "wrote more than"),
    ] {
        let delegate = Plugin::new(script);
        let error = match verb {
            Verb::Add => delegate.find().add(&config()).unwrap_err(),
            _ => delegate.find().call(verb, Subject::Same, &config()).unwrap_err(),
        };
        assert!(error.to_string().contains(expected), "{script}: {error}");
    }
    let plugin = Plugin::new("");
    fs::write(plugin.folder.path().join("sample"), "#!/no/such/interpreter\n").unwrap();
    let error = plugin.find().add(&config()).unwrap_err().to_string();
    assert!(error.contains("No such file") && error.contains("interpreter"), "{error}");
}

#[test]
fn neither_a_big_configuration_nor_a_deaf_plugin_blocks() {
    let mut big = config();
    big.insert("filler".into(), "x".repeat(3 << 20).into());
    let size = Value::Object(big.clone()).to_string().len();
    // It answers before, and while, it reads.
    let plugin = Plugin::new("head -c 1000000 /dev/zero | tr '\\0' ' '; cat | wc -c > $here/size; echo '{}'");
    plugin.find().add(&big).unwrap();
    assert_eq!(plugin.left("size").trim(), size.to_string());
    let deaf = Plugin::new("exec 0<&-; sleep 0.1; echo '{}'");
    deaf.find().add(&big).unwrap();
}

#[test]
fn only_the_three_standard_descriptors_are_passed_on() {
    let inherited = fs::File::open("/dev/null").unwrap();
    nix::fcntl::fcntl(&inherited, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let plugin = Plugin::new("exec ls /proc/self/fd");
    let listed = plugin.find().call(Verb::Status, Subject::Same, &config()).unwrap();
    let listed = String::from_utf8(listed).unwrap();
    // `ls` itself opens 3 to list.
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
}

fn outer(document: &Value) -> NetworkConfig {
    let vars = |name: &str| {
        Some(match name {
            "CNI_COMMAND" => "ADD".into(),
            "CNI_CONTAINERID" => "c1".into(),
            "CNI_NETNS" => "/run/netns/c1".into(),
            "CNI_IFNAME" => "eth0".into(),
            "CNI_PATH" => "/opt/cni/bin".into(),
            _ => return None,
        })
    };
    let request = Request::parse(&vars).unwrap();
    NetworkConfig::parse(document.to_string().as_bytes(), &request).unwrap()
}

#[test]
fn a_delegate_gets_what_libcni_would_give_it() {
    let inner = object(
        json!({"type": "bridge", "Name": "other", "PREVRESULT": 1, "capabilities": {"mac": true, "ips": false}}),
    );
    let outer = outer(&json!({
        "cniVersion": "1.1.0", "name": "net", "type": "groundwork", "capabilities": {"mac": true, "ips": true},
        "runtimeConfig": {"mac": "02:00:00:00:00:01", "ips": ["10.0.0.1/8"]},
        "args": {"cni": {"labels": []}},
        "PrevResult": {"cniVersion": "1.1.0"},
        "cni.dev/valid-attachments": null,
        "delegate": inner,
    }));
    assert_eq!(
        Value::Object(child::config(&outer, &inner)),
        json!({
            "cniVersion": "1.1.0", "name": "net", "type": "bridge", "capabilities": {"mac": true, "ips": false},
            "runtimeConfig": {"mac": "02:00:00:00:00:01"},
            "args": {"cni": {"labels": []}},
            "prevResult": {"cniVersion": "1.1.0"},
            "cni.dev/valid-attachments": null,
        })
    );
    let plain = object(json!({"type": "bridge", "args": {"own": 1}}));
    let config = child::config(&outer, &plain);
    assert_eq!(config["runtimeConfig"], json!({"mac": "02:00:00:00:00:01", "ips": ["10.0.0.1/8"]}));
    assert_eq!(config["args"], json!({"own": 1}));
}

#[test]
fn a_later_call_gets_the_result_of_the_add() {
    let kept = object(json!({"type": "dhcp", "PrevResult": 1}));
    assert_eq!(
        Value::Object(child::with_result(kept.clone(), Some(&json!({})))),
        json!({"type": "dhcp", "prevResult": {}})
    );
    assert_eq!(Value::Object(child::with_result(kept, None)), json!({"type": "dhcp"}));
}
