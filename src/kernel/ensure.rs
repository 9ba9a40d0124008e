//! Making sure: every need is asked for, what is missing is loaded, and what cannot be had is explained.

use std::{cell::RefCell, fmt, time::Instant};

use super::{
    cause::{Cause, Surroundings},
    feature::{FeatureRef, Need, Probe},
    loader::{self, Attempt, Autoload, Finit, Ioctl, Loader, Modprobe, NotLoaded, Outcome},
    modules::ModuleState,
    probe::{Answer, Prober},
};
use crate::config::LoaderName;

/// Proof that the kernel can do what a request needs. Only [`ensure`] makes it.
#[derive(Debug)]
pub struct Ready(Vec<Provided>);

impl Ready {
    /// Where each feature came from, in the order of the needs.
    #[must_use]
    pub fn provided(&self) -> &[Provided] {
        &self.0
    }
}

/// Where one feature came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    /// Which feature.
    pub feature: FeatureRef,
    /// What it is needed for; several reasons are joined by "; ".
    pub why: String,
    /// Where from.
    pub source: Source,
    /// How long the question and the loading took, in microseconds.
    pub micros: u64,
    /// What was tried to load it.
    pub attempts: Vec<Attempt>,
}

/// Where a feature came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It was there already.
    There,
    /// A loader brought it.
    Loaded(LoaderName),
    /// It was not there at first and came when a loader brought another feature.
    CameAlong {
        /// The loader.
        loader: LoaderName,
        /// The other feature.
        with: FeatureRef,
    },
    /// Nothing can tell whether this plain module is there: no list names what is built in.
    Unverified,
}

/// Features that this request needs and that the kernel cannot be brought to have.
///
/// As text it is one line; [`EnsureError::details`] has the rest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", one_line(missing))]
pub struct EnsureError {
    /// Each of them. Never empty.
    pub missing: Vec<Missing>,
    /// What the others came from.
    pub provided: Vec<Provided>,
}

/// A feature that could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub feature: FeatureRef,
    /// What it is needed for; several reasons are joined by "; ".
    pub why: String,
    /// The last answer about it.
    pub answer: Answer,
    /// What was tried to load it.
    pub attempts: Vec<Attempt>,
    /// Why that did not help, the likeliest first. Never empty.
    pub causes: Vec<Cause>,
}

impl Missing {
    /// The likeliest cause.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        self.causes.first().unwrap_or(&Cause::Unclear)
    }
}

fn one_line(missing: &[Missing]) -> String {
    let names: Vec<&str> = missing.iter().map(|missing| missing.feature.name()).collect();
    let cause = missing.first().map_or(&Cause::Unclear, Missing::cause);
    format!("the kernel lacks {}: {cause}", names.join(", "))
}

impl EnsureError {
    /// Everything that is known, on several lines: for each feature what it is needed for, what the kernel answered,
    /// each attempt, the causes and the next step.
    #[must_use]
    pub fn details(&self) -> String {
        self.missing.iter().map(Missing::to_string).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: needed for {}", self.feature, self.why)?;
        let told = |attempt: &Attempt| matches!(&attempt.outcome, Outcome::Refused(refusal) if Some(refusal) == self.answer.refusal());
        if let Some(refusal) = self.answer.refusal()
            && !self.attempts.iter().any(told)
        {
            write!(f, "\n  the kernel says: {refusal}")?;
        }
        for attempt in &self.attempts {
            write!(f, "\n  {attempt}")?;
        }
        for cause in &self.causes {
            write!(f, "\n  cause: {cause}\n  next: {}", cause.next_step(&self.feature))?;
        }
        Ok(())
    }
}

/// Makes sure that the kernel has what `needs` name, loading what is missing by `loaders` in their order (none:
/// [`loader::DEFAULT`]). Needs of one feature count once.
///
/// Questions only when all is there. The feature itself is asked for, never a list of modules alone; what a loader says
/// of its work decides nothing.
///
/// # Errors
/// Every feature that is missing after all loaders were tried.
pub fn ensure(needs: &[Need], loaders: Option<&[LoaderName]>) -> Result<Ready, EnsureError> {
    let needs = merge(needs);
    let mut prober = Prober::new(needs.iter().map(|need| &need.feature));
    let first: Vec<(Answer, u64)> = needs.iter().map(|need| timed(|| prober.passive(&need.feature))).collect();
    let mut round = Round::new(prober, loaders.unwrap_or(loader::DEFAULT));
    for (need, (answer, micros)) in needs.into_iter().zip(first) {
        if answer.is_present() {
            round.provide(need, Source::There, micros, Vec::new());
        } else {
            round.bring(need, micros);
        }
    }
    let Round { provided, mut missing, .. } = round;
    log(&provided);
    if missing.is_empty() {
        return Ok(Ready(provided));
    }
    let surroundings = Surroundings::look();
    for lacking in &mut missing {
        lacking.causes = surroundings.causes(&lacking.feature, &lacking.answer, &lacking.attempts);
    }
    Err(EnsureError { missing, provided })
}

fn log(provided: &[Provided]) {
    for Provided { feature, source, micros, .. } in provided {
        match source {
            Source::There => tracing::debug!(%feature, micros, "the kernel has it"),
            Source::Loaded(loader) => tracing::info!(%feature, micros, loader = loader::name(*loader), "loaded"),
            Source::CameAlong { loader, with } => {
                tracing::info!(%feature, micros, loader = loader::name(*loader), %with, "came along");
            }
            Source::Unverified => tracing::warn!(%feature, micros, "nothing tells whether this module is there"),
        }
    }
}

