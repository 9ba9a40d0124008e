//! VLANs inside a bridge.

use netlink_packet_core::NetlinkSerializable;
use nix::errno::Errno;

use super::Answer;
use crate::sys::netlink::{Channel, First};

/// Lists the VLANs of all ports: a kernel whose bridges know none has nobody to answer. Passive, no capability needed.
/// Bridges answer so since 5.6.
///
/// False beside the answer: the channel cannot be used again.
pub(super) fn filtering(channel: &mut Channel) -> (Answer, bool) {
    match channel.first_of_dump(GetVlan, |_| ()) {
        Ok(First::Nothing) => (Answer::Present, true),
        Ok(First::Object(())) => (Answer::Present, false),
        Err(refusal) if refusal.errno == Errno::EOPNOTSUPP => (Answer::Absent(Some(refusal)), true),
        Err(refusal) => (Answer::Unknown(Some(refusal)), false),
    }
}

/// RTM_GETVLAN: `struct br_vlan_msg` (linux/if_bridge.h) for the ports of all bridges.
struct GetVlan;

impl NetlinkSerializable for GetVlan {
    fn message_type(&self) -> u16 {
        const RTM_GETVLAN: u16 = 114;
        RTM_GETVLAN
    }

    fn buffer_len(&self) -> usize {
        8
    }

    fn serialize(&self, buffer: &mut [u8]) {
        const AF_BRIDGE: u8 = 7;
        buffer.fill(0);
        if let Some(family) = buffer.first_mut() {
            *family = AF_BRIDGE;
        }
    }
}
