//! Which subnets a node takes: pure.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
};

use ipnet::IpNet;

/// A part of the overlay from which each node has one subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The whole of it.
    pub network: IpNet,
    /// The prefix length of a node's subnet.
    pub length: u8,
}

/// What a node does to have its subnets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// One of each pool, in their order.
    pub subnets: Vec<IpNet>,
    /// Those of them that nobody has yet.
    pub missing: Vec<IpNet>,
    /// What the host has in use and another node has claimed: subnets that it must give up.
    pub lost: Vec<(IpNet, String)>,
}

/// No subnet is free.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no /{length} of {network} is free for this node, {claimed} are claimed: delete the claims (alloc/...) of hosts that \
     are gone, or make the network larger"
)]
pub struct Exhausted {
    network: IpNet,
    length: u8,
    claimed: usize,
}

/// Chooses a subnet of each pool: the one that the node has claimed already, or that the host has in use, or a free one.
///
/// # Errors
/// A pool has none left.
pub fn choose(
    node: &str,
    pools: &[Pool],
    claims: &BTreeMap<IpNet, String>,
    in_use: &[IpNet],
) -> Result<Claim, Exhausted> {
    let mut claim = Claim { subnets: Vec::new(), missing: Vec::new(), lost: Vec::new() };
    for pool in pools {
        let used = in_use.iter().copied().find(|subnet| pool.has(subnet));
        let mut own = claims.iter().filter(|(subnet, owner)| pool.has(subnet) && *owner == node).map(|(one, _)| *one);
        if let Some(first) = own.next() {
            let kept = used.filter(|used| *used == first || own.any(|other| other == *used));
            claim.subnets.push(kept.unwrap_or(first));
            continue;
        }
        let rival = used.and_then(|used| claims.iter().find(|(other, _)| overlap(&used, other)));
        if let (Some(used), Some((_, rival))) = (used, rival) {
            claim.lost.push((used, rival.clone()));
        }
        let subnet = used.filter(|_| rival.is_none()).or_else(|| pool.free(node, claims));
        let claimed = claims.keys().filter(|subnet| pool.network.contains(*subnet)).count();
        let subnet = subnet.ok_or(Exhausted { network: pool.network, length: pool.length, claimed })?;
        claim.subnets.push(subnet);
        claim.missing.push(subnet);
    }
    Ok(claim)
}

impl Pool {
    /// Whether a subnet is one that a node can have of this pool.
    fn has(&self, subnet: &IpNet) -> bool {
        self.network.contains(subnet) && subnet.prefix_len() == self.length
    }

    /// The first free subnet from a place on that depends on the node's name, so that nodes that start together seldom
    /// want the same one. The pool's very first comes last: a host that was alone has it in use, and may join later.
    fn free(&self, node: &str, claims: &BTreeMap<IpNet, String>) -> Option<IpNet> {
        let bits = self.length - self.network.prefix_len();
        let last = if bits >= 64 { u64::MAX } else { (1_u64 << bits) - 1 };
        let taken: Vec<(u64, u64)> = claims.keys().filter_map(|claim| self.extent(claim)).collect();
        if last == 0 {
            return taken.is_empty().then(|| self.subnet(0));
        }
        let mut hasher = DefaultHasher::new();
        node.hash(&mut hasher);
        let start = 1 + hasher.finish() % last;
        let found = first_gap(&taken, start, last).or_else(|| first_gap(&taken, 1, last));
        found.or_else(|| first_gap(&taken, 0, 0)).map(|index| self.subnet(index))
    }

    /// The numbers of the first and the last subnet that a claim overlaps.
    fn extent(&self, claim: &IpNet) -> Option<(u64, u64)> {
        if claim.contains(&self.network) {
            return Some((0, u64::MAX));
        }
        self.network.contains(claim).then(|| (self.index(claim.network()), self.index(claim.broadcast())))
    }

    fn index(&self, address: IpAddr) -> u64 {
        let offset = number(address) - number(self.network.network());
        let shift = u32::from(self.network.max_prefix_len() - self.length);
        u64::try_from(offset >> shift).unwrap_or(u64::MAX)
    }

    fn subnet(&self, index: u64) -> IpNet {
        let offset = u128::from(index) << (self.network.max_prefix_len() - self.length);
        let address = number(self.network.network()) + offset;
        let address = match self.network {
            IpNet::V4(_) => IpAddr::V4(u32::try_from(address).unwrap_or(u32::MAX).into()),
            IpNet::V6(_) => IpAddr::V6(address.into()),
        };
        IpNet::new(address, self.length).unwrap_or(self.network)
    }
}

