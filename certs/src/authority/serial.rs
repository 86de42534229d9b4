//! A certificate's serial number: 159 random bits.
//!
//! Random rather than counted: every replica signs, and counters that begin at 1 in each of them give the
//! same serial to two workloads. A deny list would then hit the wrong one.

use std::fmt;
use std::str::FromStr;

/// A serial number as big-endian bytes without leading zeros, written as lower-case hex.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(Box<[u8]>);

impl Serial {
    /// 20 bytes with the top bit clear, so that DER needs no 21st (RFC 5280 §4.1.2.2).
    pub(crate) fn random() -> Result<Self, NoRandomness> {
        let mut bytes = [0; MAX_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
        if let Some(first) = bytes.first_mut() {
            *first &= 0x7f;
        }
        Ok(Self::from_bytes(&bytes))
    }

    /// The serial of somebody's certificate: leading zeros, which DER may need for the sign, are dropped.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Self(bytes.get(zeros..).unwrap_or_default().into())
    }

    /// Big-endian, without leading zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("00");
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Serial {
    type Err = BadSerial;

    /// Hex of an even or odd length; colons between bytes, as other tools print them, are allowed.
    fn from_str(text: &str) -> Result<Self, BadSerial> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(BadSerial))
            .collect::<Result<_, _>>()?;
        if digits.is_empty() || digits.len() > 2 * (MAX_BYTES + 1) {
            return Err(BadSerial);
        }
        let mut bytes: Vec<u8> = digits
            .rchunks(2)
            .map(|pair| pair.iter().fold(0, |byte: u8, digit| byte.wrapping_shl(4) | digit))
            .collect();
        bytes.reverse();
        Ok(Self::from_bytes(&bytes))
    }
}

/// The text is no serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a serial number is written as 1 to 42 hex digits, with or without colons")]
pub struct BadSerial;

/// The system's random generator failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct NoRandomness;

const MAX_BYTES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_reads_back_what_it_writes_and_what_other_tools_write() {
        for (text, want) in [
            ("0a:ff", Ok("0aff")),
            ("aff", Ok("0aff")),
            ("0000AFF", Ok("0aff")),
            ("00", Ok("00")),
            ("", Err(BadSerial)),
            ("0x1", Err(BadSerial)),
            (&"f".repeat(43), Err(BadSerial)),
        ] {
            let got = text.parse::<Serial>();
            assert_eq!(
                got.as_ref().map(ToString::to_string),
                want.map(str::to_owned).as_ref().cloned(),
                "{text}"
            );
        }
        let random = Serial::random().unwrap();
        assert_eq!(random.to_string().parse::<Serial>(), Ok(random));
    }
}
