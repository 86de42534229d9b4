//! The characters of HTTP, looked up rather than compared: a head has some hundred of them.

/// Whether `byte` is a `tchar` of RFC 9110 §5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    KINDS[byte as usize] & TOKEN != 0
}

/// Whether a field's value may have `byte`: visible characters, space, tab and the upper half (RFC 9110 §5.5).
pub(super) const fn is_value(byte: u8) -> bool {
    KINDS[byte as usize] & VALUE != 0
}

/// Whether a request's target may have `byte`: visible ASCII but `#` (RFC 9112 §3.2; a fragment is never sent).
pub(super) const fn is_target(byte: u8) -> bool {
    KINDS[byte as usize] & TARGET != 0
}

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const TARGET: u8 = 4;

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
