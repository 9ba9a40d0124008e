//! The way from stdin's bytes to a [`NetworkConfig`].

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::{
    ArgsConfig, Attachment, Capabilities, ConfigError, DelegateConfig, IpamConfig, KernelConfig, LogConfig, Mode,
    NativeConfig, NetworkConfig, RuntimeConfig,
    ipam::{self, Requests, argument},
    keys::{KNOWN_ELSEWHERE, absolute_path},
    link::Kind,
    native, repeated,
    runtime::{MAC, RuntimeKeys},
};
use crate::cni::{
    CniArgs, CniResult, Request, ResultError, Verb, Version,
    json::{FieldError, Object, UnknownKey, shortened},
    mac::Mac,
    name,
};

/// Where records live when `stateDir` does not say otherwise.
const STATE_DIR: &str = "/run/groundwork";

impl NetworkConfig {
    /// Reads the configuration that came on stdin with `request`, without looking at the world.
    ///
    /// DEL is forgiven what it can do without ([`NetworkConfig::flaws`]): an ADD that was refused for its configuration
    /// is followed by a DEL of the whole chain, which one failing plugin would stop.
    pub fn parse(stdin: &[u8], request: &Request) -> Result<Self, ConfigError> {
        let mut map = document(stdin)?;
        native::name(&mut map, &request.program);
        let root = Object::root(&map);
        let mut config = Self::identity(&root, request)?;
        let mut sections = Sections { is_del: request.verb == Verb::Del, flaws: Vec::new() };
        config.kernel = sections.take(KernelConfig::read(&root))?;
        config.log = sections.take(LogConfig::read(&root))?;
        let body = repeated::refuse(stdin).and_then(|()| Body::read(&root, request, config.cni_version));
        Body {
            mode: config.mode,
            capabilities: config.capabilities,
            runtime: config.runtime,
            args: config.args,
            mac: config.cni_args_mac,
            unknown: config.unknown_keys,
        } = sections.take(body)?;
        config.check_path(request)?;
        // Else reading stopped before some of them, or they are another plugin's.
        if sections.flaws.is_empty() && config.as_ipam.is_none() {
            config.unknown_keys.extend(root.unread(KNOWN_ELSEWHERE));
        }
        config.flaws = sections.flaws;
        config.raw = map;
        Ok(config)
    }

    /// What every verb needs; the rest is left at its default.
    fn identity(root: &Object<'_>, request: &Request) -> Result<Self, ConfigError> {
        let cni_version = root.string("cniVersion")?.map_or(Ok(Version::UNDECLARED), str::parse);
        let cni_version = cni_version.map_err(|source| ConfigError::Version { path: "cniVersion", source })?;
        let verb = request.verb;
        if cni_version < verb.since() {
            return Err(ConfigError::VerbTooNew { verb, declared: cni_version });
        }
        let is_named = |text: &str| name::is_identifier(text).then(|| text.to_owned());
        let name = root.parsed("name", name::IDENTIFIER, is_named)?;
        Ok(Self {
            cni_version,
            name: root.require("name", name, "the network's name")?,
            plugin_type: plugin_name(root)?.unwrap_or_default(),
            as_ipam: ipam::PROGRAMS.into_iter().find(|name| *name == request.program),
            kernel: KernelConfig::default(),
            log: LogConfig::default(),
            mode: Mode::default(),
            prev_result: prev_result(root, verb, cni_version)?,
            capabilities: Capabilities::default(),
            runtime: RuntimeConfig::default(),
            args: ArgsConfig::default(),
            cni_args_mac: None,
            state_dir: absolute_path(root, "stateDir")?.unwrap_or_else(|| PathBuf::from(STATE_DIR)),
            valid_attachments: valid_attachments(root)?,
            unknown_keys: Vec::new(),
            flaws: Vec::new(),
            raw: Map::new(),
        })
    }

    /// Another plugin can be run only if CNI_PATH says where it is.
    fn check_path(&self, request: &Request) -> Result<(), ConfigError> {
        let (key, plugin) = match &self.mode {
            Mode::Delegate(delegate) => ("delegate.type", &delegate.plugin_type),
            Mode::Native(native) => match &native.ipam {
                Some(IpamConfig::Exec { plugin_type }) => ("ipam.type", plugin_type),
                _ => return Ok(()),
            },
            Mode::Loopback | Mode::Chained => return Ok(()),
        };
        if request.path.is_empty() {
            return Err(ConfigError::NoPath { key, plugin: plugin.clone() });
        }
        Ok(())
    }
}

/// stdin as a JSON object.
fn document(stdin: &[u8]) -> Result<Map<String, Value>, ConfigError> {
    if stdin.iter().all(u8::is_ascii_whitespace) {
        return Err(ConfigError::NotJson("it is empty".to_owned()));
    }
    match serde_json::from_slice(stdin) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(ConfigError::NotAnObject(shortened(&other))),
        Err(error) => Err(ConfigError::NotJson(error.to_string())),
    }
}

/// Keeps for DEL what is an error for the other verbs.
struct Sections {
    is_del: bool,
    flaws: Vec<ConfigError>,
}

