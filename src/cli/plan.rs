//! `groundwork plan`: what an ADD would do, before anything happens.

use std::{fmt::Write as _, path::Path};

use super::{Output, config_file};
use crate::{
    cni::{
        mac::Mac,
        result::{IpConfig, Route},
    },
    config::{IpamConfig, LinkConfig, Mode, NativeConfig, NetworkConfig},
    error::Result,
    nft::{
        Nft,
        ruleset::{Owner, Part},
        socket::Base,
    },
    observe, overlay,
    plan::{self, Attach, Script, Step},
    rtnl::{Link, Rtnl},
};

/// What stands for the name that an ADD would draw from the attachment's.
const HOST_LINK: &str = "veth01234567";

/// Prints the plan of an ADD on this host.
pub(super) fn run(path: &Path, plugin: Option<&str>) -> Output {
    match config_file::read(path, plugin) {
        Err(problem) => Output::bad(problem),
        Ok(config) => match script(&config) {
            Ok(text) => Output::good(text),
            Err(error) => Output::bad(error),
        },
    }
}

fn script(config: &NetworkConfig) -> Result<String> {
    let mut text = format!("# network {}: what an ADD would do on this host now\n", config.name);
    for key in &config.unknown_keys {
        _ = writeln!(text, "# warning: {key}");
    }
    text.push_str("\n# 1. the kernel has, or is brought to have:\n");
    for need in plan::needs(config) {
        _ = writeln!(text, "#    {:<14} for {}", need.feature.to_string(), need.why);
    }
    text.push_str("\n# 2. then\n");
    match &config.mode {
        Mode::Chained => text.push_str("# control passes to the next plugin of the chain, prevResult unchanged\n"),
        Mode::Delegate(delegate) => {
            _ = writeln!(text, "# control passes to the plugin {:?}, found in CNI_PATH", delegate.plugin_type);
        }
        Mode::Loopback => text.push_str("ip netns exec SANDBOX ip link set lo up\n"),
        Mode::Native(network) => match &network.overlay {
            None => text.push_str(&native(config, network)?),
            Some(overlay) => {
                let (rtnl, mut network) = (Rtnl::open()?, network.clone());
                let part = overlay::Part::find(&config.name, &config.state_dir, overlay, &rtnl)?;
                overlay::settle(&mut network, &part.file)?;
                let subnets = part.file.subnets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                _ = writeln!(text, "# this host has {subnets} of the overlay");
                text.push_str(&part.script(&config.name, &rtnl)?);
                text.push_str(&native(config, &network)?);
            }
        },
    }
    Ok(text)
}

fn native(config: &NetworkConfig, network: &NativeConfig) -> Result<String> {
    let (mut ips, mut routes, remark) = example(network);
    plan::resolve(network, &mut ips, &mut routes)?;
    let ipv6 = ips.iter().any(|ip| ip.address.addr().is_ipv6());
    let rtnl = Rtnl::open()?;
    let mut host = observe::observe_host(&rtnl, network, ipv6)?;
    host.source = observe::observe_source(&rtnl, None, network, None)?;
    let gateway_link = match &network.link {
        Some(LinkConfig::Bridge(bridge)) => bridge.gateway_link(),
        Some(LinkConfig::Ptp(_)) => HOST_LINK.to_owned(),
        Some(LinkConfig::Single(_) | LinkConfig::HostDevice(_)) | None => String::new(),
    };
    let inside = Link { name: "eth0".into(), ..Link::default() };
    let requested_mac = config.mac().or_else(|| network.configured_mac());
    let attach = Attach {
        config: network,
        ifname: "eth0",
        host_link: HOST_LINK,
        host_mac: example_mac(1),
        host_mtu: None,
        qdiscs: &[],
        sandbox_mac: requested_mac.unwrap_or_else(|| example_mac(2)),
        requested_mac,
        bridge_mac: example_mac(3),
        gateway_link: &gateway_link,
        inside: Some(&inside),
        ifb: "bwp0123456789ab",
        ifb_mac: example_mac(4),
        owner: Owner::attachment(&config.name, "CONTAINER", "eth0"),
    };
    let steps = plan::plan_add(&attach, &ips, &routes, &host)?;
    let mut text = format!("# {remark}\n");
    for part in missing_parts(&steps) {
        _ = writeln!(text, "{part}");
    }
    _ = write!(text, "{}", Script(&steps));
    Ok(text)
}

/// An ADD draws them at random.
const fn example_mac(number: u8) -> Mac {
    Mac([0x02, 0, 0, 0, 0, number])
}

/// The parts of the ruleset that are made with their first elements, which these are. Whoever may not ask sees all.
fn missing_parts(steps: &[Step]) -> Vec<Part> {
    let elements: Vec<_> = steps.iter().flat_map(Step::elements).map(|owned| owned.element).collect();
    let mut nft = if elements.is_empty() { None } else { Nft::existing().ok().flatten() };
    let mut parts: Vec<_> = Vec::new();
    for element in &elements {
        let base = nft.as_mut().and_then(|nft| nft.base([element]).ok()).unwrap_or(Base::Absent);
        if base == Base::Absent && !parts.contains(&element.part()) {
            parts.push(element.part());
        }
    }
    parts
}

/// Addresses as an ADD would get them; which are free is not asked, since asking takes them.
fn example(network: &NativeConfig) -> (Vec<IpConfig>, Vec<Route>, String) {
    let ip = |address, gateway| IpConfig { address, gateway, interface: None };
    match &network.ipam {
        None => (Vec::new(), Vec::new(), "no \"ipam\": links only, no address".into()),
        Some(IpamConfig::Static(ipam)) => (
            ipam.addresses.iter().map(|one| ip(one.address, one.gateway)).collect(),
            ipam.routes.clone(),
            "addresses are those of \"ipam\"".into(),
        ),
        Some(IpamConfig::HostLocal(ipam)) => {
            let leases = ipam.range_sets.iter().filter_map(|set| set.leases_after(None).next());
            (
                leases.map(|lease| ip(lease.address, Some(lease.gateway))).collect(),
                ipam.routes.clone(),
                "addresses are examples: an ADD takes the next free ones of the ranges".into(),
            )
        }
        Some(IpamConfig::Exec { plugin_type, .. }) => {
            (Vec::new(), Vec::new(), format!("addresses and routes come from the plugin {plugin_type:?}: not shown"))
        }
    }
}
