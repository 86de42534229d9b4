//! What a peer may send: a length that its type can have, SETTINGS first, and only so many of a kind. There is a bucket of tokens a kind, filled by time and by what we send.
//!
//! Honest peers answer what they are sent: a WINDOW_UPDATE or two per DATA, a PING per burst of DATA to measure the
//! bandwidth (gRPC), an ACK per SETTINGS. So those allowances grow with what we write, and a busy connection is never
//! near its limit, while a flood has only the bucket. Time is an argument; a frame costs a comparison and a
//! subtraction.
//!
//! A reset is rapid (CVE-2023-44487) where the stream is younger than [`YOUNG`]: such resets free their place at once,
//! so that the limit on open streams no longer bounds how much work is begun. Older ones are bounded by that limit.

use std::time::Duration;

use tokio::time::Instant;

use super::ages::Ages;
use super::follow::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
    PRIORITY_UPDATE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::limits::{Allowance, Limits, TOKEN};

/// The rule that a peer has broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// PING, or answers to PINGs that were never sent (CVE-2019-9512).
    Ping,
    /// SETTINGS, each entry counted a little (CVE-2019-9515).
    Settings,
    /// PRIORITY or PRIORITY_UPDATE (CVE-2019-9513).
    Priority,
    /// WINDOW_UPDATE beyond what our DATA explains.
    WindowUpdate,
    /// WINDOW_UPDATE by so little that we would write in crumbs (CVE-2019-9511).
    TinyWindow,
    /// RST_STREAM on streams that have just been opened (CVE-2023-44487).
    RapidReset,
    /// RST_STREAM, however old the stream.
    Reset,
    /// DATA with nothing in it that ends nothing (CVE-2019-9518).
    EmptyData,
    /// DATA of a few bytes, or of padding.
    TinyData,
    /// A field block in too many pieces, or too large (CVE-2024-27316).
    FieldBlock,
    /// GOAWAY again and again.
    GoAway,
    /// Frames of types nobody knows (to be ignored, RFC 9113 §5.5, but not for ever).
    UnknownType,
    /// The reserved bit, set again and again.
    ReservedBit,
    /// A length that frames of this type cannot have (RFC 9113 §4.2, §6). The library would end the connection too,
    /// by an unspecific code.
    FrameSize,
    /// Something else than SETTINGS first (RFC 9113 §3.4). The library would not mind.
    SettingsFirst,
}

impl Rule {
    /// As metrics and logs call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping_flood",
            Self::Settings => "settings_flood",
            Self::Priority => "priority_flood",
            Self::WindowUpdate => "window_update_flood",
            Self::TinyWindow => "tiny_window_update_flood",
            Self::RapidReset => "rapid_reset",
            Self::Reset => "reset_flood",
            Self::EmptyData => "empty_data_flood",
            Self::TinyData => "tiny_data_flood",
            Self::FieldBlock => "continuation_flood",
            Self::GoAway => "goaway_flood",
            Self::UnknownType => "unknown_frame_flood",
            Self::ReservedBit => "reserved_bit_flood",
            Self::FrameSize => "frame_size",
            Self::SettingsFirst => "settings_first",
        }
    }

    /// What the peer is told (RFC 9113 §7).
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::FrameSize => 0x6,     // FRAME_SIZE_ERROR
            Self::SettingsFirst => 0x1, // PROTOCOL_ERROR
            _ => 0xb,                   // ENHANCE_YOUR_CALM
        }
    }
}

/// Tokens in thousandths, so that a second of them is a whole number every millisecond.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: u32,
    most: u32,
    per_ms: u32,
}

impl Bucket {
    const fn new(allowance: Allowance) -> Self {
        Self {
            tokens: allowance.burst.saturating_mul(TOKEN),
            most: allowance.most.saturating_mul(TOKEN),
            per_ms: allowance.per_second,
        }
    }

    fn fill(&mut self, ms: u32) {
        self.tokens = self.tokens.saturating_add(self.per_ms.saturating_mul(ms)).min(self.most);
    }

