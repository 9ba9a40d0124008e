//! Names that requests carry, and what each may look like.

/// Longest container ID and network name, in bytes: they become file names, with room for what is added to them.
pub const MAX_IDENTIFIER: usize = 200;

/// Longest interface name, in bytes (the kernel's IFNAMSIZ less the final zero).
pub const MAX_INTERFACE: usize = 15;

/// What a container ID and a network name must look like.
pub const IDENTIFIER: &str =
    "a letter or digit, then letters, digits, '_', '.' or '-', at most 200 bytes (it becomes a file name)";

/// What an interface's name must look like.
pub const INTERFACE: &str = "1 to 15 bytes without '/', ':', '%' or white space, and not '.', '..', 'all' or 'default'";

/// What a plugin's name must look like.
pub const PLUGIN: &str = "a plain file name, without '/', looked up in CNI_PATH";

/// Whether `text` can be a container ID or a network's name.
#[must_use]
pub fn is_identifier(text: &str) -> bool {
    text.len() <= MAX_IDENTIFIER
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Whether the kernel takes `text` as an interface's name, and as nothing else: `%d` would be a template, and `all` and
/// `default` are folders of their own under `/proc/sys/net/*/conf`.
#[must_use]
pub fn is_interface(text: &str) -> bool {
    (1..=MAX_INTERFACE).contains(&text.len())
        && ![".", "..", "all", "default"].contains(&text)
        && !text.contains(|c: char| "/:%\0".contains(c) || c.is_whitespace())
        // The kernel judges bytes, and counts 0xa0 as white space even inside a UTF-8 sequence.
        && !text.bytes().any(|byte| byte == 0xa0)
}

/// Whether `text` can be the name of a plugin's executable.
#[must_use]
pub fn is_plugin(text: &str) -> bool {
    (1..=255).contains(&text.len()) && ![".", ".."].contains(&text) && !text.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        let longest = "a".repeat(MAX_IDENTIFIER);
        for good in ["a", "0", "default-t1", "k8s_pod.1", longest.as_str()] {
            assert!(is_identifier(good), "{good}");
        }
        let too_long = "a".repeat(MAX_IDENTIFIER + 1);
        for bad in ["", ".a", "-a", "_a", "a/b", "../a", "a b", "ä", "aä", "a\n", "a;b", too_long.as_str()] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }

    #[test]
    fn interfaces() {
        for good in ["eth0", "a", "lo", "br-1.100", "...", "ünï", "fifteen-bytes-x"] {
            assert!(is_interface(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "a\tb",
            "eth%d",
            "sixteen-bytes-xx",
            "all",
            "default",
            "a\u{a0}b",
            "aà",
        ] {
            assert!(!is_interface(bad), "{bad}");
        }
    }
}
