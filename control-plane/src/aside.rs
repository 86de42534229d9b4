//! Where work is done that waits for the disk.
//!
//! A task that waits for a disk holds up all others of its thread, so the program has such work done on threads that may
//! wait. On a disk that is memory nobody waits, and work that is done where it is asked for is done in the order in which it
//! is asked for: a simulation depends on that.

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// Where it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aside {
    /// On threads that may wait.
    #[default]
    Threads,
    /// Where it is asked for.
    Here,
}

impl Aside {
    /// Has it done. `None` if it panicked, or everything is ending.
    pub async fn done<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        match self {
            Self::Threads => spawn_blocking(work).await.ok(),
            Self::Here => Some(work()),
        }
    }

    /// Has it done without waiting for it.
    pub fn begin(self, runtime: &Handle, work: impl FnOnce() + Send + 'static) {
        match self {
            Self::Threads => drop(runtime.spawn_blocking(work)),
            Self::Here => work(),
        }
    }
}