/// One need per feature.
fn merge(needs: &[Need]) -> Vec<Need> {
    let mut merged: Vec<Need> = Vec::new();
    for need in needs {
        match merged.iter_mut().find(|known| known.feature == need.feature) {
            Some(known) if known.why.split("; ").any(|why| why == need.why) => {}
            Some(known) => known.why = format!("{}; {}", known.why, need.why),
            None => merged.push(need.clone()),
        }
    }
    merged
}

/// Whether there is a question that tells for sure, and loads nothing.
fn has_passive_question(feature: &FeatureRef) -> bool {
    matches!(
        feature.probe(),
        Probe::Link(_) | Probe::VlanFiltering | Probe::Filesystem(_) | Probe::File(_) | Probe::Listed
    )
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let start = Instant::now();
    let value = work();
    (value, u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// One pass over the needs: what was there, what was brought, what is missing.
struct Round<'a> {
    prober: RefCell<Prober>,
    loaders: &'a [LoaderName],
    /// Who brought what, in order.
    brought: Vec<(LoaderName, FeatureRef)>,
    provided: Vec<Provided>,
    missing: Vec<Missing>,
}

impl<'a> Round<'a> {
    fn new(prober: Prober, loaders: &'a [LoaderName]) -> Self {
        Self { prober: RefCell::new(prober), loaders, brought: Vec::new(), provided: Vec::new(), missing: Vec::new() }
    }

    fn provide(&mut self, Need { feature, why }: Need, source: Source, micros: u64, attempts: Vec<Attempt>) {
        self.provided.push(Provided { feature, why, source, micros, attempts });
    }

    /// Loads what the first question, which took `asked` microseconds, did not find.
    fn bring(&mut self, need: Need, asked: u64) {
        let (result, took) = timed(|| self.load(&need.feature));
        match result {
            Ok((source, attempts)) => {
                if let Source::Loaded(loader) = source {
                    self.brought.push((loader, need.feature.clone()));
                }
                self.provide(need, source, asked.saturating_add(took), attempts);
            }
            Err(NotLoaded { answer, attempts }) => {
                let Need { feature, why } = need;
                self.missing.push(Missing { feature, why, answer, attempts, causes: Vec::new() });
            }
        }
    }

    fn load(&self, feature: &FeatureRef) -> Result<(Source, Vec<Attempt>), NotLoaded<Answer>> {
        let mut means: Vec<Box<dyn Loader + '_>> =
            self.loaders.iter().map(|name| self.loader(*name, feature)).collect();
        let mut means: Vec<&mut dyn Loader> = means.iter_mut().map(|loader| &mut **loader as &mut dyn Loader).collect();
        match loader::load_modules(|| self.is_loaded(feature), &feature.modules(), &mut means) {
            Ok(loaded) => Ok((self.source(feature, loaded.by()), loaded.attempts)),
            Err(failed) => self.last_word(feature, failed),
        }
    }

    fn source(&self, feature: &FeatureRef, by: Option<LoaderName>) -> Source {
        match by {
            None => self.came_along(feature),
            Some(LoaderName::Netlink) => self.answered(feature),
            Some(loader) => Source::Loaded(loader),
        }
    }

    /// Where a feature came from that answered: the question may have loaded it, or may have been the only way to learn
    /// that it is built in, or part of another module.
    fn answered(&self, feature: &FeatureRef) -> Source {
        let live = self.prober.borrow().modules().state(feature.telling_module()) == ModuleState::Live;
        if live || has_passive_question(feature) { Source::Loaded(LoaderName::Netlink) } else { Source::There }
    }

    /// What brought a feature that was not there at first and is there now: what shares its module, else the last.
    fn came_along(&self, feature: &FeatureRef) -> Source {
        let shares = |(_, other): &&(LoaderName, FeatureRef)| other.telling_module() == feature.telling_module();
        match self.brought.iter().find(shares).or(self.brought.last()) {
            Some((loader, with)) => Source::CameAlong { loader: *loader, with: with.clone() },
            None => Source::There,
        }
    }

    /// What to make of it when the last answer was no.
    fn last_word(
        &self,
        feature: &FeatureRef,
        mut failed: NotLoaded<Answer>,
    ) -> Result<(Source, Vec<Attempt>), NotLoaded<Answer>> {
        if failed.answer == Answer::Unknown(None) && feature.probe() == Probe::Listed {
            return Ok((Source::Unverified, failed.attempts));
        }
        if self.may_have_moved(feature) {
            let mut prober = self.prober.borrow_mut();
            failed.answer = prober.active(feature);
            prober.forget();
        }
        if failed.answer.is_present() { Ok((self.answered(feature), failed.attempts)) } else { Err(failed) }
    }

    /// Whether the kernel may have the function where the lists do not say so: they are not here, or know it by another
    /// name, as names move between kernels. The function itself is then asked, also where the configuration leaves out
    /// netlink.
    fn may_have_moved(&self, feature: &FeatureRef) -> bool {
        let prober = self.prober.borrow();
        let files = prober.modules().files();
        !has_passive_question(feature) && files.is_none_or(|files| !files.contains(feature.telling_module()))
    }

    fn is_loaded(&self, feature: &FeatureRef) -> Result<(), Answer> {
        let mut prober = self.prober.borrow_mut();
        prober.forget();
        match prober.passive(feature) {
            Answer::Present => Ok(()),
            answer => Err(answer),
        }
    }

    fn loader<'s>(&'s self, name: LoaderName, feature: &'s FeatureRef) -> Box<dyn Loader + 's> {
        match name {
            LoaderName::Netlink => Box::new(Autoload::new(&self.prober, feature)),
            LoaderName::Ioctl => Box::new(Ioctl::default()),
            LoaderName::Modprobe => Box::new(Modprobe::default()),
            LoaderName::Finit => Box::new(Finit::default()),
        }
    }
}
