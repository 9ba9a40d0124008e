//! The loopback link of a sandbox: every sandbox has one, so nothing is made, and nothing recorded.

use ipnet::IpNet;
use serde_json::Value;

use super::attach;
use crate::{
    cni::{
        CniResult, Request,
        result::{Interface, IpConfig, pass_on},
    },
    config::NetworkConfig,
    error::{Error, Result},
    plan::Difference,
    rtnl::{Link, Rtnl},
    sys::netns::Sandbox,
};

/// Its name, whatever interface the runtime asks for.
const LOOPBACK: &str = "lo";

/// Sets it up. The chain's result so far passes through.
pub(super) fn add(request: &Request, config: &NetworkConfig) -> Result<Value> {
    let sandbox = attach::open_sandbox(request)?;
    let (link, addresses) = sandbox.run(|| {
        let rtnl = Rtnl::open()?;
        let link = loopback(&rtnl)?;
        rtnl.set_up(&link)?;
        let addresses = rtnl.addresses(&link)?;
        Ok::<_, Error>((link, addresses))
    })??;
    match &config.prev_result {
        Some(previous) => Ok(pass_on(previous, config.cni_version)?),
        None => Ok(result(&sandbox, &link, &addresses).to_json(config.cni_version)?),
    }
}

fn result(sandbox: &Sandbox, link: &Link, addresses: &[IpNet]) -> CniResult {
    let interface = Interface {
        name: link.name.clone(),
        mac: link.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        mtu: Some(link.mtu),
        sandbox: sandbox.path().display().to_string(),
        ..Interface::default()
    };
    let own = addresses.iter().filter(|address| address.addr().is_loopback());
    let ips = own.map(|address| IpConfig { address: *address, gateway: None, interface: Some(0) }).collect();
    CniResult { interfaces: vec![interface], ips, ..CniResult::default() }
}

/// That it is up.
pub(super) fn check(request: &Request) -> Result<()> {
    let sandbox = attach::open_sandbox(request)?;
    let link = sandbox.run(|| loopback(&Rtnl::open()?))??;
    if link.up {
        return Ok(());
    }
    let what = format!("link {LOOPBACK} in the container");
    Err(Error::Changed(vec![Difference { what, expected: "up".into(), found: "down".into() }]))
}

/// Sets it down, if the sandbox is still there.
pub(super) fn del(request: &Request) -> Result<()> {
    let Ok(sandbox) = attach::open_sandbox(request) else { return Ok(()) };
    sandbox.run(|| {
        let rtnl = Rtnl::open()?;
        Ok(rtnl.set_down(&loopback(&rtnl)?)?)
    })?
}

fn loopback(rtnl: &Rtnl) -> Result<Link> {
    rtnl.link(LOOPBACK)?.ok_or_else(|| Error::NoLink { name: LOOPBACK.into() })
}
