//! Who goes into a sandbox comes back, or was never meant to.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use groundwork::sys::netns::{NetnsId, Sandbox};

use crate::support::{GROUNDWORK, Host, in_new_netns};

#[test]
fn a_thread_comes_back_also_by_a_panic() {
    let own = || NetnsId::own().unwrap();
    in_new_netns(|| {
        let home = own();
        let sandbox = Sandbox::open(Path::new("/proc/self/ns/net")).unwrap();
        assert_ne!(sandbox.id(), home);
        assert_eq!(sandbox.run(own).unwrap(), sandbox.id());
        assert_eq!(own(), home);
        let panicked = catch_unwind(AssertUnwindSafe(|| sandbox.run(|| panic!("in there"))));
        assert!(panicked.is_err());
        assert_eq!(own(), home, "it stayed in there");
    });
}

/// In a user namespace that owns the sandbox, but not the network that this process is in: there is no way back.
#[test]
fn where_there_is_no_way_back_the_work_is_done_all_the_same() {
    let host = Host::new();
    let lo = host.sh(&format!(
        "unshare --user --map-root-user sh -ec '
            unshare --net sleep 20 & sleep 0.3
            export CNI_COMMAND=ADD CNI_CONTAINERID=c CNI_NETNS=/proc/$!/ns/net CNI_IFNAME=lo CNI_PATH=/nowhere
            echo \"{{\\\"cniVersion\\\":\\\"1.0.0\\\",\\\"name\\\":\\\"lo\\\",\\\"type\\\":\\\"loopback\\\"}}\" | {GROUNDWORK} >/dev/null
            nsenter --net=/proc/$!/ns/net ip link show lo
            kill $!'"
    ));
    assert!(lo.contains("LOOPBACK,UP"), "{lo}");
}
