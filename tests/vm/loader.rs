//! Loaders, and how they are seen from outside.

/// A means of loading, by its name in `loaders`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loader {
    /// The kernel by itself, when asked for the feature.
    Netlink,
    /// The kernel, asked for an interface of the module's name.
    Ioctl,
    /// `modprobe -va`.
    Modprobe,
    /// `finit_module(2)`.
    Finit,
}

/// Without `loaders`.
pub(crate) const DEFAULT: &[Loader] = &[Loader::Netlink, Loader::Ioctl, Loader::Modprobe];

impl Loader {
    /// The loader of that name.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let all = [Self::Netlink, Self::Ioctl, Self::Modprobe, Self::Finit];
        all.into_iter().find(|loader| loader.name() == name).ok_or_else(|| format!("no loader is called {name}"))
    }

    /// Its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Netlink => "netlink",
            Self::Ioctl => "ioctl",
            Self::Modprobe => "modprobe",
            Self::Finit => "finit",
        }
    }
}

/// Their names with commas, or `default`.
pub(crate) fn list(loaders: &[Loader]) -> String {
    let names: Vec<_> = loaders.iter().map(|loader| loader.name()).collect();
    if loaders == DEFAULT { "default".into() } else { names.join(",") }
}

/// Who called modprobe, by its log: groundwork itself with `-va`; the kernel with `-q --`, for an ioctl with
/// `netdev-NAME` before NAME.
pub(crate) fn seen(log: &str) -> Vec<Loader> {
    let mut seen = Vec::new();
    let mut interfaces = Vec::new();
    for line in log.lines() {
        let (_, arguments) = line.split_once(' ').unwrap_or_default();
        let loader = match arguments.strip_prefix("-q -- ") {
            None => Loader::Modprobe,
            // What modules ask for while they load.
            Some(name) if name.starts_with("crypto-") => continue,
            Some(name) => match name.strip_prefix("netdev-") {
                Some(interface) => {
                    interfaces.push(interface);
                    Loader::Ioctl
                }
                None if interfaces.contains(&name) => Loader::Ioctl,
                None => Loader::Netlink,
            },
        };
        if !seen.contains(&loader) {
            seen.push(loader);
        }
    }
    seen
}
