//! Routes.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, Parseable};
use netlink_packet_route::{
    AddressFamily,
    route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteScope, RouteType},
};
use nix::{
    errno::Errno,
    libc::{RTM_DELROUTE, RTM_GETROUTE, RTM_NEWROUTE},
};
use rtnetlink::RouteMessageBuilder;

use super::{Error, Link, NEW, RouteEntry, Rtnl, family, values::MAIN_TABLE};

impl Rtnl {
    /// Adds a route.
    ///
    /// # Errors
    /// EEXIST, ENETUNREACH (the next hop is on no link), any other refusal.
    pub fn add_route(&self, route: &RouteEntry) -> Result<(), Error> {
        self.run((RTM_NEWROUTE, message(route)), NEW, || {
            let via = route.gw.map(|gw| format!(" via {gw}")).unwrap_or_default();
            format!("ip route add {}{via}", route.dst)
        })
    }

    /// Adds a route in place of the one with its destination and metric.
    ///
    /// # Errors
    /// Any refusal.
    pub fn replace_route(&self, route: &RouteEntry) -> Result<(), Error> {
        let doing = || format!("ip route replace {}", route.dst);
        self.run((RTM_NEWROUTE, message(route)), NLM_F_CREATE | NLM_F_REPLACE, doing)
    }

    /// Adds a route in place of the one with its destination and metric; its next hop counts as being on the link,
    /// whatever the link's addresses are.
    ///
    /// # Errors
    /// Any refusal.
    pub fn replace_onlink_route(&self, route: &RouteEntry) -> Result<(), Error> {
        let mut message = message(route);
        message.header.flags |= RouteFlags::Onlink;
        self.run((RTM_NEWROUTE, message), NLM_F_CREATE | NLM_F_REPLACE, || {
            let via = route.gw.map(|gw| format!(" via {gw}")).unwrap_or_default();
            format!("ip route replace {}{via} onlink", route.dst)
        })
    }

    /// The unicast routes of the main table by one link and of one origin.
    ///
    /// # Errors
    /// Any refusal.
    pub fn routes_by(&self, link: &Link, protocol: u8, ipv6: bool) -> Result<Vec<RouteEntry>, Error> {
        let mut request = RouteMessage::default();
        request.header.address_family = family(ipv6);
        request.header.protocol = protocol.into();
        request.attributes.push(RouteAttribute::Oif(link.index));
        request.attributes.push(RouteAttribute::Table(MAIN_TABLE));
        let doing = || format!("ip route show dev {} proto {protocol}", link.name);
        let messages = self.list((RTM_GETROUTE, request), RouteMessage::parse, doing)?;
        let unicast = messages.into_iter().filter(|one| one.header.kind == RouteType::Unicast).filter_map(entry);
        Ok(unicast.filter(|route| route.oif == Some(link.index) && route.protocol == protocol).collect())
    }

    /// Deletes a route; gone already is success.
    ///
    /// # Errors
    /// Any refusal but ESRCH.
    pub fn delete_route(&self, route: &RouteEntry) -> Result<(), Error> {
        match self.run((RTM_DELROUTE, message(route)), 0, || format!("ip route del {}", route.dst)) {
            Err(error) if error.errno() == Some(Errno::ESRCH) => Ok(()),
            done => done,
        }
    }

    /// The unicast routes of one family, of every table.
    ///
    /// # Errors
    /// Any refusal.
    pub fn routes(&self, ipv6: bool) -> Result<Vec<RouteEntry>, Error> {
        let mut request = RouteMessage::default();
        request.header.address_family = family(ipv6);
        let flag = if ipv6 { "-6" } else { "-4" };
        let doing = || format!("ip {flag} route show table all");
        let messages = self.list((RTM_GETROUTE, request), RouteMessage::parse, doing)?;
        Ok(messages.into_iter().filter(|one| one.header.kind == RouteType::Unicast).filter_map(entry).collect())
    }
}

fn message(route: &RouteEntry) -> RouteMessage {
    let builder = RouteMessageBuilder::<IpAddr>::new().table_id(route.table);
    let mut message = match builder.destination_prefix(route.dst.network(), route.dst.prefix_len()) {
        Ok(builder) => builder.build(),
        Err(_) => RouteMessage::default(),
    };
    let scope = route
        .scope
        .map_or_else(|| if route.gw.is_none() { RouteScope::Link } else { RouteScope::Universe }, RouteScope::from);
    message.header.scope = scope;
    message.header.protocol = route.protocol.into();
    match route.gw {
        Some(IpAddr::V4(gw)) => message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet(gw))),
        Some(IpAddr::V6(gw)) => message.attributes.push(RouteAttribute::Gateway(RouteAddress::Inet6(gw))),
        None => {}
    }
    message.attributes.extend(route.src.map(|src| RouteAttribute::PrefSource(src.into())));
    message.attributes.extend(route.oif.map(RouteAttribute::Oif));
    message.attributes.extend(route.priority.map(RouteAttribute::Priority));
    let metrics: Vec<_> =
        [route.mtu.map(RouteMetric::Mtu), route.advmss.map(RouteMetric::Advmss)].into_iter().flatten().collect();
    if !metrics.is_empty() {
        message.attributes.push(RouteAttribute::Metrics(metrics));
    }
    message
}

fn entry(message: RouteMessage) -> Option<RouteEntry> {
    let ipv6 = message.header.address_family == AddressFamily::Inet6;
    let unspecified = if ipv6 { IpAddr::from([0u8; 16]) } else { IpAddr::from([0u8; 4]) };
    let mut dst = unspecified;
    let mut route = RouteEntry {
        protocol: message.header.protocol.into(),
        table: u32::from(message.header.table),
        scope: Some(message.header.scope.into()),
        ..RouteEntry::to(IpNet::new(unspecified, 0).ok()?)
    };
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => dst = ip(&address)?,
            RouteAttribute::Gateway(address) => route.gw = ip(&address),
            RouteAttribute::PrefSource(address) => route.src = ip(&address),
            RouteAttribute::Oif(index) => route.oif = Some(index),
            RouteAttribute::Priority(metric) => route.priority = Some(metric),
            RouteAttribute::Table(table) => route.table = table,
            RouteAttribute::Metrics(metrics) => {
                for metric in metrics {
                    match metric {
                        RouteMetric::Mtu(mtu) => route.mtu = Some(mtu),
                        RouteMetric::Advmss(mss) => route.advmss = Some(mss),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    route.dst = IpNet::new(dst, message.header.destination_prefix_length).ok()?;
    Some(route)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
