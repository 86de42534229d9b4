//! What a gate waits for when no bytes come, and for how long. One timer, made when it is first needed: most heads come
//! in one piece, and a connection that is used never looks at it.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// What the gate waits for when it waits for bytes, and until when.
pub(super) struct Waiting {
    pub(super) what: Wait,
    pub(super) until: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The rest of a head.
    Head,
    /// More of a body, or another request; so many ticks have passed since the last byte.
    Quiet { ticks: u16 },
    /// An answer to somebody who has closed its side: it may listen still, or be gone.
    HalfClosed,
    /// The far end's last bytes.
    Linger { left: usize },
}

impl Waiting {
    /// Begins now.
    pub(super) fn new(what: Wait, time: Duration) -> Self {
        Self { what, until: Box::pin(tokio::time::sleep(time)) }
    }

    /// Begins again.
    pub(super) fn again(&mut self, time: Duration) {
        self.until.as_mut().reset(Instant::now() + time);
    }
}
