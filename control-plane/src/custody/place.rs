//! The directory itself: made private, and claimed for this process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::{CustodyError, Init};
use crate::journal::Directory;

/// The directory at `path`, with the lock that is held as long as the file is open. The system lets go of it
/// when the process ends, however it ends.
pub(crate) fn claim(path: &Path, init: Init) -> Result<(Directory, File), CustodyError> {
    let failed = |source| CustodyError::Directory { path: path.to_path_buf(), source };
    if !path.exists() {
        if init == Init::No {
            return Err(CustodyError::Empty);
        }
        DirBuilder::new().recursive(true).mode(PRIVATE).create(path).map_err(failed)?;
    }
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the state directory was open to other users; it is 0700 now");
        fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE)).map_err(failed)?;
    }
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"));
    let lock = lock.map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok((Directory::new(path), lock)),
        Err(TryLockError::WouldBlock) => Err(CustodyError::Locked { path: path.to_path_buf() }),
        Err(TryLockError::Error(source)) => Err(failed(io::Error::other(source))),
    }
}

const PRIVATE: u32 = 0o700;
