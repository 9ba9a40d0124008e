//! resolv.conf(5) as host-local's `resolvConf` reads it.

use crate::cni::result::Dns;

/// The name servers, domain, search list and options of a text in resolv.conf's form. Lines that it does not know are
/// skipped, as resolvers do.
#[must_use]
pub fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace();
        let (Some(key), Some(first)) = (words.next(), words.next()) else { continue };
        let all = std::iter::once(first).chain(words).map(str::to_owned);
        match key {
            "nameserver" => dns.nameservers.push(first.into()),
            "domain" => dns.domain = first.into(),
            "search" => dns.search.extend(all),
            "options" => dns.options.extend(all),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_the_reference_plugin_reads() {
        let dns = parse(
            "# comment\n; another\n\nnameserver 192.0.2.1 ignored\r\n\tnameserver  fd00::1\nnameserver\n\
             domain example.com\nsearch a.example b.example\nsearch c.example\noptions ndots:2 rotate\nsortlist 1.2.3.4\n",
        );
        assert_eq!(dns.nameservers, ["192.0.2.1", "fd00::1"]);
        assert_eq!(dns.domain, "example.com");
        assert_eq!(dns.search, ["a.example", "b.example", "c.example"]);
        assert_eq!(dns.options, ["ndots:2", "rotate"]);
        assert_eq!(parse(""), Dns::default());
    }
}
