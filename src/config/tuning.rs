//! What is tuned in the container's namespace and on its link: the keys of the reference plugin `tuning`.

use super::{
    ConfigError,
    bridge::mtu,
    ipam::{Requests, argument},
    runtime::MAC,
};
use crate::{
    cni::{
        json::{Fault, FieldError, Item, Object, is_blank},
        mac::Mac,
    },
    rtnl::values::LinkSettings,
};

/// The reference plugin that does the same.
pub const PLUGIN: &str = "tuning";

/// Any of them makes groundwork tune; `mtu` only a link that is not made here.
const KEYS: &[&str] = &["mtu", "sysctl", "mac", "promisc", "allmulti", "txQLen"];

/// What stands for the interface's name in a setting's, once.
const IFNAME: &str = "IFNAME";

/// What is tuned, checked. Of each key `args.cni` overrides the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TuningConfig {
    /// `sysctl`, by name.
    pub sysctls: Vec<Sysctl>,
    /// `mac`, `mtu`, `promisc`, `allmulti` and `txQLen`. `mac` is overridden by CNI_ARGS `MAC`, then by
    /// `runtimeConfig.mac`, then by `args.cni.mac`.
    pub link: LinkSettings,
}

/// One kernel setting of the container's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// Its name as it was configured.
    pub name: String,
    /// Its path below /proc/sys, with `IFNAME` for the interface's name.
    path: String,
    /// Its value.
    pub value: String,
}

impl Sysctl {
    /// Its path below /proc/sys for an interface, whose name may hold dots.
    #[must_use]
    pub fn path(&self, ifname: &str) -> String {
        self.path.replacen(IFNAME, ifname, 1)
    }

    fn read((name, item): &(&str, Item<'_>)) -> Result<Self, FieldError> {
        let expected = "a setting of the network, such as net.ipv4.conf.IFNAME.arp_filter";
        let fault = || Fault::Value { found: format!("{name:?}"), expected: expected.into() };
        let path = path_of(name).ok_or_else(|| FieldError { path: item.path.clone(), fault: fault() })?;
        Ok(Self { name: (*name).to_owned(), path, value: item.string()?.to_owned() })
    }
}

/// The path below /proc/sys: as sysctl(8) reads it, whichever of `.` and `/` comes first separates, and the other is a
/// dot within a part.
fn path_of(name: &str) -> Option<String> {
    let path = match name.find(['.', '/']).map(|first| &name[first..=first]) {
        Some(".") => name.split('/').map(|part| part.replace('.', "/")).collect::<Vec<_>>().join("."),
        _ => name.to_owned(),
    };
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    let parts: Vec<_> = path.split('/').collect();
    (parts.len() > 2 && parts[0] == "net" && parts.iter().all(|part| plain(part))).then_some(path)
}

impl TuningConfig {
    /// None when nothing is tuned. A link that is made here has its `mtu` from the start.
    ///
    /// What a runtime asks for all plugins of a chain (`args.cni`, CNI_ARGS) counts where the configuration itself tunes.
    pub(super) fn read(
        root: &Object<'_>,
        requests: &Requests<'_>,
        makes_link: bool,
    ) -> Result<Option<Self>, ConfigError> {
        let keys = if makes_link { &KEYS[1..] } else { KEYS };
        if root.string("type")? != Some(PLUGIN) && keys.iter().all(|key| root.value(key).is_none_or(is_blank)) {
            return Ok(None);
        }
        let args = requests.keys.args.as_ref();
        let own_mtu = if makes_link { None } else { mtu(root)? };
        let config = Self {
            sysctls: sysctls(root, args)?,
            link: LinkSettings {
                mac: mac(root, args, requests)?,
                mtu: args.map_or(Ok(None), mtu)?.or(own_mtu),
                promisc: first(root, args, |object| switch(object, "promisc"))?.filter(|on| *on),
                all_multicast: first(root, args, |object| switch(object, "allmulti"))?,
                tx_queue_len: first(root, args, |object| object.u32("txQLen"))?,
            },
        };
        Ok(Some(config).filter(|config| *config != Self::default()))
    }
}

/// What `args.cni` says, else what the configuration says.
fn first<T>(
    root: &Object<'_>,
    args: Option<&Object<'_>>,
    read: impl Fn(&Object<'_>) -> Result<Option<T>, FieldError>,
) -> Result<Option<T>, FieldError> {
    let own = read(root)?;
    Ok(args.map_or(Ok(None), read)?.or(own))
}

fn switch(object: &Object<'_>, key: &'static str) -> Result<Option<bool>, FieldError> {
    object.value(key).map(|_| object.flag(key)).transpose()
}

fn mac(root: &Object<'_>, args: Option<&Object<'_>>, requests: &Requests<'_>) -> Result<Option<Mac>, ConfigError> {
    let read = |object: &Object<'_>| object.parsed("mac", MAC, |text| text.parse().ok());
    let own = read(root)?;
    let env = match requests.env.value("MAC") {
        Some(text) => Some(text.parse().map_err(|_| argument("MAC", text, MAC))?),
        None => None,
    };
    let runtime = requests.keys.runtime.as_ref().map_or(Ok(None), read)?;
    Ok(args.map_or(Ok(None), read)?.or(runtime).or(env).or(own))
}

fn sysctls(root: &Object<'_>, args: Option<&Object<'_>>) -> Result<Vec<Sysctl>, FieldError> {
    let mut sysctls: Vec<Sysctl> = Vec::new();
    for object in [Some(root), args].into_iter().flatten() {
        let mut own: Vec<Sysctl> = Vec::new();
        for entry in object.entries("sysctl")? {
            let sysctl = Sysctl::read(&entry)?;
            if let Some(other) = own.iter().find(|other| other.path == sysctl.path) {
                return Err(entry.1.fault(format!("one value for the setting, which {:?} names too", other.name)));
            }
            own.push(sysctl);
        }
        sysctls.retain(|earlier| own.iter().all(|sysctl| sysctl.path != earlier.path));
        sysctls.extend(own);
    }
    Ok(sysctls)
}