impl Sections {
    fn take<T: Default, E: Into<ConfigError>>(&mut self, section: Result<T, E>) -> Result<T, ConfigError> {
        section.or_else(|error| {
            let error = error.into();
            if !self.is_del {
                return Err(error);
            }
            self.flaws.push(error);
            Ok(T::default())
        })
    }
}

/// Who builds the network, and with what.
#[derive(Default)]
struct Body {
    mode: Mode,
    capabilities: Capabilities,
    runtime: RuntimeConfig,
    args: ArgsConfig,
    mac: Option<Mac>,
    unknown: Vec<UnknownKey>,
}

impl Body {
    fn read(root: &Object<'_>, request: &Request, version: Version) -> Result<Self, ConfigError> {
        let keys = RuntimeKeys::open(root)?;
        let none = CniArgs::default();
        let env = request.args.as_ref().unwrap_or(&none);
        let has_overlay = root.object("overlay")?.is_some();
        let requests = Requests { verb: request.verb, version, env, keys: &keys, has_overlay };
        let mut body = Self {
            capabilities: Capabilities::read(root)?,
            runtime: RuntimeConfig::read(&keys)?,
            args: ArgsConfig::read(&keys)?,
            ..Self::default()
        };
        if let Some(plugin) = ipam::PROGRAMS.into_iter().find(|name| *name == request.program) {
            check_arguments(request)?;
            let native = NativeConfig::of_ipam(plugin, root, &requests, &mut body.unknown)?;
            return Ok(Self { mode: Mode::Native(Box::new(native)), ..body });
        }
        native::refuse_unserved(root)?;
        body.mode = match DelegateConfig::read(root)? {
            Some(delegate) => Mode::Delegate(delegate),
            None => match Kind::read(root)? {
                Some(Kind::Loopback) => Mode::Loopback,
                kind => body.own_mode(root, kind, request, &requests)?,
            },
        };
        Ok(body)
    }

    fn own_mode(
        &mut self,
        root: &Object<'_>,
        kind: Option<Kind>,
        request: &Request,
        requests: &Requests<'_>,
    ) -> Result<Mode, ConfigError> {
        check_arguments(request)?;
        let Some(native) = NativeConfig::read(root, kind, requests, &mut self.unknown)? else {
            return Ok(Mode::Chained);
        };
        self.mac = requested_mac(requests.env)?;
        Ok(Mode::Native(Box::new(native)))
    }
}

/// The key `type` of the configuration, of `delegate` or of `ipam`.
pub(super) fn plugin_name(object: &Object<'_>) -> Result<Option<String>, FieldError> {
    object.parsed("type", name::PLUGIN, |text| name::is_plugin(text).then(|| text.to_owned()))
}

/// `prevResult`: CHECK cannot do without it; an ADD passes it on, so it must be a result. DEL knows more by its record.
fn prev_result(root: &Object<'_>, verb: Verb, version: Version) -> Result<Option<Value>, ConfigError> {
    let Some(object) = root.object("prevResult")? else {
        return match verb {
            Verb::Check => Err(root.missing("prevResult", "the result of the ADD, which CHECK compares with").into()),
            _ => Ok(None),
        };
    };
    if matches!(verb, Verb::Add | Verb::Check) {
        CniResult::read(&object, version).map_err(|error| match error {
            ResultError::Field(error) => ConfigError::Field(error),
            ResultError::Version(source) => ConfigError::Version { path: "prevResult.cniVersion", source },
            other => ConfigError::PrevResult(other),
        })?;
    }
    Ok(root.value("prevResult").cloned())
}

/// A delegate knows its own keys of CNI_ARGS; else those that nobody here knows are an error, as in the reference.
fn check_arguments(request: &Request) -> Result<(), ConfigError> {
    let args = request.args.as_ref().map_err(Clone::clone)?;
    let unknown: Vec<_> = args.unknown().into_iter().map(str::to_owned).collect();
    if unknown.is_empty() { Ok(()) } else { Err(ConfigError::UnknownArguments(unknown)) }
}

fn requested_mac(args: &CniArgs) -> Result<Option<Mac>, ConfigError> {
    let Some(text) = args.value("MAC") else { return Ok(None) };
    text.parse().map(Some).map_err(|_| argument("MAC", text, MAC))
}

/// Both of the keys that libcni sends, together: what either calls valid is valid.
fn valid_attachments(root: &Object<'_>) -> Result<Option<Vec<Attachment>>, FieldError> {
    let keys = ["cni.dev/valid-attachments", "cni.dev/attachments"];
    if keys.iter().all(|key| root.raw(key).is_none()) {
        return Ok(None);
    }
    let mut attachments = Vec::new();
    for key in keys {
        for object in root.objects(key)? {
            let container_id = object.string("containerID")?;
            let ifname = object.string("ifname")?;
            attachments.push(Attachment {
                container_id: object.require("containerID", container_id, "a container ID")?.to_owned(),
                ifname: object.require("ifname", ifname, "an interface's name")?.to_owned(),
            });
        }
    }
    attachments.sort_unstable();
    attachments.dedup();
    Ok(Some(attachments))
}
