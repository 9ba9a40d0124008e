//! Hardware addresses.

use std::{fmt, str::FromStr};

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
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
        // Pairs joined by ':' or '-', or groups of four joined by '.', as Go reads them.
        let (separator, width) = match text.as_bytes().get(2) {
            Some(b':') => (':', 2),
            Some(b'-') => ('-', 2),
            _ => ('.', 4),
        };
        let is_group = |part: &str| part.len() == width && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        if text.len() != 12 + 12 / width - 1 || !text.split(separator).all(is_group) {
            return Err(MacError::Shape);
        }
        let digits = text.replace(separator, "");
        let number = u64::from_str_radix(&digits, 16).map_err(|_| MacError::Shape)?;
        let [_, _, bytes @ ..] = number.to_be_bytes();
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(MacError::NotUnicast);
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;

    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
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
        for text in ["02-ab-cd-00-0f-10", "02ab.cd00.0f10"] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
        for (text, error) in [
            ("01:00:5e:00:00:01", MacError::NotUnicast),
            ("00:00:00:00:00:00", MacError::NotUnicast),
            ("02:ab:cd:00:0f", MacError::Shape),
            ("02:ab:cd:00:0f:10:11", MacError::Shape),
            ("02:ab:cd:00:0f:+1", MacError::Shape),
            ("2:ab:cd:00:0f:10", MacError::Shape),
            ("2:0ab:cd:00:0f:10", MacError::Shape),
            ("+2:ab:cd:00:0f:10", MacError::Shape),
            ("02:ab-cd:00:0f:10", MacError::Shape),
            ("02abcd000f10", MacError::Shape),
            ("02ab.cd00.0f1", MacError::Shape),
            ("é2:ab:cd:00:0f:1", MacError::Shape),
            ("", MacError::Shape),
        ] {
            assert_eq!(text.parse::<Mac>(), Err(error), "{text}");
        }
        assert_eq!(Mac::local(u64::MAX).0[0], 0xfe);
    }
}
