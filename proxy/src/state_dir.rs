//! What a proxy keeps between two starts: files that only their owner reads, each written whole.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Puts `bytes` in place of the file `name`: whoever reads it meanwhile, or after a crash, finds the old or the new ones.
///
/// # Errors
/// What the system says. The old file is still there.
pub(crate) fn write(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let new = dir.join(format!("{name}.new"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(new, dir.join(name))
}

/// The file `name`.
///
/// # Errors
/// What the system says, and [`io::ErrorKind::FileTooLarge`] if it has more than `most` bytes.
pub(crate) fn read(dir: &Path, name: &str, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(dir.join(name))?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_is_written_is_read_again_by_its_owner_alone_and_not_without_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        assert_eq!(read(&below, "x", 9).unwrap_err().kind(), io::ErrorKind::NotFound);
        for bytes in [&b"longer"[..], b"short", b""] {
            write(&below, "x", bytes).unwrap();
            assert_eq!(read(&below, "x", 6).unwrap(), bytes);
        }
        write(&below, "x", b"seven b").unwrap();
        assert_eq!(read(&below, "x", 6).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let mode = fs::metadata(below.join("x")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&below).unwrap().count(), 1);
    }
}
