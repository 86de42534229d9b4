//! Panics of this process: each is a defect of ours that ended one task.
//!
//! A connection is a task, and so is every stream of an HTTP/2 connection: what else a worker carries goes on. So a
//! panic is easily overlooked, and is counted and logged where it happens. The count stands in the metrics from the
//! beginning, at 0: an alert on it needs no request first.

use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts and logs panics from now on, and then does what was done about them before.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            COUNT.fetch_add(1, Ordering::Relaxed);
            log(panic);
            before(panic);
        }));
    });
}

/// How many there have been since [`watch`] was first called.
#[must_use]
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

fn log(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    // The words of a panic may hold what a peer has sent, and are logged with everything escaped that could be more
    // than a word.
    let words = panic.payload_as_str().unwrap_or_default();
    tracing::error!(%place, words = ?words, "a task panicked: a defect, please report it; everything else goes on");
}

static COUNT: AtomicU64 = AtomicU64::new(0);

#[cfg(test)]
mod tests;
