//! Who belongs to an overlay and what the kernel must hold for it, as values: pure.

mod device;
mod entries;
mod host;
mod review;
#[cfg(test)]
mod tests;
mod todo;

pub use self::{
    device::{Course, Device, Foreign, alias, overhead},
    entries::{Change, Command, Entries, Key, Value, difference, entries, vteps},
    host::{Host, derived_mac, first_subnet},
    review::{Reason, Refused, Review, review},
    todo::{Observed, Script, Todo},
};