    fn earn(&mut self, count: u32) {
        self.tokens = self.tokens.saturating_add(count.saturating_mul(TOKEN)).min(self.most);
    }

    fn spend(&mut self, count: u32, or: Rule) -> Result<(), Rule> {
        self.tokens = self.tokens.checked_sub(count.saturating_mul(TOKEN)).ok_or(or)?;
        Ok(())
    }
}

/// What one peer has left of its allowances.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    limits: &'static Limits,
    filled: Instant,
    ping: Bucket,
    settings: Bucket,
    priority: Bucket,
    window: Bucket,
    tiny_window: Bucket,
    rapid_reset: Bucket,
    reset: Bucket,
    empty_data: Bucket,
    tiny_data: Bucket,
    unknown: Bucket,
    reserved: Bucket,
    goaway: Bucket,
    greeted: bool,
    pings_unanswered: u32,
    settings_unanswered: u32,
    block_frames: u32,
    block_bytes: u32,
    streams: Ages,
}

impl Counter {
    /// All allowances full.
    pub(crate) fn new(limits: &'static Limits, now: Instant) -> Self {
        Self {
            limits,
            filled: now,
            ping: Bucket::new(limits.ping),
            settings: Bucket::new(limits.settings),
            priority: Bucket::new(limits.priority),
            window: Bucket::new(limits.window),
            tiny_window: Bucket::new(limits.tiny_window),
            rapid_reset: Bucket::new(limits.rapid_reset),
            reset: Bucket::new(limits.reset),
            empty_data: Bucket::new(limits.empty_data),
            tiny_data: Bucket::new(limits.tiny_data),
            unknown: Bucket::new(limits.odd),
            reserved: Bucket::new(limits.odd),
            goaway: Bucket::new(limits.odd),
            greeted: false,
            pings_unanswered: 0,
            settings_unanswered: 0,
            block_frames: 0,
            block_bytes: 0,
            streams: Ages::new(YOUNG, now),
        }
    }