/// The first number from `start` to `last` that is in none of the ranges, which are sorted by where they begin.
fn first_gap(taken: &[(u64, u64)], start: u64, last: u64) -> Option<u64> {
    let mut at = start;
    for (from, to) in taken {
        if *from > at {
            break;
        }
        if *to >= at {
            at = to.checked_add(1)?;
        }
    }
    (at <= last).then_some(at)
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const NONE: &[IpNet] = &[];

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn pool(network: &str, length: u8) -> Pool {
        Pool { network: net(network), length }
    }

    fn claims(all: &[(&str, &str)]) -> BTreeMap<IpNet, String> {
        all.iter().map(|(subnet, node)| (net(subnet), (*node).to_owned())).collect()
    }

    #[test]
    fn a_claim_of_its_own_is_used_again() {
        let claims = claims(&[("10.244.7.0/24", "a"), ("10.244.9.0/24", "b"), ("10.244.200.0/24", "a")]);
        let pools = [pool("10.244.0.0/16", 24)];
        let claim = choose("a", &pools, &claims, NONE).unwrap();
        assert_eq!((claim.subnets, claim.missing), (vec![net("10.244.7.0/24")], vec![]));
        let claim = choose("a", &pools, &claims, &[net("10.244.200.0/24")]).unwrap();
        assert_eq!(claim.subnets, [net("10.244.200.0/24")], "the one that is in use");
    }

    #[test]
    fn a_subnet_in_use_is_claimed_as_it_is() {
        let pools = [pool("10.244.0.0/16", 24)];
        let claim = choose("a", &pools, &claims(&[]), &[net("10.244.0.0/24")]).unwrap();
        assert_eq!((claim.subnets, claim.lost), (vec![net("10.244.0.0/24")], vec![]));
        let claim = choose("a", &pools, &claims(&[("10.244.0.0/24", "b")]), &[net("10.244.0.0/24")]).unwrap();
        assert_ne!(claim.subnets, [net("10.244.0.0/24")]);
        assert_eq!(claim.lost, [(net("10.244.0.0/24"), "b".to_owned())]);
    }

    #[test]
    fn every_subnet_is_given_once_and_the_first_last() {
        let pools = [pool("10.244.0.0/20", 24)];
        let mut taken = BTreeMap::new();
        for index in 0..16 {
            let node = format!("n{index}");
            let claim = choose(&node, &pools, &taken, NONE).unwrap();
            assert_eq!(claim.subnets, claim.missing);
            assert_eq!(claim.subnets == [net("10.244.0.0/24")], index == 15, "{claim:?}");
            assert_eq!(taken.insert(claim.subnets[0], node), None);
        }
        let exhausted = choose("late", &pools, &taken, NONE).unwrap_err().to_string();
        assert!(exhausted.starts_with("no /24 of 10.244.0.0/20 is free for this node, 16 are claimed"), "{exhausted}");
        assert!(choose("n3", &pools, &taken, NONE).unwrap().missing.is_empty());
    }

    #[test]
    fn claims_of_another_length_are_kept_clear_of() {
        let pools = [pool("10.244.0.0/22", 24)];
        let claims = claims(&[("10.244.0.0/23", "x"), ("10.244.2.128/25", "y")]);
        let claim = choose("a", &pools, &claims, NONE).unwrap();
        assert_eq!(claim.subnets, [net("10.244.3.0/24")]);
        let all = BTreeMap::from([(net("10.0.0.0/8"), "x".to_owned())]);
        assert!(choose("a", &pools, &all, NONE).is_err());
    }

    #[test]
    fn one_of_each_family() {
        let pools = [pool("10.244.0.0/16", 24), pool("fd00:1::/48", 64)];
        let claims = claims(&[("10.244.7.0/24", "a")]);
        let claim = choose("a", &pools, &claims, NONE).unwrap();
        assert_eq!(claim.subnets[0], net("10.244.7.0/24"));
        assert_eq!(claim.missing, claim.subnets[1..]);
        assert!(net("fd00:1::/48").contains(&claim.subnets[1]));
        assert_eq!(claim.subnets[1].prefix_len(), 64);
    }

    #[test]
    fn huge_and_tiny_pools() {
        assert_eq!(choose("a", &[pool("10.1.1.0/24", 24)], &claims(&[]), NONE).unwrap().subnets, [net("10.1.1.0/24")]);
        assert!(choose("a", &[pool("10.1.1.0/24", 24)], &claims(&[("10.1.1.0/24", "b")]), NONE).is_err());
        let huge = pool("fd00::/8", 120);
        let nodes: BTreeSet<_> =
            (0..50).map(|n| choose(&format!("n{n}"), &[huge], &claims(&[]), NONE).unwrap().subnets[0]).collect();
        assert_eq!(nodes.len(), 50, "names lead to different places");
        assert!(nodes.iter().all(|subnet| huge.has(subnet)));
    }
}
