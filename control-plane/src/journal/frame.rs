//! How records lie in a file, and how a record that a crash cut off is told from a damaged one.
//!
//! A file is a header, a snapshot of the state when the file was begun, and a log of what came after:
//!
//! ```text
//! "weftjnl1" | generation u64 | salt u64 | where the snapshot ends u64 | CRC32C u32
//! length u32 | CRC32C u32 | payload                                     (one record; all little-endian)
//! ```
//!
//! A record's checksum covers the file's random salt, the record's offset, its length and its payload: a record
//! that lies in the wrong place or file is damaged, and no peer can craft a payload that looks like a record.
//!
//! Only the last record of the log can have been cut off, since the one before it was synced first, and header
//! and snapshot were synced before the file got its name. A cut-off record is short, or lacks whole sectors. A
//! bad record with a good one after it, or a last record that is complete and wrong, was written and then
//! changed: damage.

use std::fmt;

use super::JournalError;

/// The largest record. Big enough for the largest registration, small enough to look for the next one byte by
/// byte.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// The beginning of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) generation: u64,
    salt: u64,
    snapshot_end: u64,
}

impl Header {
    pub(super) const LEN: u64 = HEADER_LEN as u64;

    pub(super) fn new(generation: u64, snapshot_end: u64) -> Result<Self, JournalError> {
        let mut salt = [0; 8];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| JournalError::NoRandomness)?;
        Ok(Self { generation, salt: u64::from_le_bytes(salt), snapshot_end })
    }

    /// A whole new file.
    pub(super) fn with_snapshot(
        generation: u64,
        records: &[Vec<u8>],
    ) -> Result<(Self, Vec<u8>), JournalError> {
        let end = records.iter().fold(HEADER_LEN, |end, record| end + FRAME_LEN + record.len());
        let header = Self::new(generation, end as u64)?;
        let mut bytes = Vec::with_capacity(end);
        bytes.extend_from_slice(MAGIC);
        for number in [generation, header.salt, header.snapshot_end] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        for record in records {
            let frame = header.frame(bytes.len() as u64, record)?;
            bytes.extend_from_slice(&frame);
        }
        Ok((header, bytes))
    }

    pub(super) fn read(bytes: &[u8], generation: u64) -> Result<Self, Damage> {
        let damage = Damage { offset: 0, index: 0, what: What::Header };
        let (head, rest) = bytes.split_at_checked(HEADER_LEN - 4).ok_or(damage)?;
        let (magic, numbers) = head.split_at_checked(MAGIC.len()).ok_or(damage)?;
        let checksum = rest.first_chunk::<4>().ok_or(damage)?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let [of, salt, end] = numbers else { return Err(damage) };
        let header = Self {
            generation: u64::from_le_bytes(*of),
            salt: u64::from_le_bytes(*salt),
            snapshot_end: u64::from_le_bytes(*end),
        };
        let good = magic == MAGIC
            && crc32c::crc32c(head) == u32::from_le_bytes(*checksum)
            && header.generation == generation
            && header.snapshot_end >= Self::LEN;
        if good { Ok(header) } else { Err(damage) }
    }

    pub(super) fn snapshot_end(&self) -> u64 {
        self.snapshot_end
    }

    /// The bytes of a record that lies at `offset`.
    pub(super) fn frame(&self, offset: u64, payload: &[u8]) -> Result<Vec<u8>, JournalError> {
        let too_large = JournalError::TooLarge { bytes: payload.len() };
        if payload.len() > MAX_RECORD_BYTES {
            return Err(too_large);
        }
        let Ok(len) = u32::try_from(payload.len()) else { return Err(too_large) };
        let mut frame = Vec::with_capacity(FRAME_LEN + payload.len());
        frame.extend_from_slice(&len.to_le_bytes());
        frame.extend_from_slice(&self.checksum(offset, payload).to_le_bytes());
        frame.extend_from_slice(payload);
        Ok(frame)
    }

    /// The records that the file began with. None of them can have been cut off.
    pub(super) fn read_snapshot(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Damage> {
        let end = self.snapshot_end_in(bytes);
        let mut records = Vec::new();
        let mut offset = HEADER_LEN;
        while offset < end {
            let payload = self.record_at(bytes.get(..end).unwrap_or(bytes), offset).ok_or(Damage {
                offset: offset as u64,
                index: records.len(),
                what: What::Snapshot,
            })?;
            offset += FRAME_LEN + payload.len();
            records.push(payload.to_vec());
        }
        if (offset as u64) < self.snapshot_end {
            return Err(Damage { offset: offset as u64, index: records.len(), what: What::Snapshot });
        }
        Ok(records)
    }

    /// The records that were appended since, and how many bytes of another were cut off by a crash.
    pub(super) fn read_log(&self, bytes: &[u8]) -> Result<Log, Damage> {
        let mut log = Log { records: Vec::new(), end: self.snapshot_end, torn_bytes: 0 };
        let mut offset = self.snapshot_end_in(bytes);
        while let Some(payload) = self.record_at(bytes, offset) {
            offset += FRAME_LEN + payload.len();
            log.records.push(payload.to_vec());
        }
        let rest = bytes.get(offset..).unwrap_or_default();
        if !rest.is_empty() && !self.is_torn(bytes, offset, rest) {
            return Err(Damage { offset: offset as u64, index: log.records.len(), what: What::Record });
        }
        log.end = log.end.max(offset as u64);
        log.torn_bytes = rest.len() as u64;
        Ok(log)
    }

    /// Whether `rest`, which begins at `offset` and with no good record, is what a crash leaves of one.
    fn is_torn(&self, bytes: &[u8], offset: usize, rest: &[u8]) -> bool {
        if rest.len() > FRAME_LEN + MAX_RECORD_BYTES {
            return false;
        }
        let a_record_follows =
            || (offset + 1..bytes.len()).any(|later| self.record_at(bytes, later).is_some());
        let only_its_length_is_wrong = || {
            let (Some(payload), Some(checksum)) = (rest.get(FRAME_LEN..), stored_checksum(rest)) else {
                return false;
            };
            self.checksum(offset as u64, payload) == checksum
        };
        if a_record_follows() || only_its_length_is_wrong() {
            return false;
        }
        let is_short = declared_len(rest).is_none_or(|len| FRAME_LEN + len > rest.len());
        is_short || lacks_a_sector(offset, rest)
    }

    fn record_at<'b>(&self, bytes: &'b [u8], offset: usize) -> Option<&'b [u8]> {
        let rest = bytes.get(offset..)?;
        let len = declared_len(rest).filter(|len| (1..=MAX_RECORD_BYTES).contains(len))?;
        let payload = rest.get(FRAME_LEN..FRAME_LEN + len)?;
        (self.checksum(offset as u64, payload) == stored_checksum(rest)?).then_some(payload)
    }

    fn checksum(&self, offset: u64, payload: &[u8]) -> u32 {
        let mut place = [0; 24];
        for (field, value) in
            place.as_chunks_mut::<8>().0.iter_mut().zip([self.salt, offset, payload.len() as u64])
        {
            *field = value.to_le_bytes();
        }
        crc32c::crc32c_append(crc32c::crc32c(&place), payload)
    }

    fn snapshot_end_in(&self, bytes: &[u8]) -> usize {
        usize::try_from(self.snapshot_end).unwrap_or(usize::MAX).min(bytes.len())
    }
}

