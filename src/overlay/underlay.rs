//! Which link and address of this host carry the overlay.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Error, plan::overhead};
use crate::{
    config::Underlay,
    rtnl::{Link, RouteEntry, Rtnl, values::MAIN_TABLE},
};

/// The smallest MTU with which containers can be given anything: IPv4's.
const SMALLEST: u32 = 68;

/// The link whose addresses are reached over others, and whose MTU says nothing of theirs.
const LOOPBACK: &str = "lo";

/// What carries the overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// The link's name.
    pub link: String,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// This host's VTEP.
    pub address: IpAddr,
}

impl Carrier {
    /// What containers may send in one packet, in bytes: what is asked for, or all that fits.
    ///
    /// # Errors
    /// What is asked for does not fit; nothing is asked for, and the link does not tell.
    pub fn inner_mtu(&self, asked: Option<u32>) -> Result<u32, Error> {
        let limit = self.mtu.saturating_sub(overhead(self.address));
        if limit < SMALLEST {
            return Err(Error::UnderlayTooSmall { link: self.link.clone(), mtu: self.mtu });
        }
        match asked {
            Some(mtu) if mtu > limit => Err(Error::MtuAboveUnderlay { mtu, link: self.link.clone(), limit }),
            None if self.link == LOOPBACK => {
                Err(Error::UnknownMtu { address: self.address, overhead: overhead(self.address) })
            }
            asked => Ok(asked.unwrap_or(limit)),
        }
    }
}

/// Finds what carries the overlay. Of several addresses that would do, `present` is kept: the device's until now.
/// `networks`, the overlay's own, are no underlay.
///
/// # Errors
/// There is none, or it cannot be told which.
pub fn find_underlay(
    rtnl: &Rtnl,
    wanted: &Underlay,
    networks: &[IpNet],
    present: Option<IpAddr>,
) -> Result<Carrier, Error> {
    let carrier = |link: Link, address| Carrier { link: link.name, mtu: link.mtu, address };
    let choice = Choice { rtnl, networks, present };
    match wanted {
        Underlay::Address(address) => {
            let index = rtnl.link_of(*address)?.ok_or(Error::NoAddress(*address))?;
            let link = rtnl.link_at(index)?.ok_or(Error::NoAddress(*address))?;
            Ok(carrier(link, *address))
        }
        Underlay::Interface(name) => {
            let link = rtnl.link(name)?.ok_or_else(|| Error::NoInterface(name.clone()))?;
            let found = choice.address(&link, false)?.map_or_else(|| choice.address(&link, true), |ip| Ok(Some(ip)))?;
            let address = found.ok_or_else(|| Error::Addressless(name.clone()))?;
            Ok(carrier(link, address))
        }
        Underlay::DefaultRoute => {
            for ipv6 in [false, true] {
                let Some(route) = default_route(rtnl, ipv6)? else { continue };
                let Some(link) = route.oif.map(|index| rtnl.link_at(index)).transpose()?.flatten() else { continue };
                if let Some(address) = route.src.map_or_else(|| choice.address(&link, ipv6), |ip| Ok(Some(ip)))? {
                    return Ok(carrier(link, address));
                }
            }
            Err(Error::NoDefaultRoute)
        }
    }
}

struct Choice<'a> {
    rtnl: &'a Rtnl,
    networks: &'a [IpNet],
    present: Option<IpAddr>,
}

impl Choice<'_> {
    /// The address of one family that other hosts can send to.
    fn address(&self, link: &Link, ipv6: bool) -> Result<Option<IpAddr>, Error> {
        let mut addresses: Vec<_> = self.rtnl.addresses(link)?.iter().map(IpNet::addr).collect();
        addresses.retain(|ip| match ip {
            IpAddr::V4(ip) => !ipv6 && !ip.is_link_local() && !ip.is_loopback(),
            IpAddr::V6(ip) => ipv6 && !ip.is_unicast_link_local() && !ip.is_loopback(),
        });
        addresses.retain(|ip| !self.networks.iter().any(|network| network.contains(ip)));
        match (&addresses[..], self.present) {
            ([], _) => Ok(None),
            (_, Some(present)) if addresses.contains(&present) => Ok(Some(present)),
            ([one], _) => Ok(Some(*one)),
            _ => Err(Error::SeveralAddresses { link: link.name.clone(), addresses }),
        }
    }
}

/// The default route of a family that is preferred.
fn default_route(rtnl: &Rtnl, ipv6: bool) -> Result<Option<RouteEntry>, Error> {
    let is_default = |route: &RouteEntry| route.dst.prefix_len() == 0 && route.table == MAIN_TABLE;
    let mut routes: Vec<_> = rtnl.routes(ipv6)?.into_iter().filter(is_default).collect();
    routes.sort_by_key(|route| route.priority.unwrap_or(0));
    let Some(first) = routes.first().cloned() else { return Ok(None) };
    let rivals = routes.iter().take_while(|route| route.priority == first.priority);
    let mut links: Vec<u32> = rivals.filter_map(|route| route.oif).collect();
    links.dedup();
    if links.len() < 2 && first.oif.is_some() {
        return Ok(Some(first));
    }
    let named = |index: &u32| Ok(rtnl.link_at(*index)?.map_or_else(|| index.to_string(), |link| link.name));
    let names = links.iter().map(named).collect::<Result<Vec<_>, Error>>()?;
    // One route over several links tells none of them.
    Err(Error::SeveralLinks(if names.is_empty() { vec!["a route with several next hops".into()] } else { names }))
}
