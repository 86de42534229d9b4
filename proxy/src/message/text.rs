//! The characters and words of a head, looked up rather than compared: a head has some hundreds of them.

use std::net::Ipv6Addr;

/// Whether `byte` is a `tchar` of RFC 9110 §5.6.2.
pub(crate) const fn is_token(byte: u8) -> bool {
    KINDS[byte as usize] & TOKEN != 0
}

/// Whether a field's value may have `byte`: visible characters, space, tab and the upper half (RFC 9110 §5.5).
pub(crate) const fn is_value(byte: u8) -> bool {
    KINDS[byte as usize] & VALUE != 0
}

/// Whether a request's target may have `byte`: visible ASCII but `#` (RFC 9112 §3.2; a fragment is never sent).
pub(crate) const fn is_target(byte: u8) -> bool {
    KINDS[byte as usize] & TARGET != 0
}

/// Whether `text` is `host[:port]` (RFC 3986 §3.2) of what names and addresses are made of: the RFC lets a host have more,
/// a comma and `%2F` among it, and what one server takes for a list another takes for a name.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let (is_host, port) = match text {
        // RFC 3986 §3.2.2: brackets are for addresses.
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let (address, after) = rest.split_at(end);
            let address = std::str::from_utf8(address).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
            (address.is_some(), after.get(1..).unwrap_or_default())
        }
        _ => {
            let colon = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
            let (host, port) = text.split_at(colon);
            (!matches!(host, b"" | b".") && host.iter().all(|byte| KINDS[*byte as usize] & NAME != 0), port)
        }
    };
    is_host && matches!(port, [] | [b':', ..]) && port.get(1..).is_none_or(is_port)
}

fn is_port(digits: &[u8]) -> bool {
    (1..=5).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')) <= u32::from(u16::MAX)
}

/// The longest method that is taken for one: the longest that is registered has 17 bytes (UPDATEREDIRECTREF).
pub(crate) const MAX_METHOD: usize = 32;

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const TARGET: u8 = 4;
const NAME: u8 = 8;

static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b == b'\t' || (b >= b' ' && b != 0x7f) {
            kinds[byte] |= VALUE;
        }
        if b.is_ascii_graphic() && b != b'#' {
            kinds[byte] |= TARGET;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            kinds[byte] |= NAME;
        }
        if b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            kinds[byte] |= TOKEN;
        }
        byte += 1;
    }
    kinds
};
