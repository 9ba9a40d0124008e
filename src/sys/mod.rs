//! System calls: namespaces, sysctls, ioctls, processes. The only room with `unsafe`.

pub mod capabilities;
mod deputy;
pub mod exec;
pub mod filesystem;
pub mod ioctl;
pub mod netlink;
pub mod netns;
pub mod ping;
pub mod sysctl;
