//! What an ADD needs to be allowed, and what it gives up.

use crate::{
    network,
    support::{GROUNDWORK, Host, Output, Sandbox, run, with_prev},
};

/// groundwork by root with these capabilities only.
fn with_only(host: &Host, web: &Sandbox<'_>, capabilities: &str, verb: &str, stdin: &str) -> Output {
    let mut command = host.command("setpriv");
    command.args(["--bounding-set", &format!("-all{capabilities}"), GROUNDWORK]);
    run(command.envs(web.variables(verb)).env("CNI_PATH", "/nowhere"), stdin)
}

#[test]
fn two_are_enough() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = network("net", 46);
    let all = |verb: &str, stdin: &serde_json::Value| {
        with_only(&host, &web, ",+net_admin,+sys_admin", verb, &stdin.to_string())
    };
    let result = all("ADD", &config).json("ADD");
    all("CHECK", &with_prev(&config, &result)).success("CHECK");
    all("DEL", &config).success("DEL");
    all("GC", &config).success("GC");
    for (capabilities, missing) in [(",+net_admin", "CAP_SYS_ADMIN"), (",+sys_admin", "CAP_NET_ADMIN")] {
        let error = with_only(&host, &web, capabilities, "ADD", &config.to_string()).error();
        assert!(error.to_string().contains(missing), "{error}");
    }
    assert_eq!(host.sh("ip -br link show type veth; find /run/groundwork -path '*attachments/*'"), "");
}

#[test]
fn what_it_does_not_need_it_gives_up_before_it_builds() {
    let host = Host::new();
    let web = host.sandbox("web");
    let config = network("net", 46);
    let trace = format!("exec strace -f -q -o /run/trace -e trace=capset,setns {GROUNDWORK}");
    let mut command = host.command("sh");
    command.args(["-c", &trace]).envs(web.variables("ADD")).env("CNI_PATH", "/nowhere");
    run(&mut command, config.to_string()).success("ADD");
    let trace = host.sh("cat /run/trace");
    let given_up = trace.rfind("capset(").unwrap_or_else(|| panic!("no capset in {trace}"));
    let entered = trace.find("setns(").unwrap_or_else(|| panic!("no setns in {trace}"));
    assert!(given_up < entered, "{trace}");
    let last = &trace[given_up..].lines().next().unwrap();
    assert!(last.contains("CAP_SYS_ADMIN") && !last.contains("CAP_SYS_MODULE"), "{last}");
}
