//! The first bytes of a `weft/1-tcp` connection: who it is for, once, before bytes that nobody parses.
//!
//! Two bytes of length, big-endian, then the header as protobuf. The reader has no identity to trust yet and a
//! buffer of its own size: it says how much more it needs, and refuses before it waits for too much.

use prost::Message;

pub use crate::v1::HopHeader;

/// The longest header, in bytes, without its length.
pub const MAX_HEADER: usize = 1024;

/// Frames a header.
///
/// # Errors
/// [`BadHop::TooLong`] if the authority is too long to be sent: over about a thousand bytes.
pub fn encode(header: &HopHeader) -> Result<Vec<u8>, BadHop> {
    let length = header.encoded_len();
    if length > MAX_HEADER {
        return Err(BadHop::TooLong { length });
    }
    let prefix = u16::try_from(length).expect("at most MAX_HEADER");
    let mut framed = Vec::with_capacity(2 + length);
    framed.extend(prefix.to_be_bytes());
    header.encode_raw(&mut framed);
    Ok(framed)
}

/// Reads a header from the beginning of what has arrived, and says how many bytes it took: what follows is the
/// application's. `None`: not all of it is here yet.
///
/// # Errors
/// If the header is too long, cannot be read, or names no port. The connection is closed.
pub fn decode(arrived: &[u8]) -> Result<Option<(HopHeader, usize)>, BadHop> {
    let Some((prefix, rest)) = arrived.split_first_chunk::<2>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*prefix));
    if length > MAX_HEADER {
        return Err(BadHop::TooLong { length });
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let header = HopHeader::decode(body)?;
    if header.target_port == 0 || header.target_port > u32::from(u16::MAX) {
        return Err(BadHop::Port { port: header.target_port });
    }
    Ok(Some((header, prefix.len() + length)))
}

/// Why a connection does not begin with a hop header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHop {
    /// Over 1024 bytes.
    #[error("a hop header of {length} bytes, of which {MAX_HEADER} are allowed: is the peer a Weft proxy?")]
    TooLong {
        /// As announced.
        length: usize,
    },
    /// Not a message.
    #[error("a hop header that cannot be read: is the peer a Weft proxy?")]
    Unreadable {
        /// Where it broke.
        #[from]
        source: prost::DecodeError,
    },
    /// Not a port of an application.
    #[error("a hop header for port {port}, which is not a port number from 1 to 65535")]
    Port {
        /// As sent.
        port: u32,
    },
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_has_these_bytes() {
        let header = HopHeader { target_port: 8080, authority: "api".into() };
        assert_eq!(encode(&header).unwrap(), b"\x00\x08\x08\x90\x3f\x12\x03api");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let table: &[(&[u8], &str)] = &[
            (b"\x04\x01", "1025 bytes"),
            (b"GET / HTTP/1.1\r\n", "Weft proxy"),
            (b"\x16\x03\x01", "Weft proxy"),
            (b"\x00\x02\xff\xff", "cannot be read"),
            (b"\x00\x00", "port 0"),
            (b"\x00\x04\x08\x80\x80\x04", "port 65536"),
        ];
        for (bytes, want) in table {
            let error = decode(bytes).unwrap_err().to_string();
            assert!(error.contains(want), "{bytes:?}: {error}");
        }
        assert!(encode(&HopHeader { target_port: 1, authority: "a".repeat(1024) }).is_err());
    }

    proptest! {
        #[test]
        fn a_header_is_read_back_whole_whatever_follows_and_never_in_part(
            target_port in 1u32..=65535,
            authority in "[a-z.:0-9]{0,253}",
            follows in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let header = HopHeader { target_port, authority };
            let framed = encode(&header).unwrap();
            for cut in 0..framed.len() {
                prop_assert_eq!(decode(&framed[..cut]), Ok(None));
            }
            let whole = [framed.clone(), follows].concat();
            prop_assert_eq!(decode(&whole), Ok(Some((header, framed.len()))));
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..1100)) {
            if let Ok(Some((_, consumed))) = decode(&bytes) {
                prop_assert!(consumed <= bytes.len());
            }
        }
    }
}
