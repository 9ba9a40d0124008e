//! Settings of IP that rtnetlink knows, too. Below /proc/sys each lookup costs more with every namespace of the machine
//! (they all have a `net/ipv4`, in one hash chain); here it does not.

use netlink_packet_core::{DecodeError, Emitable};
use netlink_packet_route::link::{AfSpecInet, AfSpecUnspec, InetDevConf, LinkAttribute};
use nix::libc::{AF_INET, AF_INET6, RTM_SETLINK};

use super::{
    Error, Link, Rtnl,
    link::about,
    reading,
    values::{Ipv4Setting, Ipv4Settings},
};

// linux/rtnetlink.h and linux/netconf.h
const RTM_GETNETCONF: u16 = 82;
const NETCONFA_IFINDEX: u16 = 1;
const NETCONFA_FORWARDING: u16 = 2;
const NETCONFA_IFINDEX_ALL: i32 = -1;

/// `struct netconfmsg`, aligned.
const HEADER: usize = 4;

impl Rtnl {
    /// Whether the namespace forwards packets of a family: `net.ipv4.ip_forward`, `net.ipv6.conf.all.forwarding`.
    ///
    /// # Errors
    /// Any refusal: EOPNOTSUPP where the kernel lacks the family.
    pub fn is_forwarding(&self, ipv6: bool) -> Result<bool, Error> {
        let read = |payload: &[u8]| {
            let value = reading::find(payload.get(HEADER..).unwrap_or_default(), NETCONFA_FORWARDING);
            let value = value.and_then(|value| <[u8; 4]>::try_from(value).ok());
            value.map(|value| i32::from_ne_bytes(value) != 0).ok_or_else(|| DecodeError::from("no NETCONFA_FORWARDING"))
        };
        let flag = if ipv6 { "-6" } else { "-4" };
        self.find((RTM_GETNETCONF, OfAllLinks { ipv6 }), read, || format!("ip {flag} netconf show dev all"))
    }

    /// Turns a setting on, unless it is.
    ///
    /// # Errors
    /// Any refusal.
    pub fn turn_on(&self, link: &Link, setting: Ipv4Setting) -> Result<(), Error> {
        let mut conf = InetDevConf::default(); // only what is not zero is asked for
        match setting {
            Ipv4Setting::ArpNotify if !link.ipv4.arp_notify => conf.arp_notify = 1,
            Ipv4Setting::RouteLocalnet if !link.ipv4.route_localnet => conf.route_localnet = 1,
            _ => return Ok(()),
        }
        let asked = vec![AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(conf)])];
        let message = about(link.index, vec![LinkAttribute::AfSpecUnspec(asked)]);
        self.run((RTM_SETLINK, message), 0, || format!("sysctl -w net.ipv4.conf.{}.{setting}=1", link.name))
    }
}

/// Reads `IFLA_INET_CONF`: an array of 32-bit numbers, the first of them `IPV4_DEVCONF_FORWARDING` (linux/ip.h).
pub(super) fn ipv4_settings(array: &[u8]) -> Ipv4Settings {
    let is_on = |number: usize| array.chunks_exact(4).nth(number - 1).is_some_and(|value| value != [0; 4]);
    Ipv4Settings { arp_notify: is_on(22), route_localnet: is_on(26) }
}

/// Asks for the settings of all links of a namespace.
struct OfAllLinks {
    ipv6: bool,
}

impl Emitable for OfAllLinks {
    fn buffer_len(&self) -> usize {
        HEADER + 8
    }

    fn emit(&self, buffer: &mut [u8]) {
        let family = if self.ipv6 { AF_INET6 } else { AF_INET };
        let [length, kind] = [8_u16, NETCONFA_IFINDEX].map(u16::to_ne_bytes);
        let whole = [&[family as u8, 0, 0, 0][..], &length, &kind, &NETCONFA_IFINDEX_ALL.to_ne_bytes()].concat();
        buffer[..whole.len()].copy_from_slice(&whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_by_their_numbers() {
        let mut array = [0_u8; 33 * 4];
        assert_eq!(ipv4_settings(&array), Ipv4Settings::default());
        array[21 * 4] = 1;
        assert_eq!(ipv4_settings(&array), Ipv4Settings { arp_notify: true, route_localnet: false });
        array[25 * 4] = 1;
        assert_eq!(ipv4_settings(&array), Ipv4Settings { arp_notify: true, route_localnet: true });
        assert_eq!(ipv4_settings(&array[..7]), Ipv4Settings::default());
    }
}
