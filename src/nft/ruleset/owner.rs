//! To whom an element belongs.

use std::fmt;

/// nft takes comments of up to 127 bytes, and shows what it takes.
const NETWORK: usize = 40;
const CONTAINER: usize = 64;
const IFNAME: usize = 16;

/// Who put an element there: `<network>/<container>/<ifname>`, the comment that `nft list` shows.
///
/// A part that would not fit into a comment is cut and ends in `~` and a hash of all of it, so that two owners are
/// the same exactly when their comments are. The default is nobody: an element that somebody typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(String);

impl Owner {
    /// An attachment.
    #[must_use]
    pub fn attachment(network: &str, container_id: &str, ifname: &str) -> Self {
        let [network, container_id, ifname] =
            [(network, NETWORK), (container_id, CONTAINER), (ifname, IFNAME)].map(|(part, limit)| fitting(part, limit));
        Self(format!("{network}/{container_id}/{ifname}"))
    }

    /// A network as a whole.
    #[must_use]
    pub fn network(network: &str) -> Self {
        Self(fitting(network, NETWORK))
    }

    /// The network of an attachment.
    #[must_use]
    pub(super) fn of_network(&self) -> Self {
        Self(self.0.split('/').next().unwrap_or_default().to_owned())
    }

    /// Whether this is the network or one of its attachments.
    #[must_use]
    pub fn is_of(&self, network: &str) -> bool {
        self.0.split('/').next() == Some(&fitting(network, NETWORK))
    }

    /// Whether both are attachments of one container, be it on two networks.
    #[must_use]
    pub fn shares_container_with(&self, other: &Self) -> bool {
        let container = |owner: &Self| owner.0.split('/').nth(1).map(str::to_owned);
        container(self).is_some_and(|own| container(other) == Some(own))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.0.is_empty()
    }

    /// For a sentence.
    #[must_use]
    pub fn in_words(&self) -> String {
        match &*self.0.splitn(3, '/').collect::<Vec<_>>() {
            [network, container_id, ifname] => format!("container {container_id} ({ifname} on network {network})"),
            [""] => "an element of nf_tables that nobody signed".into(),
            _ => format!("{self}"),
        }
    }

    /// The comment.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A comment as an element carries it.
    pub(crate) fn from_comment(comment: &str) -> Self {
        Self(comment.to_owned())
    }
}

impl From<&str> for Owner {
    /// Of `<network>/<container>/<ifname>`, or of a network alone.
    fn from(text: &str) -> Self {
        let mut parts = text.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(network), Some(container_id), Some(ifname)) => Self::attachment(network, container_id, ifname),
            _ => Self::network(text),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `part`, or as much of it as `limit` bytes hold with the hash of all of it.
fn fitting(part: &str, limit: usize) -> String {
    const HASH: usize = 17;
    if part.len() <= limit {
        return part.to_owned();
    }
    let head = limit.saturating_sub(HASH);
    let end = (0..=head).rev().find(|end| part.is_char_boundary(*end)).unwrap_or(0);
    format!("{}~{:016x}", &part[..end], fnv1a(part.as_bytes()))
}

/// 64-bit FNV-1a: the same in every version of this program, which std's hashers do not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_stand_as_they_are() {
        let id = "4f5c".repeat(16);
        let owner = Owner::attachment("podman", &id, "eth0");
        assert_eq!(owner.as_str(), format!("podman/{id}/eth0"));
        assert!(owner.is_of("podman") && !owner.is_of("pod") && !owner.is_of("podman/x"));
        assert_eq!(Owner::from("podman/x/eth0"), Owner::attachment("podman", "x", "eth0"));
        assert!(Owner::network("podman").is_of("podman"));
        assert_eq!(owner.of_network(), Owner::network("podman"));
        assert!(owner.shares_container_with(&Owner::attachment("other", &id, "eth1")));
        assert!(!owner.shares_container_with(&Owner::attachment("podman", "x", "eth0")));
        assert!(!Owner::network("a").shares_container_with(&Owner::network("a")));
        assert_eq!(Owner::from("podman"), Owner::network("podman"));
        assert_eq!(Owner::from(owner.as_str()), owner);
        assert_eq!(Owner::from_comment(owner.as_str()), owner);
        assert!(!owner.is_nobody());
        assert!(Owner::default().is_nobody() && !Owner::default().is_of("podman"));
    }

    #[test]
    fn long_names_fit_a_comment_and_stay_apart() {
        let (network, id) = ("n".repeat(200), "c".repeat(300));
        let owner = Owner::attachment(&network, &id, "a23456789012345");
        assert!(owner.as_str().len() <= 127, "{owner}");
        assert!(owner.is_of(&network) && !owner.is_of(&"n".repeat(199)));
        assert_ne!(owner, Owner::attachment(&network, &"c".repeat(301), "a23456789012345"));
        assert_eq!(owner, Owner::attachment(&network, &id, "a23456789012345"));
        assert!(Owner::network(&"é".repeat(50)).as_str().len() <= NETWORK);
    }

    #[test]
    fn whose_it_is_in_words() {
        for (comment, words) in [
            ("net/web/eth0", "container web (eth0 on network net)"),
            ("net", "net"),
            ("", "an element of nf_tables that nobody signed"),
        ] {
            assert_eq!(Owner::from_comment(comment).in_words(), words);
        }
    }

    #[test]
    fn the_hash_is_fnv1a() {
        // The reference vectors of FNV, draft-eastlake-fnv.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
