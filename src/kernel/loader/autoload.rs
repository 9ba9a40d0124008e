//! The netlink request for a function, for which the kernel loads the module by itself. No capability to load modules
//! is needed for it, and it works in user namespaces.

use std::cell::RefCell;

use super::{Loader, Outcome};
use crate::{
    config::LoaderName,
    kernel::{
        feature::{FeatureRef, ModuleName},
        probe::{Answer, Prober},
    },
};

/// Loads by asking for one feature.
pub struct Autoload<'a> {
    prober: &'a RefCell<Prober>,
    feature: &'a FeatureRef,
}

impl<'a> Autoload<'a> {
    /// A loader of `feature`, that asks by `prober`.
    #[must_use]
    pub fn new(prober: &'a RefCell<Prober>, feature: &'a FeatureRef) -> Self {
        Self { prober, feature }
    }
}

impl Loader for Autoload<'_> {
    fn name(&self) -> LoaderName {
        LoaderName::Netlink
    }

    fn load(&mut self, _: &ModuleName) -> Outcome {
        if !self.feature.autoloads() {
            return Outcome::Skipped("no request makes the kernel load this module by itself");
        }
        match self.prober.borrow_mut().active(self.feature) {
            Answer::Present => Outcome::Done,
            Answer::Absent(Some(refusal)) | Answer::Unknown(Some(refusal)) => Outcome::Refused(refusal),
            Answer::Absent(None) | Answer::Unknown(None) => Outcome::Asked,
        }
    }
}
