//! Kernel settings, as they are written.

use groundwork::sys::sysctl;

use crate::support::{Host, in_new_netns};

/// Seen by what the kernel does with a write: it gives all links the value.
#[test]
fn what_is_right_is_not_written() {
    in_new_netns(|| {
        let (all, lo) = ("net/ipv6/conf/all/forwarding", "net/ipv6/conf/lo/forwarding");
        sysctl::write(all, "1").unwrap();
        sysctl::write(lo, "0").unwrap();
        sysctl::write(all, "1").unwrap();
        assert_eq!(sysctl::read(lo).unwrap(), "0");
        sysctl::write(all, "0").unwrap();
        sysctl::write(all, "1").unwrap();
        assert_eq!(sysctl::read(lo).unwrap(), "1", "a change does reach it");
        sysctl::write("net/ipv4/route/flush", "1").unwrap(); // which nobody can read
        sysctl::write("net/ipv4/tcp_rmem", "4096 131072 6291456").unwrap();
        assert_eq!(sysctl::read("net/ipv4/tcp_rmem").unwrap(), "4096\t131072\t6291456");
    });
}

/// Where the administrator sets them, and nobody else may.
#[test]
fn what_is_right_may_be_read_only() {
    let host = Host::new();
    host.sh("sysctl -qw net.ipv4.ip_forward=1; mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys");
    host.inside(|| {
        sysctl::write("net/ipv4/ip_forward", "1").unwrap();
        let error = sysctl::write("net/ipv4/ip_forward", "0").unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{error}");
    });
}
