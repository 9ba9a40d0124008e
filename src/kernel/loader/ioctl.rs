//! `SIOCGIFINDEX` for an interface named like the module. There is none, but the kernel loads modules of that name when
//! we may load modules, with the host's `modprobe` and in the host's mount namespace.

use nix::errno::Errno;

use super::{Loader, Outcome};
use crate::{
    config::LoaderName,
    kernel::feature::{self, ModuleName},
    sys::ioctl::{InterfaceSocket, NAME_MAX},
};

/// Loads by ioctl.
#[derive(Debug, Default)]
pub struct Ioctl {
    socket: Option<InterfaceSocket>,
}

impl Loader for Ioctl {
    fn name(&self) -> LoaderName {
        LoaderName::Ioctl
    }

    fn load(&mut self, module: &ModuleName) -> Outcome {
        let Some(name) = short_name(module.as_str()) else {
            return Outcome::Skipped("the name is longer than the 15 bytes of an interface's name");
        };
        match self.index(name) {
            Ok(_) => Outcome::Skipped("an interface has this name, so the kernel has no reason to load anything"),
            Err(Errno::ENODEV) => Outcome::Asked,
            Err(errno) => Outcome::Refused(errno.into()),
        }
    }
}

impl Ioctl {
    /// Whether the kernel can be asked for `module`, by its name or by another, in the room of an interface's name.
    #[must_use]
    pub fn fits(module: &str) -> bool {
        short_name(module).is_some()
    }

    fn index(&mut self, name: &str) -> Result<i32, Errno> {
        if self.socket.is_none() {
            self.socket = Some(InterfaceSocket::open()?);
        }
        self.socket.as_ref().map_or(Err(Errno::EBADF), |socket| socket.index(name))
    }
}

/// The module's name, or another by which `modprobe` finds it, if it fits.
fn short_name(module: &str) -> Option<&str> {
    let request = || feature::lookup(module).and_then(|feature| feature.request);
    std::iter::once(module).chain(std::iter::once_with(request).flatten()).find(|name| name.len() <= NAME_MAX)
}
