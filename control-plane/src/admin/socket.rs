//! The operator's socket: `admin.sock` in the state directory, for its owner alone.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Listens at `path`, in place of a socket that an earlier process has left there.
///
/// The directory is private to its owner already, so nobody gets in between creation and `chmod`.
///
/// # Errors
/// [`SocketError`] if something else than a socket is there, or the directory does not allow it.
pub fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError { path: path.to_path_buf(), source };
    match fs::symlink_metadata(path) {
        Ok(left) if left.file_type().is_socket() => fs::remove_file(path).map_err(failed)?,
        Ok(_) => return Err(failed(io::Error::other("something that is no socket has this name"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// There is no socket for the operator.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {path}: {source}; a path of more than about 100 bytes is too long for a socket")]
pub struct SocketError {
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}
