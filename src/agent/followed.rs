//! The peers that the kernel was made to know, and what becomes of it by news: pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::overlay::plan::{Change, Entries, Host, Key, difference, entries, review};

/// Peers that do not contradict each other, and what the kernel holds of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Followed {
    peers: BTreeMap<String, Host>,
    entries: Entries,
    vteps: BTreeSet<IpAddr>,
}

/// What has to be done to the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// To the entries, in order.
    pub changes: Vec<Change>,
    /// VTEPs from which frames are to be taken, too.
    pub admit: Vec<IpAddr>,
    /// VTEPs from which they are not to be taken any more.
    pub expel: Vec<IpAddr>,
}

impl Difference {
    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.changes.is_empty() && self.admit.is_empty() && self.expel.is_empty()
    }
}

impl Followed {
    /// These peers, which have been reviewed.
    #[must_use]
    pub fn all(peers: Vec<Host>) -> Self {
        Self {
            entries: entries(&peers),
            vteps: peers.iter().map(|peer| peer.vtep).collect(),
            peers: peers.into_iter().map(|peer| (peer.node.clone(), peer)).collect(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.peers.len()
    }

    /// What makes this of what was before.
    #[must_use]
    pub fn since(&self, before: &Self) -> Difference {
        Difference {
            changes: difference(&self.entries, &before.entries),
            admit: self.vteps.difference(&before.vteps).copied().collect(),
            expel: before.vteps.difference(&self.vteps).copied().collect(),
        }
    }

    /// Takes up what a few nodes say of themselves now, which costs as much as there is news and not as there are peers.
    /// None if that contradicts what others say: all has to be reviewed then, and this is no use any more.
    pub fn take_up(&mut self, own: &Host, networks: &[IpNet], news: Vec<(String, Option<Host>)>) -> Option<Difference> {
        let (mut changes, mut before) = (Vec::new(), BTreeMap::new());
        for (node, now) in news {
            if self.peers.get(&node) == now.as_ref() {
                continue;
            }
            let old = self.peers.remove(&node);
            let present = entries(old.as_slice());
            present.keys().for_each(|key| {
                self.entries.remove(key);
            });
            for vtep in old.iter().chain(&now).map(|host| host.vtep) {
                before.entry(vtep).or_insert_with(|| self.vteps.contains(&vtep));
            }
            old.iter().for_each(|old| {
                self.vteps.remove(&old.vtep);
            });
            if now.as_ref().is_some_and(|now| !self.has_room_for(own, networks, now)) {
                return None;
            }
            let wanted = entries(now.as_slice());
            changes.extend(difference(&wanted, &present));
            self.entries.extend(wanted);
            self.vteps.extend(now.iter().map(|now| now.vtep));
            self.peers.extend(now.map(|now| (node, now)));
        }
        let is_now = |vtep: &IpAddr| self.vteps.contains(vtep);
        let of = |was: bool| before.iter().filter(move |(vtep, had)| **had == was && is_now(vtep) != was);
        let (admit, expel) = (of(false).map(|(vtep, _)| *vtep).collect(), of(true).map(|(vtep, _)| *vtep).collect());
        Some(Difference { changes, admit, expel })
    }

    /// Whether it contradicts neither the network nor this host nor a peer.
    fn has_room_for(&self, own: &Host, networks: &[IpNet], host: &Host) -> bool {
        review(own, networks, [host.clone()]).accepted.len() == 1
            && !self.vteps.contains(&host.vtep)
            && !self.entries.contains_key(&Key::Forwarding(host.mac))
            && !host.subnets.iter().any(|subnet| self.overlaps(subnet))
    }

    /// Of routes that do not overlap each other, only the last to begin before the subnet's end can.
    fn overlaps(&self, subnet: &IpNet) -> bool {
        let end = Key::Route(IpNet::from(subnet.broadcast()));
        match self.entries.range(..=end).next_back() {
            Some((Key::Route(other), _)) => other.contains(subnet) || subnet.contains(other),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(node: &str, subnet: u8, vtep: u8) -> Host {
        let record = format!(r#"{{"node": "{node}", "subnets": ["10.244.{subnet}.0/24"], "vtep": "192.0.2.{vtep}"}}"#);
        serde_json::from_str(&record).unwrap()
    }

    fn networks() -> Vec<IpNet> {
        vec!["10.244.0.0/16".parse().unwrap()]
    }

    /// Each step, taken up piece by piece, ends where reviewing all ends, or is told to be a contradiction.
    #[test]
    fn news_lead_where_all_leads() {
        let own = host("own", 1, 1);
        let mut all: Vec<Host> = (2..60).map(|number| host(&format!("n{number}"), number, number)).collect();
        let mut followed = Followed::all(all.clone());
        let mut state = 7_u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from((state >> 16) % below).unwrap()
        };
        let mut contradictions = 0;
        for _ in 0..2_000 {
            let mut news = BTreeMap::new();
            for _ in 0..=random(3) {
                let node = format!("n{}", 2 + random(70));
                let now = (random(4) > 0).then(|| host(&node, 1 + random(90), 1 + random(90)));
                news.insert(node, now);
            }
            let mut next: Vec<_> = all.iter().filter(|peer| !news.contains_key(&peer.node)).cloned().collect();
            next.extend(news.values().flatten().cloned());
            let reviewed = review(&own, &networks(), next.clone());
            let before = followed.clone();
            match followed.take_up(&own, &networks(), news.into_iter().collect()) {
                Some(difference) => {
                    assert!(reviewed.refused.is_empty(), "{:?}", reviewed.refused);
                    let whole = Followed::all(next.clone());
                    assert_eq!(followed, whole);
                    let expected = whole.since(&before);
                    assert_eq!((difference.admit, difference.expel), (expected.admit, expected.expel));
                    let mut kernel = before.entries;
                    for change in difference.changes {
                        match change {
                            Change::Remove(key, value) => assert_eq!(kernel.remove(&key), Some(value)),
                            Change::Put(key, value) => {
                                kernel.insert(key, value);
                            }
                        }
                    }
                    assert_eq!(kernel, whole.entries);
                    all = next;
                }
                None => {
                    contradictions += 1;
                    followed = before;
                }
            }
        }
        assert!((200..1_900).contains(&contradictions), "{contradictions} contradictions of 2000");
    }

    #[test]
    fn what_did_not_change_costs_nothing() {
        let (own, peer) = (host("own", 1, 1), host("b", 2, 2));
        let mut followed = Followed::all(vec![peer.clone()]);
        let news = vec![("b".to_owned(), Some(peer)), ("c".to_owned(), None)];
        assert!(followed.take_up(&own, &networks(), news).unwrap().is_nothing());
    }
}
