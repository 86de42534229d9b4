//! What the gate beneath hyper and the code above it tell each other about one connection.
//!
//! Both run on the thread that owns the connection, so nothing here is contended; it is atomic because hyper wants what
//! it carries to be `Send`.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// Shared by a gate and those above it.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    /// Requests that are being answered, each until its response has been written.
    busy: AtomicU8,
    /// Nothing has been on its way for a while.
    resting: AtomicBool,
    /// What came of a request to leave HTTP.
    answer: AtomicU8,
    /// Whoever reads, where it waits for an answer and not for a byte: hyper would not look again.
    reader: Mutex<Option<Waker>>,
}

/// What came of a request to leave HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing yet.
    Open,
    /// What follows is HTTP.
    Stay,
    /// What follows is not.
    Leave,
}

/// A request that is being answered, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Switch>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

impl Switch {
    /// A request is being answered from now on.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Relaxed);
        Busy(Arc::clone(self))
    }

    /// Whether a request is being answered.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed) > 0
    }

    /// Nothing has been on its way for a while: nobody need read here until the far end stirs.
    pub(super) fn come_to_rest(&self) {
        self.resting.store(true, Relaxed);
    }

    /// Something has come in. It may be in the very moment in which the connection came to rest, before anybody asked.
    pub(super) fn stir(&self) {
        self.resting.store(false, Relaxed);
    }

    /// Whether it has come to rest since somebody last asked, and nothing has come in after.
    pub(crate) fn takes_rest(&self) -> bool {
        self.resting.load(Relaxed) && self.resting.swap(false, Relaxed)
    }

    /// A request that asked to leave HTTP is answered.
    pub(crate) fn answer(&self, leave: bool) {
        self.answer.store(if leave { LEAVE } else { STAY }, Relaxed);
        self.wake();
    }

    /// Wakes `reader` when a request to leave HTTP is answered.
    pub(super) fn wait_for_answer(&self, reader: &Waker) {
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader.clone());
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take() {
            reader.wake();
        }
    }

    /// Takes what was answered.
    pub(super) fn take_answer(&self) -> Answer {
        match self.answer.swap(OPEN, Relaxed) {
            OPEN => Answer::Open,
            STAY => Answer::Stay,
            _ => Answer::Leave,
        }
    }
}

const OPEN: u8 = 0;
const STAY: u8 = 1;
const LEAVE: u8 = 2;
