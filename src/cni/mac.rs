//! Hardware addresses.

use std::{fmt, str::FromStr};

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// Why a text is no unicast Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    /// Not six bytes in hexadecimal.
    #[error("expected six bytes as in 02:00:5e:10:00:01")]
    Shape,
    /// The group bit is set, or all bytes are zero.
    #[error("expected a unicast address: its first byte even, not all zero")]
    NotUnicast,
}

impl Mac {
    /// A locally administered unicast address from random bits.
    #[must_use]
    pub const fn local(bits: u64) -> Self {
        let [a, b, c, d, e, f, ..] = bits.to_le_bytes();
        Self([a & 0xfc | 0x02, b, c, d, e, f])
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().ok_or(MacError::Shape)?;
            if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(MacError::Shape);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacError::Shape)?;
        }
        if parts.next().is_some() {
            return Err(MacError::Shape);
        }
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(MacError::NotUnicast);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written_alike_and_groups_are_refused() {
        let mac: Mac = "02:AB:cd:00:0f:10".parse().unwrap();
        assert_eq!(mac.to_string(), "02:ab:cd:00:0f:10");
        for (text, error) in [
            ("01:00:5e:00:00:01", MacError::NotUnicast),
            ("00:00:00:00:00:00", MacError::NotUnicast),
            ("02:ab:cd:00:0f", MacError::Shape),
            ("02:ab:cd:00:0f:10:11", MacError::Shape),
            ("02:ab:cd:00:0f:+1", MacError::Shape),
            ("2:ab:cd:00:0f:10", MacError::Shape),
            ("", MacError::Shape),
        ] {
            assert_eq!(text.parse::<Mac>(), Err(error), "{text}");
        }
        assert_eq!(Mac::local(u64::MAX).0[0], 0xfe);
    }
}
