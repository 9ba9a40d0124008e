//! What a kernel can be asked for: features, what proves each, and which modules bring it. Pure.

mod table;

use std::fmt;

pub use table::*;

/// Something the kernel does for us, alone or through a module.
#[derive(PartialEq, Eq)]
pub struct Feature {
    /// Its name in the configuration's `modules` and in messages: the link kind, or the module that brings it.
    pub name: &'static str,
    /// What it is good for, to complete "needed for ...".
    pub needed_for: &'static str,
    /// What proves it.
    pub probe: Probe,
    /// The modules that bring it, the telling one last. Dependencies are the loaders' business.
    pub modules: &'static [&'static str],
    /// What the kernel asks `modprobe` for when it wants this feature, where that is the same in all kernels.
    pub request: Option<&'static str>,
    /// Other names by which it may be asked for.
    pub aliases: &'static [&'static str],
    /// The option that builds it, without `CONFIG_`.
    pub kconfig: &'static str,
}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The question whose answer proves a feature. All of them leave nothing behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// A kind of link, by the name that rtnetlink knows.
    Link(&'static str),
    /// Bridges tell VLANs apart.
    VlanFiltering,
    /// nf_tables answers.
    NfTables,
    /// An expression of nf_tables rules.
    NftExpression {
        /// The family of the table where it stands.
        family: NftFamily,
        /// Its name in `NFTA_EXPR_NAME`.
        name: &'static str,
    },
    /// A type of base chain of nf_tables.
    NftChain {
        /// The family of its table.
        family: NftFamily,
        /// Its name in `NFTA_CHAIN_TYPE`.
        name: &'static str,
    },
    /// Connection tracking over netlink answers.
    Conntrack,
    /// A queueing discipline.
    Qdisc(&'static str),
    /// A traffic control action.
    Action(&'static str),
    /// A traffic control classifier.
    Classifier(&'static str),
    /// A filesystem type.
    Filesystem(&'static str),
    /// A file that exists, per network namespace, once the feature is there.
    File(&'static str),
    /// No function to ask for: the lists of modules are all there is.
    Listed,
}

/// Families of nf_tables that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NftFamily {
    /// IPv4 and IPv6 together.
    Inet,
    /// Frames of a bridge.
    Bridge,
}

/// A module's name that is safe to hand to any loader: no option, no path, no separator.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleName(String);

impl ModuleName {
    /// The longest name the kernel takes, in bytes: `MODULE_NAME_LEN` (64 - 8 on 64-bit) less the final NUL.
    pub const MAX: usize = 55;

    /// Checks `name`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let bad = |reason| Err(InvalidName { name: name.chars().take(80).collect(), reason });
        if name.is_empty() {
            return bad("it is empty");
        }
        if name.len() > Self::MAX {
            return bad("it is longer than 55 bytes, the kernel's limit");
        }
        if name.starts_with('-') {
            return bad("it starts with '-', as an option would");
        }
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            return bad("only A-Z a-z 0-9 _ and - make a module's name");
        }
        Ok(Self(name.to_owned()))
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that cannot be a module's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no kernel feature or module name: {reason}")]
pub struct InvalidName {
    /// The name, cut at 80 characters.
    pub name: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A feature that we know, or any other module by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeatureRef {
    /// One of [`ALL`].
    Known(&'static Feature),
    /// A module about which we know nothing but the name.
    Module(ModuleName),
}

impl FeatureRef {
    /// Reads a name of the configuration's `modules`: a feature, one of its aliases, or a plain module.
    ///
    /// # Errors
    /// It is neither, and cannot be a module's name.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        match lookup(name) {
            Some(feature) => Ok(Self::Known(feature)),
            None => ModuleName::new(name).map(Self::Module),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Known(feature) => feature.name,
            Self::Module(name) => name.as_str(),
        }
    }

    /// The modules that bring it.
    #[must_use]
    pub fn modules(&self) -> Vec<ModuleName> {
        match self {
            Self::Known(feature) => feature.modules.iter().map(|name| ModuleName((*name).to_owned())).collect(),
            Self::Module(name) => vec![name.clone()],
        }
    }

    /// The module whose presence tells: the last of [`Self::modules`].
    #[must_use]
    pub fn telling_module(&self) -> &str {
        match self {
            Self::Known(feature) => feature.modules.last().copied().unwrap_or(feature.name),
            Self::Module(name) => name.as_str(),
        }
    }

    /// What proves it.
    #[must_use]
    pub fn probe(&self) -> Probe {
        match self {
            Self::Known(feature) => feature.probe,
            Self::Module(_) => Probe::Listed,
        }
    }

    /// What the kernel asks `modprobe` for when it wants this feature.
    #[must_use]
    pub fn request(&self) -> Option<&'static str> {
        match self {
            Self::Known(feature) => feature.request,
            Self::Module(_) => None,
        }
    }

    /// Whether the question for it makes the kernel load it.
    #[must_use]
    pub fn autoloads(&self) -> bool {
        matches!(self.probe(), Probe::Qdisc(_) | Probe::Action(_) | Probe::Classifier(_)) || self.request().is_some()
    }

    /// What it is good for.
    #[must_use]
    pub fn needed_for(&self) -> &'static str {
        match self {
            Self::Known(feature) => feature.needed_for,
            Self::Module(_) => "what the configuration's author knows",
        }
    }
}

impl From<&'static Feature> for FeatureRef {
    fn from(feature: &'static Feature) -> Self {
        Self::Known(feature)
    }
}

impl fmt::Display for FeatureRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A feature and why this request needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What is needed.
    pub feature: FeatureRef,
    /// Why, in words that complete "needed for ...".
    pub why: String,
}

