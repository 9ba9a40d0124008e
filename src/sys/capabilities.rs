//! What this process may do.

use caps::{CapSet, Capability, CapsHashSet};

/// What is left to do once the kernel is ready: links, addresses, rules (`NET_ADMIN`); entering a sandbox
/// (`SYS_ADMIN`), also by the number of a process of somebody else's (`SYS_PTRACE`); folders that belong to others
/// (`DAC_*`).
const KEPT: [Capability; 5] = [
    Capability::CAP_NET_ADMIN,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
];

/// Gives up for good what this thread, and those that it starts, do not need: module loading, raw disk and memory, other
/// users. Programs that it starts have it again if they run as root.
///
/// What cannot be given up is logged: it is no reason to fail.
pub fn keep_what_networks_need() {
    let kept: CapsHashSet = KEPT.into_iter().collect();
    let outcome = caps::read(None, CapSet::Permitted).and_then(|all| {
        let left: CapsHashSet = all.intersection(&kept).copied().collect();
        caps::set(None, CapSet::Effective, &left)?;
        caps::set(None, CapSet::Permitted, &left)
    });
    if let Err(error) = outcome {
        tracing::debug!("cannot give up capabilities: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_stays_so_for_the_thread_only() {
        let mine = caps::read(None, CapSet::Permitted).unwrap();
        let left = std::thread::spawn(|| {
            keep_what_networks_need();
            [CapSet::Effective, CapSet::Permitted].map(|set| caps::read(None, set).unwrap())
        });
        let expected: CapsHashSet = mine.iter().copied().filter(|one| KEPT.contains(one)).collect();
        assert_eq!(left.join().unwrap(), [expected.clone(), expected]);
        assert_eq!(caps::read(None, CapSet::Permitted).unwrap(), mine);
    }
}
