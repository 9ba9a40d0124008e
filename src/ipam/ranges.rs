//! The arithmetic of range sets: which addresses they can give, and in which order.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use crate::config::{Range, RangeSet};

/// An address that may be given to a container, with what its range says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The address with the prefix of its subnet.
    pub address: IpNet,
    /// The gateway of its range.
    pub gateway: IpAddr,
}

impl Range {
    fn lease(&self, address: IpAddr) -> Lease {
        // A prefix length that the subnet has fits its family.
        let address = IpNet::new(address, self.subnet.prefix_len()).unwrap_or_else(|_| address.into());
        Lease { address, gateway: self.gateway }
    }
}

impl RangeSet {
    /// The range in which an address lies, a gateway's included.
    #[must_use]
    pub fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(address))
    }

    /// Whether the address is the gateway of one of the ranges: no container gets it.
    #[must_use]
    pub fn is_gateway(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.gateway == address)
    }

    /// What an address is to a container that asks for it; None when the set does not give it.
    #[must_use]
    pub fn lease(&self, address: IpAddr) -> Option<Lease> {
        if self.is_gateway(address) { None } else { Some(self.range_of(address)?.lease(address)) }
    }

    /// How many containers it can serve: its addresses without its gateways. Ends at `u128::MAX`.
    #[must_use]
    pub fn capacity(&self) -> u128 {
        let addresses = self.0.iter().fold(0u128, |sum, range| {
            let length = bits(range.end).saturating_sub(bits(range.start)).saturating_add(1);
            sum.saturating_add(length)
        });
        let mut gateways: Vec<_> = self.0.iter().map(|range| range.gateway).collect();
        gateways.sort_unstable();
        gateways.dedup();
        gateways.retain(|gateway| self.range_of(*gateway).is_some());
        addresses.saturating_sub(gateways.len() as u128)
    }

    /// Every address that it can give, once: from the one after `last` round to `last` itself. From the very first when
    /// `last` is none of its own.
    pub fn leases_after(&self, last: Option<IpAddr>) -> impl Iterator<Item = Lease> + '_ {
        let mut spans: Vec<_> = self.0.iter().map(|range| (range, bits(range.start), bits(range.end))).collect();
        let found = last.and_then(|last| Some((self.0.iter().position(|range| range.contains(last))?, bits(last))));
        if let Some((index, last)) = found {
            spans.rotate_left(index);
            let (range, start, end) = spans.remove(0);
            if last < end {
                spans.insert(0, (range, last + 1, end));
            }
            spans.push((range, start, last));
        }
        spans
            .into_iter()
            .flat_map(|(range, first, last)| (first..=last).map(move |at| (range, address(at, range.start))))
            .filter(|(_, address)| !self.is_gateway(*address))
            .map(|(range, address)| range.lease(address))
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}-{} of {}", range.start, range.end, range.subnet)?;
        }
        Ok(())
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of these bits in the family of another.
fn address(bits: u128, like: IpAddr) -> IpAddr {
    match like {
        #[allow(clippy::cast_possible_truncation)] // it came from 32 bits
        IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn range(subnet: &str, start: &str, end: &str, gateway: &str) -> Range {
        let ip = |text: &str| text.parse().unwrap();
        Range { subnet: subnet.parse().unwrap(), start: ip(start), end: ip(end), gateway: ip(gateway) }
    }

    fn addresses(set: &RangeSet, last: Option<&str>) -> Vec<String> {
        let leases = set.leases_after(last.map(|last| last.parse().unwrap()));
        leases.take(100).map(|lease| lease.address.to_string()).collect() // a wrong bound would have no end
    }

    #[test]
    fn it_goes_round_robin_over_the_ranges_and_skips_every_gateway() {
        let set = RangeSet(vec![
            range("10.0.0.0/29", "10.0.0.1", "10.0.0.4", "10.0.0.1"),
            range("10.0.1.0/24", "10.0.1.9", "10.0.1.11", "10.0.1.10"),
        ]);
        let all = ["10.0.0.2/29", "10.0.0.3/29", "10.0.0.4/29", "10.0.1.9/24", "10.0.1.11/24"];
        assert_eq!(addresses(&set, None), all);
        assert_eq!(addresses(&set, Some("192.0.2.1")), all);
        assert_eq!(addresses(&set, Some("fd00::1")), all);
        for (last, turn) in [("10.0.0.2", 1), ("10.0.0.4", 3), ("10.0.1.10", 4), ("10.0.1.11", 0)] {
            let mut turned = all;
            turned.rotate_left(turn);
            assert_eq!(addresses(&set, Some(last)), turned, "after {last}");
        }
        let lease = set.leases_after(Some("10.0.0.4".parse().unwrap())).next().unwrap();
        assert_eq!(lease.gateway, "10.0.1.10".parse::<IpAddr>().unwrap());
        assert_eq!(set.capacity(), 5);
        assert_eq!(set.lease("10.0.1.10".parse().unwrap()), None);
        assert_eq!(set.lease("10.0.1.12".parse().unwrap()), None);
        assert_eq!(set.lease("10.0.1.11".parse().unwrap()).unwrap().address.to_string(), "10.0.1.11/24");
    }

    #[test]
    fn the_largest_ranges_neither_overflow_nor_take_time() {
        let end = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let set = RangeSet(vec![range("::/0", "::", end, "::1")]);
        assert_eq!(set.capacity(), u128::MAX - 1);
        let mut after_end = set.leases_after(Some(end.parse().unwrap()));
        assert_eq!(after_end.next().unwrap().address.to_string(), "::/0");
        assert_eq!(after_end.next().unwrap().address.to_string(), "::2/0");

        let set = RangeSet(vec![range("0.0.0.0/0", "0.0.0.0", "255.255.255.255", "0.0.0.1")]);
        assert_eq!(set.capacity(), (1 << 32) - 1);
        assert_eq!(
            set.leases_after(Some("255.255.255.255".parse().unwrap())).next().unwrap().address.to_string(),
            "0.0.0.0/0"
        );
    }

    #[test]
    fn no_range_gives_nothing() {
        assert_eq!(RangeSet(vec![]).leases_after(None).next(), None);
        assert_eq!(RangeSet(vec![]).capacity(), 0);
    }

    /// Up to three ranges that do not overlap, of one family, with gateways in and beside them.
    fn sets() -> impl Strategy<Value = RangeSet> {
        let part = (0u128..40, 0u128..24, 0u128..80);
        (any::<bool>(), prop::collection::vec(part, 1..4)).prop_map(|(v4, parts)| {
            let (base, like, length): (u128, IpAddr, _) = if v4 {
                (0x0a00_0000, Ipv4Addr::UNSPECIFIED.into(), 25)
            } else {
                (0xfd00 << 112 | 0xffc0, Ipv6Addr::UNSPECIFIED.into(), 121)
            };
            let ranges = parts.iter().enumerate().map(|(index, (start, extent, gateway))| {
                let net = base + 128 * index as u128;
                Range {
                    subnet: IpNet::new(address(net, like), length).unwrap().trunc(),
                    start: address(net + start, like),
                    end: address(net + start + extent, like),
                    gateway: address(net + gateway, like),
                }
            });
            RangeSet(ranges.collect())
        })
    }

    proptest! {
        #[test]
        fn every_address_is_offered_once_and_the_last_one_last(set in sets(), at in any::<prop::sample::Index>()) {
            let all: Vec<_> = set.leases_after(None).collect();
            let distinct: BTreeSet<_> = all.iter().map(|lease| lease.address).collect();
            prop_assert_eq!(distinct.len(), all.len());
            prop_assert_eq!(set.capacity(), all.len() as u128);
            for lease in &all {
                prop_assert_eq!(set.lease(lease.address.addr()), Some(*lease));
                let range = set.range_of(lease.address.addr()).unwrap();
                prop_assert!(range.start <= lease.address.addr() && lease.address.addr() <= range.end);
                prop_assert_eq!((lease.gateway, lease.address.prefix_len()), (range.gateway, range.subnet.prefix_len()));
                prop_assert!(set.0.iter().all(|range| range.gateway != lease.address.addr()));
            }
            if !all.is_empty() {
                let index = at.index(all.len());
                let mut turned = all.clone();
                turned.rotate_left((index + 1) % all.len());
                let offered: Vec<_> = set.leases_after(Some(all[index].address.addr())).collect();
                prop_assert_eq!(offered, turned);
            }
        }
    }
}
