//! `groundwork demo`: the main job from ADD to DEL, in namespaces of its own.

use std::{
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{getegid, geteuid},
};
use serde_json::{Value, json};

use super::Output;
use crate::{
    cni::mac::Mac,
    rtnl::{AddressFlags, Rtnl, VethPair},
    sys::{netns::Sandbox, ping},
};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A machine elsewhere, for "out into the world": a documentation address (RFC 5737), in a namespace of its own.
const WORLD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const UPLINK: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

/// Runs the demonstration; its story, or how far it came.
pub(super) fn run() -> Output {
    let mut story = String::new();
    match tell(&mut story) {
        Ok(()) => Output::good(story),
        Err(error) => Output { text: format!("{story}\ngroundwork demo: {error}"), status: 1 },
    }
}

fn tell(story: &mut String) -> Outcome<()> {
    enter_own_namespaces()?;
    let (world, first, second) = (OwnNetns::new()?, OwnNetns::new()?, OwnNetns::new()?);
    connect_world(&world)?;
    let config = config();

    writeln!(story, "1. What this kernel provides, and what this network needs of it\n")?;
    let path = PathBuf::from("/run/demo.conf");
    fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
    story.push_str(&super::examine(Some(&path), true, false).text);

    writeln!(story, "\n2. ADD two containers, called as a runtime calls a plugin\n")?;
    let before = leftovers()?;
    let one = add(story, &config, "demo-1", &first)?;
    let two = add(story, &config, "demo-2", &second)?;
    writeln!(story, "   the first result:\n{}", indented(&serde_json::to_string_pretty(&one)?))?;

    writeln!(story, "3. Packets\n")?;
    let neighbour = address(&two)?;
    echo(story, &first, "demo-1 -> demo-2", neighbour)?;
    echo(story, &second, "demo-2 -> the world, which has no route back: masquerade answers for it", WORLD)?;

    writeln!(story, "\n4. CHECK, then DEL twice\n")?;
    for (container, netns, result) in [("demo-1", &first, &one), ("demo-2", &second, &two)] {
        let mut with_result = config.clone();
        with_result["prevResult"] = result.clone();
        for verb in ["CHECK", "DEL", "DEL"] {
            let took = call(verb, &with_result, container, netns)?.1;
            writeln!(story, "   {verb:<5} {container}: ok, {took:.1?}")?;
        }
    }
    let after = leftovers()?;
    writeln!(story, "\n5. What is left: {}", if after == before { "nothing" } else { after.as_str() })?;
    if after == before { Ok(()) } else { Err("something was left behind".into()) }
}

/// A host of our own: nothing of the real one is touched, and all of it ends with this process.
fn enter_own_namespaces() -> Outcome<()> {
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    } else {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
            .map_err(|errno| format!("no user namespace can be made ({errno}): run it as root"))?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    Ok(())
}

/// A network namespace, kept by a thread for as long as this value lives.
struct OwnNetns {
    sandbox: Sandbox,
    _keeper: mpsc::Sender<()>,
}

impl OwnNetns {
    fn new() -> Outcome<Self> {
        let (keeper, end) = mpsc::channel::<()>();
        let (send, made) = mpsc::channel();
        thread::spawn(move || {
            _ = send.send(unshare(CloneFlags::CLONE_NEWNET).map(|()| nix::unistd::gettid()));
            _ = end.recv(); // until the keeper is dropped
        });
        let path = format!("/proc/{}/task/{}/ns/net", std::process::id(), made.recv()??);
        Ok(Self { sandbox: Sandbox::open(path.as_ref())?, _keeper: keeper })
    }
}

fn connect_world(world: &OwnNetns) -> Outcome<()> {
    let rtnl = Rtnl::open()?;
    let pair = VethPair {
        host: "uplink",
        host_mac: Mac::local(1 << 8),
        master: None,
        peer: "world",
        peer_mac: Mac::local(2 << 8),
        mtu: None,
    };
    rtnl.create_veth(&pair, Some(std::os::fd::AsFd::as_fd(&world.sandbox)))?;
    assign(&rtnl, "uplink", UPLINK)?;
    world.sandbox.run(|| assign(&Rtnl::open()?, "world", WORLD))??;
    Ok(())
}

fn assign(rtnl: &Rtnl, name: &str, address: Ipv4Addr) -> Outcome<()> {
    let link = rtnl.link(name)?.ok_or("the uplink is gone")?;
    rtnl.add_address(&link, IpNet::new(address.into(), 24)?, AddressFlags::default())?;
    Ok(rtnl.set_up(&link)?)
}

fn config() -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "demo", "type": "groundwork",
        "bridge": "demo0", "isDefaultGateway": true, "ipMasq": true,
        "ipam": { "type": "host-local", "subnet": "10.88.0.0/24" }
    })
}

fn add(story: &mut String, config: &Value, container: &str, netns: &OwnNetns) -> Outcome<Value> {
    let (reply, took) = call("ADD", config, container, netns)?;
    let result: Value = serde_json::from_str(&reply)?;
    writeln!(story, "   ADD   {container}: {} in {took:.1?}", result["ips"][0]["address"].as_str().unwrap_or("?"))?;
    Ok(result)
}

/// Calls this very program by the exec protocol.
fn call(verb: &str, config: &Value, container: &str, netns: &OwnNetns) -> Outcome<(String, Duration)> {
    let begin = Instant::now();
    let mut child = Command::new("/proc/self/exe")
        .env_clear()
        .envs([("CNI_COMMAND", verb), ("CNI_CONTAINERID", container), ("CNI_IFNAME", "eth0"), ("CNI_PATH", "/")])
        .env("CNI_NETNS", netns.sandbox.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        std::io::Write::write_all(&mut stdin, config.to_string().as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let reply = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok((reply, begin.elapsed())) } else { Err(format!("{verb} failed: {reply}").into()) }
}

fn address(result: &Value) -> Outcome<Ipv4Addr> {
    let text = result["ips"][0]["address"].as_str().ok_or("the result has no address")?;
    match text.parse::<IpNet>()? {
        IpNet::V4(net) => Ok(net.addr()),
        IpNet::V6(_) => Err("the result has no IPv4 address".into()),
    }
}

fn echo(story: &mut String, from: &OwnNetns, what: &str, to: Ipv4Addr) -> Outcome<()> {
    let took = from.sandbox.run(|| ping::echo(to, Duration::from_secs(2)))?;
    let took = took.map_err(|error| format!("no answer from {to} ({what}): {error}"))?;
    writeln!(story, "   ping {to}: answered in {took:.1?}   ({what})")?;
    Ok(())
}

/// Everything that ADD makes for an attachment and DEL takes away: the bridge itself stays, as a network does.
fn leftovers() -> Outcome<String> {
    let mut left: Vec<String> =
        Rtnl::open()?.links()?.into_iter().map(|link| link.name).filter(|name| name.starts_with("veth")).collect();
    if let Some(mut nft) = crate::nft::Nft::existing()? {
        left.extend(nft.list()?.iter().map(ToString::to_string).filter(|element| element.contains("demo/")));
    }
    for network in crate::store::networks("/run/groundwork".as_ref())? {
        let store = crate::store::Store::existing("/run/groundwork".as_ref(), &network)?;
        left.extend(store.iter().flat_map(|store| store.list()).flatten().map(|one| one.container_id));
    }
    Ok(left.join(", "))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("   {line}\n")).collect()
}