impl Need {
    /// A need.
    pub fn new(feature: impl Into<FeatureRef>, why: impl Into<String>) -> Self {
        Self { feature: feature.into(), why: why.into() }
    }
}

/// The name as the kernel lists it: `-` and `_` are one to it.
#[must_use]
pub fn listed_name(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_name_passes_as_a_module_name() {
        for good in ["vxlan", "nf_conntrack_netlink", "8021q", "nft-expr-masq", &"x".repeat(55)] {
            assert_eq!(ModuleName::new(good).map(|name| name.0), Ok(good.to_owned()));
        }
        for bad in
            ["", "-r", "--help", "a b", "../x", "/lib/x.ko", "x.ko", "a;b", "a\n", "a\0", "é", "x=1", &"x".repeat(56)]
        {
            assert!(ModuleName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_feature_tells_how_it_comes_and_what_it_is_for() {
        let of = |name: &str| {
            let feature = FeatureRef::new(name).unwrap();
            let modules: Vec<_> = feature.modules().iter().map(|module| module.as_str().to_owned()).collect();
            (modules.join(" "), feature.request(), feature.needed_for())
        };
        let vxlan = ("vxlan".to_owned(), Some("rtnl-link-vxlan"), "an overlay network between hosts");
        assert_eq!(of("vxlan"), vxlan);
        let other = ("dm_mod".to_owned(), None, "what the configuration's author knows");
        assert_eq!(of("dm_mod"), other);
    }

    #[test]
    fn the_kernel_loads_by_itself_what_it_is_asked_for_over_netlink() {
        for (name, loads) in [
            ("vxlan", true),
            ("tbf", true),
            ("mirred", true),
            ("u32", true),
            ("br_netfilter", false),
            ("dm_mod", false),
        ] {
            assert_eq!(FeatureRef::new(name).unwrap().autoloads(), loads, "{name}");
        }
    }

    #[test]
    fn a_long_bad_name_is_cut_in_the_message() {
        let error = ModuleName::new(&"ü".repeat(5000)).unwrap_err();
        assert!(error.to_string().len() < 300, "{error}");
    }
}
