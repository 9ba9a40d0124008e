//! `CNI_ARGS`: `KEY=VALUE;KEY=VALUE`, read as the reference plugins do.

use super::RequestError;

/// Keys that the reference plugins know: MAC (bridge, macvlan, tuning), IP (host-local, static), GATEWAY (static).
/// The key's letter case counts.
const KNOWN: [&str; 4] = ["IgnoreUnknown", "IP", "MAC", "GATEWAY"];

/// `CNI_ARGS`, parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CniArgs {
    /// Every pair, in order.
    pub pairs: Vec<(String, String)>,
    /// `IgnoreUnknown` is 1 or true: keys that nobody here knows are no error.
    pub ignore_unknown: bool,
}

impl CniArgs {
    /// Splits `text` into pairs. An item without exactly one `=` is an error; whether a key is known is asked later,
    /// by [`CniArgs::unknown`], because a delegate may know more keys than groundwork.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let mut args = Self::default();
        for item in text.split(';').filter(|_| !text.is_empty()) {
            let (key, value) = item
                .split_once('=')
                .filter(|(_, value)| !value.contains('='))
                .ok_or_else(|| RequestError::ArgumentNotAPair(item.to_owned()))?;
            args.pairs.push((key.to_owned(), value.to_owned()));
        }
        if let Some(value) = args.last("IgnoreUnknown") {
            args.ignore_unknown = match value.to_ascii_lowercase().as_str() {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => return Err(RequestError::IgnoreUnknown(value.to_owned())),
            };
        }
        Ok(args)
    }

    /// The value of `key`: the last one given, none when empty.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.last(key).filter(|value| !value.is_empty())
    }

    /// The keys that are an error: those nobody here knows, unless `IgnoreUnknown` says otherwise.
    #[must_use]
    pub fn unknown(&self) -> Vec<&str> {
        let unknown = self.pairs.iter().map(|(key, _)| key.as_str()).filter(|key| !KNOWN.contains(key));
        if self.ignore_unknown { Vec::new() } else { unknown.collect() }
    }

    fn last(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runtimes_send() {
        let args =
            CniArgs::parse("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;MAC=02:00:00:00:00:01").unwrap();
        assert!(args.ignore_unknown);
        assert_eq!(args.value("MAC"), Some("02:00:00:00:00:01"));
        assert_eq!(args.value("mac"), None, "keys are matched with their case, as the reference does");
        assert!(args.unknown().is_empty());
    }

    #[test]
    fn unknown_keys_are_named() {
        let args = CniArgs::parse("FOO=1;IP=10.0.0.2;K8S_POD_NAME=web;IgnoreUnknown=0").unwrap();
        assert_eq!(args.unknown(), ["FOO", "K8S_POD_NAME"]);
    }

    #[test]
    fn the_last_value_counts_and_empty_is_none() {
        let args = CniArgs::parse("IP=10.0.0.2;IP=10.0.0.3;MAC=").unwrap();
        assert_eq!(args.value("IP"), Some("10.0.0.3"));
        assert_eq!(args.value("MAC"), None);
        assert_eq!(CniArgs::parse("").unwrap(), CniArgs::default());
    }

    #[test]
    fn malformed_items() {
        for (text, item) in [("FOO", "FOO"), ("A=1;", ""), ("A=1;;B=2", ""), ("A=1=2", "A=1=2"), (";", "")] {
            assert_eq!(CniArgs::parse(text), Err(RequestError::ArgumentNotAPair(item.to_owned())), "{text}");
        }
        assert_eq!(CniArgs::parse("IgnoreUnknown=yes"), Err(RequestError::IgnoreUnknown("yes".to_owned())));
        assert_eq!(CniArgs::parse("IgnoreUnknown="), Err(RequestError::IgnoreUnknown(String::new())));
    }
}
