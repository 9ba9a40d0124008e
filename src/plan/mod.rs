//! What to do, as values: pure, so that a wrong plan is a failed unit test and can be shown before anything happens.

mod add;
pub mod bandwidth;
mod bridge;
mod check;
mod command;
mod firewall;
mod host_device;
mod host_ports;
pub mod name;
mod needs;
mod ptp;
mod sandbox;
mod single;
pub mod source_routing;
mod step;
mod tuning;
mod vrf;

#[cfg(test)]
mod tests;

pub use self::{
    add::{Attach, ObservedHost, PlanError, plan_add, resolve},
    bridge::refuse_link,
    check::{Difference, Expected, ObservedAttachment, compare, is_route, main_table},
    command::Script,
    host_ports::{followers, is_udp, stale},
    needs::{declared_needs, needs},
    single::refuse_parent,
    step::{Place, Setting, Step},
    vrf::ObservedVrf,
};
