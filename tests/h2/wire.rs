//! Frames (RFC 9113 §4) and field blocks (RFC 7541), written as told: nothing here asks whether they are right.

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The frame at the front of `bytes`, once it is whole, and how many bytes it has.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let [a, b, c, kind, flags, id @ ..] = *bytes.first_chunk::<9>()?;
        let whole = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = bytes.get(9..whole)?.to_vec();
        Some((Self { kind, flags, stream: u32::from_be_bytes(id), payload }, whole))
    }

    /// The number that begins at this byte of the payload.
    pub(crate) fn number(&self, at: usize) -> u32 {
        let four = self.payload.get(at..at + 4).and_then(|four| four.try_into().ok());
        four.map_or(0, u32::from_be_bytes)
    }

    /// The status in a response's head, where the field block begins as encoders begin it: with `:status` from the
    /// static table (RFC 7541, appendix A). 0 where it does not.
    pub(crate) fn status(&self) -> u16 {
        let padded =
            usize::from(self.flags & PADDED != 0) + if self.flags & PRIORITIZED != 0 { 5 } else { 0 };
        let mut block = self.payload.get(padded..).unwrap_or_default();
        // Changes of the table's size come first; these are small.
        while let [0x20..=0x3f, rest @ ..] = block {
            block = rest;
        }
        match block {
            [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
            // `:status` with a value of its own, with or without Huffman (three digits: two or three bytes).
            [0x48 | 0x08 | 0x18, 3, digits @ ..] => {
                digits.iter().take(3).fold(0, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0')))
            }
            [0x48 | 0x08 | 0x18, 0x82 | 0x83, coded @ ..] => huffman_digits(coded),
            _ => 0,
        }
    }
}

/// Three digits in the Huffman code: 0, 1 and 2 have five bits, the others six.
fn huffman_digits(coded: &[u8]) -> u16 {
    let mut bits =
        coded.iter().take(3).flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)));
    let mut status = 0;
    for _ in 0..3 {
        let five = bits.by_ref().take(5).fold(0, |sum, bit| sum << 1 | bit);
        let digit = if five < 3 { five } else { (five << 1 | bits.next().unwrap_or(0)) - 0b01_1001 + 3 };
        status = status * 10 + digit;
    }
    status
}

/// A frame with the length that it has.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = header(payload.len(), kind, flags, stream);
    bytes.extend(payload);
    bytes
}

/// A frame header that says whatever length.
pub(crate) fn header(len: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let mut bytes = (len as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes
}

pub(crate) fn data(flags: u8, stream: u32, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    frame(DATA, flags, stream, bytes)
}

pub(crate) fn headers(flags: u8, stream: u32, block: impl AsRef<[u8]>) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

pub(crate) fn continuation(flags: u8, stream: u32, block: impl AsRef<[u8]>) -> Vec<u8> {
    frame(CONTINUATION, flags, stream, block)
}

/// SETTINGS with these entries.
pub(crate) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let entry = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, entries.iter().flat_map(entry).collect::<Vec<_>>())
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, increment.to_be_bytes())
}

pub(crate) fn rst(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

/// PRIORITY: depends on `on`, weight 16.
pub(crate) fn priority(stream: u32, on: u32) -> Vec<u8> {
    frame(PRIORITY, 0, stream, [&on.to_be_bytes()[..], &[15]].concat())
}

/// PADDED: the length, the content, and so many zeros.
pub(crate) fn padded(content: &[u8], says: u8, zeros: usize) -> Vec<u8> {
    [&[says], content, &vec![0; zeros]].concat()
}

/// A field.
pub(crate) type Field<'f> = (&'f [u8], &'f [u8]);

/// Fields as literals without indexing, names too, without Huffman: every byte is as given (RFC 7541 §6.2.2).
pub(crate) fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        string(&mut bytes, name);
        string(&mut bytes, value);
    }
    bytes
}

/// A string literal (RFC 7541 §5.2).
pub(crate) fn string(into: &mut Vec<u8>, text: &[u8]) {
    integer(into, 0, 7, text.len());
    into.extend(text);
}

/// An integer behind a prefix of so many bits (RFC 7541 §5.1).
pub(crate) fn integer(into: &mut Vec<u8>, first: u8, bits: u32, mut value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        into.push(first | value as u8);
        return;
    }
    into.push(first | most as u8);
    value -= most;
    while value >= 128 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// What every client says first (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types (RFC 9113 §6).
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

// Flags.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITIZED: u8 = 0x20;

// Settings (RFC 9113 §6.5.2).
pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const ENABLE_PUSH: u16 = 2;
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const MAX_FRAME_SIZE: u16 = 5;
pub(crate) const MAX_HEADER_LIST_SIZE: u16 = 6;

// Error codes (RFC 9113 §7).
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
