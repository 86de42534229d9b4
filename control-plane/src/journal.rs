//! What outlives a restart without a cluster: one append-only file of checksummed records.
//!
//! A record is written and synced before anybody is told that it holds, so a crash leaves the state before a
//! change or after it. A record cut off by a crash is removed at the next start ([`frame`] tells it from damage);
//! a damaged record is an error that names its place, because skipping it could bring a used token or a revoked
//! identity back. When the file has grown, the whole state is written to a new one, synced, and renamed; the one
//! before stays, and stands in if the new one's copy of it turns out to be damaged.
//!
//! A failed write changes nothing: the caller hears of it, the state in memory stays, and the next write first
//! cuts off what the failed one may have left behind. All disk I/O goes through [`Disk`], so that tests can
//! stop it after any byte.

use std::fmt;
use std::io;
use std::sync::Arc;

pub mod disk;
pub mod elsewhere;
mod frame;
pub mod ledger;
pub mod memory;
pub mod record;
#[cfg(test)]
pub(crate) mod sim;
pub mod state;

pub use disk::{Directory, Disk};
pub use elsewhere::{Elsewhere, ElsewhereError};
pub use frame::MAX_RECORD_BYTES;
use frame::{Damage, Header};
pub use ledger::Ledger;
pub use memory::Memory;

/// The open file. One process writes it (see the lock of [`custody`](crate::custody)).
pub struct Journal {
    disk: Arc<dyn Disk>,
    header: Header,
    /// Where the next record goes; everything before it is synced.
    end: u64,
    /// What a failed operation may have left on the disk, to be put right before the next write.
    doubt: Doubt,
    compact_at: u64,
}

/// What was found when a journal was opened.
#[derive(Debug)]
pub struct Opened {
    /// Ready to be appended to.
    pub journal: Journal,
    /// Every record, oldest first.
    pub records: Vec<Vec<u8>>,
    /// Bytes of a last record that a crash had cut off.
    pub torn_bytes: u64,
    /// Why the beginning was taken from the generation before: its copy in this one is damaged.
    pub mended: Option<JournalError>,
}

impl Journal {
    /// Opens the newest generation, or says that there is none.
    ///
    /// # Errors
    /// [`JournalError::Read`] if the disk fails, [`JournalError::Damaged`] if a record is not what was written.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Option<Opened>, JournalError> {
        let generations = generations(&*disk)?;
        let Some(newest) = generations.last().copied() else { return Ok(None) };
        let name = file_name(newest);
        let bytes = disk.read(&name).map_err(|source| JournalError::Read { file: name.clone(), source })?;
        let damaged = |damage: Damage| JournalError::Damaged { file: name.clone(), damage };
        let header = Header::read(&bytes, newest).map_err(damaged)?;
        let log = header.read_log(&bytes).map_err(damaged)?;
        let (mut records, mended) = match header.read_snapshot(&bytes) {
            Ok(records) => (records, None),
            Err(damage) => {
                (previous_in_full(&*disk, newest).ok_or_else(|| damaged(damage))?, Some(damaged(damage)))
            }
        };
        records.extend(log.records);
        let mut journal = Self {
            disk,
            header,
            end: log.end,
            doubt: Doubt::None,
            compact_at: compaction_threshold(&header),
        };
        if log.torn_bytes > 0 {
            // If this fails, the disk is read-only or worse: serving goes on, and the next write tries again.
            journal.doubt = Doubt::Tail;
            if let Err(error) = journal.mend() {
                tracing::error!(%error, "the cut-off end of the journal could not be removed yet");
            }
        }
        if mended.is_some() {
            journal.compact_at = 0;
        }
        Ok(Some(Opened { journal, records, torn_bytes: log.torn_bytes, mended }))
    }

    /// The first generation, with these records.
    ///
    /// # Errors
    /// [`JournalError::Write`]; nothing has been begun then.
    pub fn create(disk: Arc<dyn Disk>, records: &[Vec<u8>]) -> Result<Self, JournalError> {
        let header = Header::new(1, 0)?;
        let mut journal = Self { disk, header, end: 0, doubt: Doubt::None, compact_at: 0 };
        journal.write_generation(1, records)?;
        Ok(journal)
    }

    /// Adds a record. When this returns, it is on the disk.
    ///
    /// # Errors
    /// [`JournalError::Write`] if the disk is full or fails, [`JournalError::TooLarge`]. The record does not
    /// hold then; only if this process ends before its next successful write may a restart find it all the same.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), JournalError> {
        let frame = self.header.frame(self.end, payload)?;
        self.mend()?;
        let name = self.file_name();
        if let Err(source) = self.disk.write(&name, self.end, &frame) {
            self.doubt = Doubt::Tail;
            return Err(JournalError::Write { doing: "append to", file: name, source });
        }
        self.end = self.end.saturating_add(frame.len() as u64);
        Ok(())
    }

    /// Whether the file has grown enough for [`compact`](Self::compact) to be worth it.
    #[must_use]
    pub fn wants_compaction(&self) -> bool {
        self.end >= self.compact_at
    }

    /// Begins a new generation that holds `records`, which must amount to everything appended so far.
    ///
    /// # Errors
    /// [`JournalError::Write`]: the present generation goes on being used, and this is wanted again later.
    pub fn compact(&mut self, records: &[Vec<u8>]) -> Result<(), JournalError> {
        self.mend()?;
        let before = self.header.generation;
        let Some(next) = before.checked_add(1) else { return Ok(()) };
        if let Err(error) = self.write_generation(next, records) {
            self.compact_at = self.end.saturating_add(MIN_GROWTH);
            return Err(error);
        }
        // Two generations stay. One that cannot be removed is removed with the next.
        let present = generations(&*self.disk).unwrap_or_default();
        for old in present.into_iter().filter(|generation| *generation < before) {
            if let Err(error) = self.disk.remove(&file_name(old)) {
                tracing::warn!(%error, file = file_name(old), "an old journal could not be removed");
            }
        }
        Ok(())
    }

    /// Bytes in the file, for metrics.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.end
    }

    /// Whether it holds no record at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end <= Header::LEN
    }

    fn write_generation(&mut self, generation: u64, records: &[Vec<u8>]) -> Result<(), JournalError> {
        let (header, bytes) = Header::with_snapshot(generation, records)?;
        let name = file_name(generation);
        let failed = |doing, source| JournalError::Write { doing, file: name.clone(), source };
        self.disk.create(UNFINISHED, &bytes).map_err(|source| failed("write", source))?;
        let old = (self.header, self.end);
        (self.header, self.end) = (header, bytes.len() as u64);
        if let Err(source) = self.disk.rename(UNFINISHED, &name) {
            // Whether it has happened is not known; both files say the same until something is appended.
            self.doubt = Doubt::Renamed { old };
            return Err(failed("rename the new", source));
        }
        self.compact_at = compaction_threshold(&header);
        self.doubt = Doubt::Directory;
        self.mend()
    }

    /// Puts right what a failed operation may have left, before anything else is written.
    fn mend(&mut self) -> Result<(), JournalError> {
        if let Doubt::Renamed { old } = self.doubt {
            if generations(&*self.disk)?.last() == Some(&self.header.generation) {
                self.doubt = Doubt::Directory;
            } else {
                (self.header, self.end) = old;
                self.doubt = Doubt::None;
            }
        }
        let name = self.file_name();
        let (doing, done) = match self.doubt {
            Doubt::None | Doubt::Renamed { .. } => return Ok(()),
            Doubt::Tail => ("cut the unfinished end off", self.disk.truncate(&name, self.end)),
            Doubt::Directory => ("sync the directory of", self.disk.sync_directory(&name)),
        };
        done.map_err(|source| JournalError::Write { doing, file: name, source })?;
        self.doubt = Doubt::None;
        Ok(())
    }

    fn file_name(&self) -> String {
        file_name(self.header.generation)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("file", &self.file_name())
            .field("bytes", &self.end)
            .finish_non_exhaustive()
    }
}

