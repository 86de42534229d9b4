//! An origin that writes down every byte it gets, and answers only what is whole and in the one form that a proxy may
//! send.

mod h1;
mod h2;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use weft_tests::eventually::PATIENCE;
use weft_tests::peer::Peer;

use crate::reading::Seen;

/// What it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    H1,
    H2,
}

/// Something that arrived.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    Whole(Seen),
    /// A request that was cut short, or bytes that no proxy may send.
    Broken {
        raw: Vec<u8>,
        why: String,
    },
    /// Bytes after the protocol was switched.
    Tunnelled(Vec<u8>),
}

/// A running origin. Dropping it closes everything of it.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) addr: SocketAddr,
    log: Arc<Mutex<Log>>,
    _peer: Peer,
}

/// What has arrived since the last [`Recorder::mark`].
#[derive(Debug, Default)]
struct Log {
    arrivals: Vec<Arrival>,
    /// Of requests: on HTTP/1 every byte, on HTTP/2 what HEADERS, CONTINUATION and DATA frames carry.
    bytes: usize,
    /// Body bytes of HTTP/2 and all bytes of HTTP/1, to look for text in.
    raw: Vec<u8>,
    /// Requests that have begun and not ended, however.
    open: usize,
}

impl Recorder {
    pub(crate) async fn start(speaks: Speaks) -> Self {
        let log = Arc::<Mutex<Log>>::default();
        let shared = Arc::clone(&log);
        let peer = Peer::start(move |stream| {
            let log = Arc::clone(&shared);
            async move {
                match speaks {
                    Speaks::H1 => h1::serve(stream, log).await,
                    Speaks::H2 => h2::serve(stream, log).await,
                }
                Ok(())
            }
        })
        .await;
        Self { addr: peer.addr, log, _peer: peer }
    }

    /// Forgets what has arrived so far.
    pub(crate) fn mark(&self) {
        let mut log = lock(&self.log);
        log.arrivals.clear();
        log.raw.clear();
        log.bytes = 0;
    }

    /// How many bytes of requests have arrived since the mark.
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.log).bytes
    }

    /// Waits until this has arrived. In a body it may come in any number of chunks: what a client sends byte by byte is
    /// passed on as it comes, so other bytes may stand between these.
    pub(crate) async fn until(&self, text: &[u8]) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while !has_in_order(&lock(&self.log).raw, text) {
            if Instant::now() > end {
                return Err(format!("{} never comes to the origin", show(text)));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// What has arrived since the mark, once nothing is half there; an error if something stays so.
    pub(crate) async fn arrivals(&self) -> Result<Vec<Arrival>, String> {
        let end = Instant::now() + PATIENCE;
        loop {
            {
                let log = lock(&self.log);
                if log.open == 0 {
                    return Ok(log.arrivals.clone());
                }
                if Instant::now() > end {
                    return Err(format!("{} requests stay half there: {}", log.open, show(&log.raw)));
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Bytes for a person, the beginning and the end of many.
pub(crate) fn show(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    match text.len() {
        0..=400 => text,
        length => format!("{}…{} ({} bytes)", &text[..200], &text[length - 100..], bytes.len()),
    }
}

/// Whether `text` stands in `raw`; or its bytes, in their order, behind the head.
fn has_in_order(raw: &[u8], text: &[u8]) -> bool {
    if raw.windows(text.len()).any(|window| window == text) {
        return true;
    }
    let body = raw.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |head| head + 4);
    let mut rest = raw[body..].iter();
    text.iter().all(|wanted| rest.any(|byte| byte == wanted))
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

const PAUSE: Duration = Duration::from_millis(2);
