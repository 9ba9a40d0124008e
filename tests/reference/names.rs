//! What is drawn at random, by whose it is.

use crate::kernel::Look;

/// Hardware addresses and names, each with what to write in its place.
#[derive(Default)]
pub(crate) struct Names {
    replaced: Vec<(String, String)>,
}

impl Names {
    /// Notes the links that came with an ADD: those of the container, and those of the host. `asked` is what was
    /// configured: what it says is no draw.
    pub(crate) fn note(&mut self, container: &str, inside: &Look, host: &Look, asked: &str) {
        let is_drawn = |name: &str| name.strip_prefix("veth").is_some_and(|rest| rest.len() == 8);
        for (_, name, mac) in host.links.iter().filter(|(kind, name, _)| kind == "veth" && is_drawn(name)) {
            self.add(name, &format!("VETH of {container}"), asked);
            self.add(mac, &format!("MAC of the VETH of {container}"), asked);
        }
        for (_, name, mac) in &inside.links {
            self.add(mac, &format!("MAC of {name} of {container}"), asked);
        }
        for (_, name, mac) in &host.links {
            self.add(mac, &format!("MAC of {name}"), asked);
        }
    }

    fn knows(&self, draw: &str) -> bool {
        self.replaced.iter().any(|(known, _)| known == draw)
    }

    fn add(&mut self, draw: &str, label: &str, asked: &str) {
        let nobody = draw.is_empty() || draw == "00:00:00:00:00:00" || draw.contains('.');
        if !nobody && !self.knows(draw) && !asked.contains(draw) {
            self.replaced.push((draw.to_owned(), label.to_owned()));
        }
    }

    /// The line with everything that was noted replaced.
    pub(crate) fn replace(&self, line: &str) -> String {
        self.replaced.iter().fold(line.to_owned(), |line, (draw, label)| line.replace(draw, label))
    }
}