    /// It is `now`: allowances grow by the time that has gone by, in whole milliseconds.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.streams.tick(now);
        let ms = u32::try_from(now.duration_since(self.filled).as_millis()).unwrap_or(u32::MAX);
        if ms == 0 {
            return;
        }
        self.filled += Duration::from_millis(ms.into());
        for bucket in [
            &mut self.ping,
            &mut self.settings,
            &mut self.priority,
            &mut self.window,
            &mut self.tiny_window,
            &mut self.rapid_reset,
            &mut self.reset,
            &mut self.empty_data,
            &mut self.tiny_data,
            &mut self.unknown,
            &mut self.reserved,
            &mut self.goaway,
        ] {
            bucket.fill(ms);
        }
    }

    /// The peer has sent this.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(crate) fn received(&mut self, frame: Frame) -> Result<(), Rule> {
        if !can_have_length(frame, self.limits.max_frame) {
            return Err(Rule::FrameSize);
        }
        if !self.greeted {
            self.greeted = true;
            let greets = frame.kind == SETTINGS && !frame.has(ACK);
            return if greets { Ok(()) } else { Err(Rule::SettingsFirst) };
        }
        if frame.reserved {
            self.reserved.spend(1, Rule::ReservedBit)?;
        }
        match frame.kind {
            DATA => self.data(frame),
            HEADERS => {
                (self.block_frames, self.block_bytes) = (0, 0);
                if self.streams.open(frame.stream) {
                    // A stream is opened with a priority and a window of its own by some clients.
                    self.priority.earn(4);
                    self.window.earn(2);
                    self.reset.earn(1);
                }
                self.block(frame)
            }
            CONTINUATION => self.block(frame),
            PRIORITY | PRIORITY_UPDATE => self.priority.spend(1, Rule::Priority),
            RST_STREAM => {
                if self.streams.is_young(frame.stream) {
                    self.rapid_reset.spend(1, Rule::RapidReset)?;
                }
                self.reset.spend(1, Rule::Reset)
            }
            SETTINGS if frame.has(ACK) && self.settings_unanswered > 0 => {
                self.settings_unanswered -= 1;
                Ok(())
            }
            SETTINGS => self.settings.spend(1 + frame.len / ENTRIES, Rule::Settings),
            PING if frame.has(ACK) && self.pings_unanswered > 0 => {
                self.pings_unanswered -= 1;
                Ok(())
            }
            PING => self.ping.spend(1, Rule::Ping),
            GOAWAY => self.goaway.spend(1, Rule::GoAway),
            WINDOW_UPDATE => {
                if frame.increment < TINY_INCREMENT {
                    self.tiny_window.spend(1, Rule::TinyWindow)?;
                }
                self.window.spend(1, Rule::WindowUpdate)
            }
            _ => self.unknown.spend(1, Rule::UnknownType),
        }
    }

    fn data(&mut self, frame: Frame) -> Result<(), Rule> {
        if frame.has(END_STREAM) {
            return Ok(());
        }
        match frame.len {
            0 => self.empty_data.spend(1, Rule::EmptyData),
            // One byte says how much padding there is, so this may be nothing else.
            1..=256 if frame.has(PADDED) => self.tiny_data.spend(1, Rule::TinyData),
            1..=TINY_DATA => self.tiny_data.spend(1, Rule::TinyData),
            _ => Ok(()),
        }
    }

    fn block(&mut self, frame: Frame) -> Result<(), Rule> {
        self.block_frames += 1;
        self.block_bytes = self.block_bytes.saturating_add(frame.len);
        let within =
            self.block_frames <= self.limits.block_frames && self.block_bytes <= self.limits.block_bytes;
        if frame.has(END_HEADERS) {
            (self.block_frames, self.block_bytes) = (0, 0);
        }
        if within { Ok(()) } else { Err(Rule::FieldBlock) }
    }

    /// We have sent this.
    pub(crate) fn sent(&mut self, frame: Frame) {
        match frame.kind {
            DATA | HEADERS => {
                self.ping.earn(1);
                if frame.kind == DATA {
                    // For the stream and for the connection, and again for readers that read in small pieces.
                    self.window.earn(4 + frame.len / READ_IN_PIECES_OF);
                } else if self.streams.open(frame.stream) {
                    self.reset.earn(1);
                }
                if frame.has(END_STREAM) {
                    // A stream that was answered was worth its opening.
                    self.rapid_reset.earn(1);
                }
            }
            PING if !frame.has(ACK) => self.pings_unanswered = self.pings_unanswered.saturating_add(1),
            SETTINGS if !frame.has(ACK) => {
                self.settings_unanswered = self.settings_unanswered.saturating_add(1);
            }
            _ => {}
        }
    }

    /// The highest stream that was opened: what a GOAWAY names.
    pub(crate) const fn newest_stream(&self) -> u32 {
        self.streams.newest()
    }
}

/// Whether a frame of this type can be so long, where none may be longer than `most` (RFC 9113 §4.2).
const fn can_have_length(frame: Frame, most: u32) -> bool {
    match frame.kind {
        PRIORITY => frame.len == 5,
        RST_STREAM | WINDOW_UPDATE => frame.len == 4,
        SETTINGS if frame.has(ACK) => frame.len == 0,
        SETTINGS => frame.len.is_multiple_of(6) && frame.len <= most,
        PING => frame.len == 8,
        GOAWAY => frame.len >= 8 && frame.len <= most,
        _ => frame.len <= most,
    }
}

/// A stream of less age than this, or at most twice it, is young: with 250 open streams, all reset as soon as they are
/// no longer young, a client begins 2 500 requests a second, as it could by waiting for answers.
pub(crate) const YOUNG: Duration = Duration::from_millis(100);
/// Every client in use gives back a good part of the window at once: thousands of bytes.
const TINY_INCREMENT: u32 = 256;
/// Less than an empty gRPC message has.
const TINY_DATA: u32 = 4;
/// Bytes of SETTINGS that cost as much as one more frame: eight entries.
const ENTRIES: u32 = 48;
/// Bytes after which a reader may have told of its progress once more.
const READ_IN_PIECES_OF: u32 = 1024;
