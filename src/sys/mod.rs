//! System calls: namespaces, sysctls, ioctls, processes. The only room with `unsafe`.

#[cfg(target_env = "musl")]
pub mod allocator;
pub mod capabilities;
mod deputy;
pub mod exec;
pub mod filesystem;
pub mod ioctl;
#[cfg(all(target_arch = "x86_64", any(target_env = "musl", test)))]
pub mod memory;
pub mod netlink;
pub mod netns;
pub mod ping;
pub mod sysctl;
