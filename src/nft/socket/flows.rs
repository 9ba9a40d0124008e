//! Flows that go where they should not any more.

use nix::errno::Errno;

use super::Nft;
use crate::nft::{
    error::{Error, Result},
    ruleset::{Family, Flow},
    wire::{self, Content},
};

impl Nft {
    /// Ends the UDP flows to a port of the host that `is_stale` chooses: their next packets are looked at anew.
    ///
    /// # Errors
    /// When connection tracking cannot be asked. Some may have been ended then.
    pub fn end_udp_flows(&mut self, family: Family, port: u16, is_stale: impl Fn(&Flow) -> bool) -> Result<()> {
        let flows = match self.udp_flows(family, Some(port)) {
            Err(Error::Refused { refusal, .. }) if matches!(refusal.errno, Errno::EINVAL | Errno::EOPNOTSUPP) => {
                self.udp_flows(family, None)?
            }
            told => told?,
        };
        for (flow, name) in flows {
            if flow.to.port() == port && is_stale(&flow) {
                self.end_flow(family, &name)?;
            }
        }
        Ok(())
    }

    fn udp_flows(&mut self, family: Family, port: Option<u16>) -> Result<Vec<(Flow, Vec<u8>)>> {
        let ask = |number| wire::ask_flows(number, family, port);
        Ok(self.dump(ask, "list the flows of UDP", |object| wire::flow(object).into_iter().collect())?.found)
    }

    fn end_flow(&mut self, family: Family, name: &[u8]) -> Result<()> {
        const TRIED: &str = "end a flow";
        let number = self.next();
        self.send(&wire::end_flow(number, family, name), TRIED)?;
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
