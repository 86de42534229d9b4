//! The few things that the state directory asks of a disk, so that tests can stop any of them after any byte.
//!
//! Every write is through to the disk when it returns. Names are relative, with at most one directory in front.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A directory tree of two levels. Each method does one thing; a crash may fall between any two, or within.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Names of the files in `directory` ("" is the top). None if there is no such directory.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;

    /// The whole file.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::FileTooLarge`] over [`MAX_FILE_BYTES`].
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Makes a file with these bytes, or puts them in place of all there was, and syncs it (not its directory).
    ///
    /// # Errors
    /// What the system says; the file may then be there in part.
    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes at `offset`, which is at most the file's length, and syncs.
    ///
    /// # Errors
    /// What the system says; some of the bytes may be there.
    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to `len` bytes and syncs.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, name: &str, len: u64) -> io::Result<()>;

    /// Puts `from` in the place of `to`. Holds across a power cut only after [`sync_directory`](Self::sync_directory).
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Syncs the directory that holds `name`.
    ///
    /// # Errors
    /// What the system says.
    fn sync_directory(&self, name: &str) -> io::Result<()>;
}

/// Puts `bytes` in place of the file, or of nothing: whole, or not at all, whatever happens meanwhile.
///
/// # Errors
/// What the system says. The file is then as before, or (if only its directory could not be synced) as after.
pub fn replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = format!("{name}.unfinished");
    disk.create(&unfinished, bytes)?;
    disk.rename(&unfinished, name)?;
    disk.sync_directory(name)
}

/// A directory of the machine's file system. Files are 0600, directories 0700.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// The directory at `path`, which exists.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    fn parent_of(&self, name: &str) -> PathBuf {
        name.rsplit_once('/').map_or_else(|| self.0.clone(), |(directory, _)| self.0.join(directory))
    }
}

impl Disk for Directory {
    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.0.join(directory)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // A name that is not UTF-8 is none of ours.
        entries
            .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
            .collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.0.join(name))?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let parent = self.parent_of(name);
        if !parent.exists() {
            fs::DirBuilder::new().mode(0o700).create(&parent)?;
            File::open(&self.0)?.sync_all()?;
        }
        let path = self.0.join(name);
        // Never written through a link, and never with the looser mode of a file that was there.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.0.join(name))?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.0.join(name))?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_directory(&self, name: &str) -> io::Result<()> {
        File::open(self.parent_of(name))?.sync_all()
    }
}

/// 256 MiB: a hundred thousand registrations need a tenth of it.
pub const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;
