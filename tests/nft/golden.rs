//! What `nft list` prints of what we programmed, and that people can type what we print.

use super::{masquerade, nft};
use crate::support::{in_new_netns, sh};

/// Debian's nft 1.0.6 prints this.
const MASQUERADE: &str = r#"table inet groundwork {
	set masq4_24 {
		type ipv4_addr
		elements = { 10.22.0.5 comment "net/ctr/eth0" }
	}

	set same4_24 {
		type ipv4_addr . ipv4_addr
		elements = { 10.22.0.5 . 10.22.0.0 comment "net/ctr/eth0" }
	}

	set masq6_64 {
		type ipv6_addr
		elements = { fd00:22::5 comment "net/ctr/eth0" }
	}

	set same6_64 {
		type ipv6_addr . ipv6_addr
		elements = { fd00:22::5 . fd00:22:: comment "net/ctr/eth0" }
	}

	chain masq4_24 {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr . ip daddr & 255.255.255.0 @same4_24 return
		ip daddr 224.0.0.0/4 return
		ip saddr @masq4_24 masquerade
	}

	chain masq6_64 {
		type nat hook postrouting priority srcnat; policy accept;
		ip6 saddr . ip6 daddr & ffff:ffff:ffff:ffff:: @same6_64 return
		ip6 daddr ff00::/8 return
		ip6 saddr @masq6_64 masquerade
	}
}
"#;

#[test]
fn nft_prints_what_we_programmed() {
    let elements = [masquerade("10.22.0.5/24", "net/ctr/eth0"), masquerade("fd00:22::5/64", "net/ctr/eth0")].concat();
    let ours = in_new_netns(|| {
        nft().add(&elements).unwrap();
        sh("nft list ruleset")
    });
    assert_eq!(ours, MASQUERADE);

    // The commands that we print, typed into a shell, end in the same ruleset.
    let mut parts: Vec<_> = elements.iter().map(|owned| owned.element.part()).collect();
    parts.dedup();
    let base = parts.iter().map(ToString::to_string);
    let commands: Vec<_> = base.chain(elements.iter().map(|owned| format!("nft {owned}"))).collect();
    let (typed, current) = in_new_netns(|| {
        sh(&commands.join("\n"));
        (sh("nft list ruleset"), nft().base(elements.iter().map(|owned| &owned.element)).unwrap())
    });
    assert_eq!(typed, MASQUERADE);
    assert_eq!(current, groundwork::nft::socket::Base::Current);

    // So does nft's own list, as people save and restore it.
    let restored = in_new_netns(|| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("saved");
        std::fs::write(&file, MASQUERADE).unwrap();
        sh(&format!("nft -f {}", file.display()));
        nft().base(elements.iter().map(|owned| &owned.element)).unwrap()
    });
    assert_eq!(restored, groundwork::nft::socket::Base::Current);
}
