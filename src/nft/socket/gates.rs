//! Rules of ours in other programs' chains: see [`crate::nft::ruleset::gate`].

use nix::errno::Errno;

use super::{ATTEMPTS, Nft};
use crate::{
    nft::{
        error::{Error, Result},
        ruleset::{Element, Gate, TABLE, Table, expression::Verdict},
        wire::{self, Content, ForeignBatch, ForeignChain, ForeignRule},
    },
    sys::netlink::Refusal,
};

/// Families with a hook for what is forwarded: nft's name and the kernel's number.
const FAMILIES: [(&str, u8); 3] = [("ip", 2), ("ip6", 10), ("inet", 1)];

/// What came of opening gates.
#[derive(Debug, Default)]
pub struct Opened {
    /// Those that let the mark through now, and did not before.
    pub opened: Vec<Gate>,
    /// Those whose owner does not let us.
    pub refused: Vec<(Gate, Refusal)>,
}

impl Nft {
    /// The gates that lack a rule of ours. `admin_chain` is the name of the administrator's own chain.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn closed_gates(&mut self, admin_chain: &str) -> Result<Vec<Gate>> {
        let mut gates = Vec::new();
        for (family, number) in FAMILIES {
            let chains = self.foreign_chains(number)?;
            for chain in &chains {
                let Some(policy_drops) = chain.filters_forwarded else { continue };
                let rules = self.foreign_rules(number, chain)?;
                let drops = policy_drops || rules.last().is_some_and(ForeignRule::drops_everything);
                let has_admin = chains.iter().any(|other| other.table == chain.table && other.name == admin_chain);
                let admin = has_admin.then(|| Verdict::Jump(admin_chain.into()));
                let wanted = admin.into_iter().chain(drops.then_some(Verdict::Accept));
                let lacks = |verdict: &Verdict| !rules.iter().any(|rule| rule.does(&Gate::rule(verdict.clone())));
                let lacking: Vec<_> = wanted.filter(lacks).collect();
                if !lacking.is_empty() {
                    gates.push(Gate { family, table: chain.table.clone(), chain: chain.name.clone(), lacking });
                }
            }
        }
        Ok(gates)
    }

    /// Makes all gates let the mark through. Call it when the elements are there: whoever closes them looks for those.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn open_gates(&mut self, admin_chain: &str) -> Result<Opened> {
        let mut done = Opened::default();
        for _ in 0..ATTEMPTS {
            let generation = self.generation()?;
            let closed = self.closed_gates(admin_chain)?;
            let Some(gate) = closed.into_iter().find(|gate| !done.refused.iter().any(|(other, _)| other == gate))
            else {
                return Ok(done);
            };
            let mut batch = ForeignBatch::new(self.number, generation);
            for verdict in gate.lacking.iter().rev() {
                batch.insert(number_of(gate.family), &gate.table, &gate.chain, &Gate::rule(verdict.clone()));
            }
            match self.commit_foreign(batch)? {
                None => done.opened.push(gate),
                Some(refusal) if is_outdated(&refusal) => {}
                Some(refusal) => done.refused.push((gate, refusal)),
            }
        }
        Err(Error::Contended { tried: "let containers through other programs' chains".into() })
    }

    /// Takes our rules out of other programs' chains, unless a container needs them.
    ///
    /// # Errors
    /// When the kernel refuses; nothing was changed then.
    pub fn close_gates(&mut self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let generation = self.generation()?;
            if self.has_forwarded()? {
                return Ok(());
            }
            let mut batch = ForeignBatch::new(self.number, generation);
            let mut is_empty = true;
            for (_, family) in FAMILIES {
                for chain in self.foreign_chains(family)?.iter().filter(|chain| chain.filters_forwarded.is_some()) {
                    for rule in self.foreign_rules(family, chain)?.iter().filter(|rule| rule.is_of_gates()) {
                        batch.delete(family, &chain.table, &chain.name, rule);
                        is_empty = false;
                    }
                }
            }
            if is_empty {
                return Ok(());
            }
            match self.commit_foreign(batch)? {
                None => return Ok(()),
                Some(refusal) if is_outdated(&refusal) => {}
                Some(refusal) => return Err(Error::Refused { tried: "nft delete rule".into(), refusal }),
            }
        }
        Err(Error::Contended { tried: "take our rules out of other programs' chains".into() })
    }

    fn has_forwarded(&mut self) -> Result<bool> {
        for set in ["fwd4", "fwd6"] {
            let ask = |number| wire::ask_elements(number, Table::Inet, set);
            let found = self.settled(ask, "list elements", |object| wire::element(object).collect())?;
            if found.iter().any(|owned| matches!(owned.element, Element::Forwarded(_))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The chains of a family, ours left out.
    fn foreign_chains(&mut self, family: u8) -> Result<Vec<ForeignChain>> {
        let ask = |number| wire::ask_chains(number, family);
        let mut chains = self.settled(ask, "list chains", |object| wire::chain(object).into_iter().collect())?;
        chains.retain(|chain| chain.table != TABLE);
        Ok(chains)
    }

    fn foreign_rules(&mut self, family: u8, chain: &ForeignChain) -> Result<Vec<ForeignRule>> {
        let ask = |number| wire::ask_rules_of(number, family, chain);
        self.settled(ask, "list rules", |object| wire::foreign_rule(object).into_iter().collect())
    }

    /// The number of the ruleset that stands now.
    pub(super) fn generation(&mut self) -> Result<u32> {
        const TRIED: &str = "ask for the ruleset's generation";
        let number = self.next();
        self.send(&wire::ask_generation(number), TRIED)?;
        loop {
            let answer = self.receive(0, TRIED)?.into_iter().find(|answer| answer.number == number);
            match answer.map(|answer| answer.content) {
                None => {}
                Some(Content::Object(object)) => {
                    let unreadable = || Error::Unreadable { tried: TRIED.into(), reason: "no number".into() };
                    return wire::generation(object).ok_or_else(unreadable);
                }
                Some(Content::Refused(refusal)) => return Err(Error::Refused { tried: TRIED.into(), refusal }),
                Some(_) => return Err(Error::Unreadable { tried: TRIED.into(), reason: "no answer".into() }),
            }
        }
    }

    /// Commits; the first refusal, if there is one.
    fn commit_foreign(&mut self, batch: ForeignBatch) -> Result<Option<Refusal>> {
        let (bytes, first, last) = batch.finish();
        self.number = last.wrapping_add(2);
        self.send(&bytes, "send a transaction")?;
        Ok(self.outcome(first, last)?.into_iter().next().map(|(_, refusal)| refusal))
    }
}

fn number_of(family: &str) -> u8 {
    FAMILIES.iter().find(|(name, _)| *name == family).map_or(0, |(_, number)| *number)
}

/// Somebody changed the ruleset, or the chain is gone: look again.
fn is_outdated(refusal: &Refusal) -> bool {
    matches!(refusal.errno, Errno::ERESTART | Errno::ENOENT)
}
