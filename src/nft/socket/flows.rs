//! Flows that go where they should not any more.

use std::collections::BTreeSet;

use nix::errno::Errno;

use super::Nft;
use crate::nft::{
    error::{Error, Result},
    ruleset::{Family, Flow, Flows},
    wire::{self, Content},
};

impl Nft {
    /// Ends flows of UDP: their next packets are looked at anew.
    ///
    /// # Errors
    /// When connection tracking cannot be asked. Some may have been ended then.
    pub fn end_udp_flows(&mut self, which: &[Flows]) -> Result<()> {
        let tracked = self.tracked_flows()?;
        if tracked == 0 {
            return Ok(());
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            let of_family: Vec<&Flows> = which.iter().filter(|flows| flows.family() == family).collect();
            if !self.delete_flows(family, &of_family, tracked)? {
                self.find_and_end_flows(family, &of_family)?;
            }
        }
        Ok(())
    }

    /// Has the kernel find them; false, and nothing done, when it can't or it is better not to.
    fn delete_flows(&mut self, family: Family, which: &[&Flows], tracked: u64) -> Result<bool> {
        // Linux, 6.18 at least, takes an IPv6 address in a filter for all others.
        if family == Family::Ipv6 || !deletions_pay(which, tracked) {
            return Ok(false);
        }
        match which.iter().try_for_each(|flows| self.end(|number| wire::end_flows(number, flows))) {
            Err(error) if is_no_filter(&error) => Ok(false),
            ended => ended.map(|()| true),
        }
    }

    fn find_and_end_flows(&mut self, family: Family, which: &[&Flows]) -> Result<()> {
        for port in ports(which) {
            for (flow, name) in self.udp_flows(family, port)? {
                if which.iter().any(|flows| flows.contain(&flow)) {
                    self.end(|number| wire::end_flow(number, family, &name))?;
                }
            }
        }
        Ok(())
    }

    /// How many flows of any kind this namespace has.
    fn tracked_flows(&mut self) -> Result<u64> {
        let read = |object: &[u8]| wire::flow_count(object).into_iter().collect();
        let told = self.dump(wire::ask_flow_count, "count flows", read)?.found;
        Ok(told.first().map_or(u64::MAX, |count| u64::from(*count)))
    }

    /// The flows to a port. A kernel before 5.8 tells all of the family.
    fn udp_flows(&mut self, family: Family, port: u16) -> Result<Vec<(Flow, Vec<u8>)>> {
        let mut list = |port| {
            let ask = |number| wire::ask_flows(number, family, port);
            let read = |object: &[u8]| wire::flow(object).into_iter().collect();
            Ok(self.dump(ask, "list the flows of UDP", read)?.found)
        };
        match list(Some(port)) {
            Err(error) if is_no_filter(&error) => list(None),
            told => told,
        }
    }

    fn end(&mut self, message: impl Fn(u32) -> Vec<u8>) -> Result<()> {
        const TRIED: &str = "end flows";
        let number = self.next();
        self.send(&message(number), TRIED)?;
        loop {
            let answer = self.receive(0, TRIED)?.into_iter().find(|answer| answer.number == number);
            match answer.map(|answer| answer.content) {
                None => {}
                // ENOENT: it ended by itself.
                Some(Content::Refused(refusal)) if refusal.errno != Errno::ENOENT => {
                    return Err(Error::Refused { tried: TRIED.into(), refusal });
                }
                Some(_) => return Ok(()),
            }
        }
    }
}

/// The kernel does not know filters, or not here.
fn is_no_filter(error: &Error) -> bool {
    matches!(error, Error::Refused { refusal, .. } if matches!(refusal.errno, Errno::EINVAL | Errno::EOPNOTSUPP))
}

fn ports(which: &[&Flows]) -> BTreeSet<u16> {
    which.iter().map(|flows| flows.port()).collect()
}

/// Whether it is faster to have the kernel delete by filter than to have it list and to delete one by one. Either walks
/// its whole table, of usually 262,144 buckets: a deletion skips the empty ones, a list takes a lock for each.
///
/// In tenths of a microsecond, on Linux 6.18.
fn deletions_pay(which: &[&Flows], tracked: u64) -> bool {
    let [deletions, lists] = [which.len(), ports(which).len()].map(|count| count as u64);
    let deletion = tracked.saturating_mul(2).saturating_add(1_400);
    let list = tracked.saturating_add(32_000);
    deletions.saturating_mul(deletion) < lists.saturating_mul(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_faster() {
        let to_addresses: Vec<_> = (1..=100).map(|last| Flows::To(([192, 0, 2, last], 53).into())).collect();
        let pays =
            |addresses, tracked| deletions_pay(&to_addresses.iter().take(addresses).collect::<Vec<_>>(), tracked);
        assert!(pays(1, 1) && pays(5, 1_000) && pays(1, 10_000));
        assert!(!pays(5, 50_000) && !pays(100, 1) && !pays(1, u64::MAX) && !pays(0, 1));
    }
}
