use super::*;

#[test]
fn of_a_link_only_the_named_settings_are_looked_at() {
    let link = Link {
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        mtu: 1500,
        promisc: true,
        all_multicast: true,
        tx_queue_len: 1000,
        ..Link::default()
    };
    let asked = LinkSettings { mtu: Some(1400), promisc: Some(false), ..LinkSettings::default() };
    let has = LinkSettings { mtu: Some(1500), promisc: Some(true), ..LinkSettings::default() };
    assert_eq!(asked.of(&link), has);
    let asked = LinkSettings { mac: Some(Mac([2; 6])), all_multicast: Some(false), tx_queue_len: Some(1), ..asked };
    let has = LinkSettings { mac: link.mac, all_multicast: Some(true), tx_queue_len: Some(1000), ..has };
    assert_eq!(asked.of(&link), has);
    assert!(LinkSettings::default().is_empty() && !asked.is_empty());
}
