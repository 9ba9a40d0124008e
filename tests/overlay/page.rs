//! docs/overlay.md, typed as it is, and what other pages give to be copied.

use std::path::Path;

use crate::fabric::Fabric;

/// Blocks of code of a page: what stands behind the fence, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let page = std::fs::read_to_string(path).unwrap();
    let mut blocks = Vec::new();
    for (index, part) in page.split("```").enumerate() {
        if index % 2 == 1 {
            let (words, text) = part.split_once('\n').unwrap();
            blocks.push((words.to_owned(), text.to_owned()));
        }
    }
    blocks
}

/// The block of this language.
pub(crate) fn block(language: &str) -> String {
    block_of("overlay.md", language)
}

/// Another page's block of this language.
pub(crate) fn block_of(page: &str, language: &str) -> String {
    blocks(page).into_iter().find(|(words, _)| words == language).unwrap().1
}

#[test]
fn the_page_works_as_it_is_written() {
    let names = ["first", "second", "third"];
    let fabric = Fabric::new(&names, false);
    for name in names {
        let host = fabric.host(name);
        // Folders of its own, and of the machine what is read.
        host.sh(&format!(
            "mkdir /run/new /run/work; mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/new,workdir=/run/work /etc
             mount -t tmpfs opt /opt; mkdir -p /opt/cni/bin; ln -s {} /opt/cni/bin/groundwork",
            host.plugin.display()
        ));
    }
    let mut typed = 0;
    for (words, text) in blocks("overlay.md") {
        let mut words = words.split(' ');
        if words.next() != Some("sh") {
            continue;
        }
        for name in words {
            fabric.host(name).sh(&format!("set -e\n{text}"));
            typed += 1;
        }
    }
    assert!(typed >= 15, "{typed}");
    for name in names {
        let left = fabric.host(name).sh("ip -br link; nft list ruleset; find /run/groundwork -type f; ip route");
        assert!(!left.contains("vxlan") && !left.contains("veth") && !left.contains("10.244"), "{left}");
    }
}
