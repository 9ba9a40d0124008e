//! How the kernel provides features, found out without loading anything: for STATUS and for people.

use nix::errno::Errno;

use super::{
    cause::{Cause, Surroundings},
    feature::FeatureRef,
    loader,
    modules::{ModuleState, Modules},
    probe::{Answer, Prober},
};
use crate::{config::LoaderName, sys::netlink::Refusal};

/// How a feature is provided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provision {
    /// It is part of the kernel.
    BuiltIn,
    /// Its module is loaded.
    Loaded,
    /// It is not there, and these loaders may bring it. Never empty.
    Loadable(Vec<LoaderName>),
    /// It is not there, and nothing here can bring it. The likeliest cause first; never empty.
    Missing(Vec<Cause>),
    /// It cannot be told without asking in a way that may load it, and why.
    Unknown(String),
}

impl Provision {
    /// Whether an ADD could have it: as far as can be told, nothing stands in its way.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        !matches!(self, Self::Missing(_))
    }
}

/// How each of `features` is provided, or could be by `loaders` (none: [`loader::DEFAULT`]). Loads nothing and asks
/// nothing that could make the kernel load something.
#[must_use]
pub fn provision(features: &[FeatureRef], loaders: Option<&[LoaderName]>) -> Vec<(FeatureRef, Provision)> {
    let loaders = loaders.unwrap_or(loader::DEFAULT);
    let mut prober = Prober::new(features);
    let answers: Vec<Answer> = features.iter().map(|feature| prober.passive(feature)).collect();
    let around = answers.iter().any(|answer| !answer.is_present()).then(Surroundings::look);
    let mut provisions = Vec::new();
    for (feature, answer) in features.iter().zip(answers) {
        let listed = prober.modules().state(feature.telling_module());
        let provision = match (answer, listed, &around) {
            (Answer::Absent(_), _, Some(around)) => absent(feature, around, loaders),
            (_, ModuleState::Live, _) => Provision::Loaded,
            (Answer::Unknown(Some(refusal)), ModuleState::Unknown | ModuleState::Absent, _) => refused(&refusal),
            (Answer::Unknown(None), ModuleState::Unknown, _) => Provision::Unknown(untold(feature, prober.modules())),
            _ => Provision::BuiltIn,
        };
        provisions.push((feature.clone(), provision));
    }
    provisions
}

fn refused(refusal: &Refusal) -> Provision {
    Provision::Unknown(match refusal.errno {
        Errno::EPERM => Cause::NoNetAdmin.to_string(),
        _ => refusal.to_string(),
    })
}

fn absent(feature: &FeatureRef, around: &Surroundings, loaders: &[LoaderName]) -> Provision {
    match around.means(feature, loaders) {
        means if means.is_empty() => Provision::Missing(around.causes(feature, &Answer::Absent(None), &[])),
        means => Provision::Loadable(means),
    }
}

fn untold(feature: &FeatureRef, modules: &Modules) -> String {
    let (module, release) = (feature.telling_module(), modules.release());
    format!("{module} is not loaded, and no /lib/modules/{release}/modules.builtin here tells whether it is built in")
}
