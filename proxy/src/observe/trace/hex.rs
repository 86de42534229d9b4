//! Lower-case hexadecimal, which both formats require (W3C Trace Context §3.2.2.3; B3 propagation, "TraceId").

/// Exactly `N` bytes from `2 * N` digits.
pub(super) fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

/// The digits of `bytes`. By hand, because a number formatted for each byte was a third of what a head costs to rewrite.
pub(super) fn digits(bytes: &[u8]) -> impl Iterator<Item = char> {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    halves.map(|half| char::from_digit(half.into(), 16).unwrap_or('0'))
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
