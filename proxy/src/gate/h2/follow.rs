//! Finds the frame headers (RFC 9113 §4.1) in one direction of a connection, however its bytes are cut into pieces.
//!
//! Payloads are skipped, not read; only a WINDOW_UPDATE's increment, four bytes, is looked at. The state is a few
//! words, and nothing is allocated.

/// A frame header, and of a WINDOW_UPDATE its increment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Type, known or not.
    pub(crate) kind: u8,
    /// Flags as they came.
    pub(crate) flags: u8,
    /// Without the reserved bit.
    pub(crate) stream: u32,
    /// The reserved bit was set.
    pub(crate) reserved: bool,
    /// Bytes of payload.
    pub(crate) len: u32,
    /// WINDOW_UPDATE only, else 0.
    pub(crate) increment: u32,
}

impl Frame {
    fn parse([a, b, c, kind, flags, id @ ..]: [u8; HEADER]) -> Self {
        let id = u32::from_be_bytes(id);
        let len = u32::from_be_bytes([0, a, b, c]);
        Self { kind, flags, stream: id & !RESERVED, reserved: id & RESERVED != 0, len, increment: 0 }
    }

    /// Whether all of these flags are set.
    pub(crate) const fn has(self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

/// Where we are in one direction of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Follow {
    /// Bytes of payload (or preface) still to come.
    skip: u32,
    /// The beginning of a header that came in pieces.
    held: [u8; HEADER + INCREMENT],
    holds: u8,
    /// HEADERS without END_HEADERS: only CONTINUATION may follow (RFC 9113 §6.10).
    in_block: bool,
}

impl Follow {
    /// What a client sends begins with a preface of 24 bytes (RFC 9113 §3.4). Whether it is one is hyper's to say.
    pub(crate) fn after_preface() -> Self {
        Self { skip: PREFACE, ..Self::default() }
    }

    /// Goes on by these bytes, and calls `each` for every frame whose header is complete.
    ///
    /// # Errors
    /// The first error of `each`. What follows it is not looked at.
    pub(crate) fn bytes<E>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Frame) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let skipped = bytes.len().min(self.skip as usize);
            self.skip -= skipped as u32;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            let Some(frame) = self.header(&mut bytes) else { return Ok(()) };
            each(frame)?;
        }
    }

    /// Takes a header off the front of `bytes`, or what there is of one.
    fn header(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        // Nearly always the whole header is there.
        if self.holds == 0
            && let Some((header, rest)) = bytes.split_first_chunk::<HEADER>()
        {
            let frame = Frame::parse(*header);
            if !has_increment(frame) {
                *bytes = rest;
                return Some(self.begin(frame, frame.len));
            }
        }
        while let Some((first, rest)) = bytes.split_first() {
            *bytes = rest;
            if let Some(place) = self.held.get_mut(usize::from(self.holds)) {
                *place = *first;
            }
            self.holds += 1;
            let (header, increment) = self.held.split_first_chunk::<HEADER>()?;
            let frame = Frame::parse(*header);
            match usize::from(self.holds) {
                HEADER if !has_increment(frame) => return Some(self.begin(frame, frame.len)),
                WITH_INCREMENT => {
                    let increment = increment.first_chunk().map_or(0, |four| u32::from_be_bytes(*four));
                    let frame = Frame { increment: increment & !RESERVED, ..frame };
                    return Some(self.begin(frame, frame.len.saturating_sub(INCREMENT as u32)));
                }
                _ => {}
            }
        }
        None
    }

    fn begin(&mut self, frame: Frame, skip: u32) -> Frame {
        self.holds = 0;
        self.skip = skip;
        if matches!(frame.kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            self.in_block = !frame.has(END_HEADERS);
        }
        frame
    }

    /// Whether a frame of ours could begin here (RFC 9113 §4.3: not within a field block).
    pub(crate) const fn is_between_frames(&self) -> bool {
        self.skip == 0 && self.holds == 0 && !self.in_block
    }

    /// How many of these bytes, which come next, belong to what has been begun.
    pub(crate) fn until_between_frames(&self, bytes: &[u8]) -> usize {
        let mut probe = *self;
        let mut rest = bytes;
        while !probe.is_between_frames()
            && let Some((first, after)) = rest.split_first()
        {
            let step: Result<(), ()> = probe.bytes(&[*first], |_| Ok(()));
            debug_assert!(step.is_ok());
            rest = after;
        }
        bytes.len() - rest.len()
    }
}

const fn has_increment(frame: Frame) -> bool {
    frame.kind == WINDOW_UPDATE && frame.len >= INCREMENT as u32
}

// Types (RFC 9113 §6, RFC 9218 §7.1) and flags.
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
pub(crate) const PRIORITY_UPDATE: u8 = 0x10;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;

const RESERVED: u32 = 1 << 31;
const HEADER: usize = 9;
const INCREMENT: usize = 4;
const WITH_INCREMENT: usize = HEADER + INCREMENT;
const PREFACE: u32 = 24;
