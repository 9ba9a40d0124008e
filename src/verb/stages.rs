//! What an ADD spent its time on and where the kernel's features came from: for its line in the log.

use std::{
    cell::{Cell, OnceCell},
    time::Instant,
};

use crate::kernel::{Provided, Source, loader};

/// A part of an ADD.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    Kernel,
    Addresses,
    Observe,
    Apply,
    Delegate,
}

/// How long each part took.
#[derive(Debug, Default)]
pub(super) struct Stages {
    micros: [Cell<Option<u64>>; 5],
    features: OnceCell<String>,
}

impl Stages {
    /// Does the work of a part.
    pub(super) fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = work();
        self.micros[stage as usize].set(u64::try_from(start.elapsed().as_micros()).ok());
        value
    }

    /// How long a part took, in microseconds; None when it did not come to that.
    pub(super) fn micros(&self, stage: Stage) -> Option<u64> {
        self.micros[stage as usize].get()
    }

    /// Notes where features came from, if anybody wants to know.
    pub(super) fn note(&self, provided: &[Provided]) {
        if tracing::enabled!(tracing::Level::INFO) {
            self.features.get_or_init(|| provided.iter().map(origin).collect::<Vec<_>>().join(", "));
        }
    }

    /// Each feature and where it came from.
    pub(super) fn features(&self) -> Option<&str> {
        self.features.get().map(String::as_str)
    }
}

fn origin(Provided { feature, source, .. }: &Provided) -> String {
    match source {
        Source::There => format!("{feature} was there"),
        Source::Loaded(by) => format!("{feature} loaded by {}", loader::name(*by)),
        Source::CameAlong { loader: by, with } => format!("{feature} came with {with} by {}", loader::name(*by)),
        Source::Unverified => format!("{feature} cannot be told"),
    }
}