/// What is not known about the disk after a failed operation.
#[derive(Clone, Copy, Debug)]
enum Doubt {
    None,
    /// There may be bytes after `end`.
    Tail,
    /// The rename may be undone by a power cut.
    Directory,
    /// The rename may or may not have happened.
    Renamed {
        old: (Header, u64),
    },
}

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed, or access is denied.
    #[error(
        "cannot read {file} in the state directory: {source}; check the disk and the owner of the directory"
    )]
    Read {
        /// Below the state directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The disk is full, read-only or failing.
    #[error(
        "cannot {doing} {file} in the state directory: {source}; nothing has changed. Free space or repair the \
         disk: the control plane goes on serving and needs no restart"
    )]
    Write {
        /// What was attempted.
        doing: &'static str,
        /// Below the state directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A record is not what was written.
    #[error(
        "{file} in the state directory is damaged {damage}. It is not skipped, because it may hold a used token or \
         a revoked identity. Restore the state directory from a backup; or, knowing that {} is lost, keep a copy of \
         the directory, {}, and start again", damage.what_is_lost(), damage.way_out(file)
    )]
    Damaged {
        /// Below the state directory.
        file: String,
        /// Where, and what is wrong.
        damage: Damage,
    },
    /// A record that this version does not know.
    #[error(
        "record {index} of the journal was written by a newer version; start that version again, or restore a \
         state directory from before the upgrade"
    )]
    Newer {
        /// Counted from 0.
        index: usize,
    },
    /// Over [`MAX_RECORD_BYTES`].
    #[error("a record of {bytes} bytes is over the limit of {MAX_RECORD_BYTES}; nothing has changed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A place that others share did not take it.
    #[error(transparent)]
    Elsewhere(#[from] ElsewhereError),
    /// No salt for a new file.
    #[error("the system gives no randomness; the journal cannot begin a new file")]
    NoRandomness,
}

/// Numbers of the generations present, oldest first.
fn generations(disk: &dyn Disk) -> Result<Vec<u64>, JournalError> {
    let names =
        disk.list("").map_err(|source| JournalError::Read { file: "the directory".to_owned(), source })?;
    let mut found: Vec<u64> =
        names.iter().filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok()).collect();
    found.sort_unstable();
    Ok(found)
}

/// All records of the generation before, which are exactly what the newest began with, if nothing is wrong there.
fn previous_in_full(disk: &dyn Disk, newest: u64) -> Option<Vec<Vec<u8>>> {
    let previous = newest.checked_sub(1)?;
    let bytes = disk.read(&file_name(previous)).ok()?;
    let header = Header::read(&bytes, previous).ok()?;
    let mut records = header.read_snapshot(&bytes).ok()?;
    let log = header.read_log(&bytes).ok()?;
    if log.torn_bytes > 0 {
        return None;
    }
    records.extend(log.records);
    Some(records)
}

/// When three quarters of the file are history.
fn compaction_threshold(header: &Header) -> u64 {
    header.snapshot_end().saturating_mul(4).saturating_add(MIN_GROWTH)
}

fn file_name(generation: u64) -> String {
    // Zeros in front, so that `ls` shows them in their order.
    format!("{PREFIX}{generation:06}")
}

const PREFIX: &str = "journal.";
/// Not a number, so it is never taken for a generation.
const UNFINISHED: &str = "journal.unfinished";
const MIN_GROWTH: u64 = 256 * 1024;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