/// What follows the snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) records: Vec<Vec<u8>>,
    pub(super) end: u64,
    pub(super) torn_bytes: u64,
}

/// Where a file is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    offset: u64,
    index: usize,
    what: What,
}

impl Damage {
    /// Bytes from the file's beginning to the damaged record's.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// For an operator who has no backup.
    pub(super) fn what_is_lost(&self) -> &'static str {
        match self.what {
            What::Header | What::Snapshot => "everything recorded since that file was begun",
            What::Record => "everything recorded from that place on",
        }
    }

    pub(super) fn way_out(&self, file: &str) -> String {
        match self.what {
            What::Header | What::Snapshot => format!("remove {file} so that the one before it is used"),
            What::Record => format!("cut it there with `truncate -s {} {file}`", self.offset),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, index, what } = self;
        match what {
            What::Header => f.write_str("at byte 0 (its header)"),
            What::Snapshot => write!(f, "at byte {offset} (record {index} of the state it began with)"),
            What::Record => write!(f, "at byte {offset} (record {index} of those appended to it)"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Header,
    Snapshot,
    Record,
}

fn declared_len(frame: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*frame.first_chunk::<4>()?)).ok()
}

fn stored_checksum(frame: &[u8]) -> Option<u32> {
    frame.get(4..8)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))
}

/// A file may have grown before its bytes arrived: the part of the record in some sector is then all zeros.
fn lacks_a_sector(offset: usize, record: &[u8]) -> bool {
    let in_first = (SECTOR - offset % SECTOR).min(record.len());
    let (first, others) = record.split_at(in_first);
    std::iter::once(first).chain(others.chunks(SECTOR)).any(|part| part.iter().all(|byte| *byte == 0))
}

const MAGIC: &[u8; 8] = b"weftjnl1";
const HEADER_LEN: usize = 8 + 3 * 8 + 4;
const FRAME_LEN: usize = 8;
const SECTOR: usize = 512;
