//! Those who ask the proxy itself: a few people and programs, one request with a small head a connection.
//!
//! Bound: of more connections than [`MAX_OPEN`] the oldest are dropped, so that whoever holds many of them keeps nobody else
//! from an answer; and each has a limit as a whole, which is its listener's to set.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// Has each connection answered, within `whole`, until dropped.
pub(crate) async fn serve<F>(listener: TcpListener, whole: Duration, answer_one: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut open = JoinSet::new();
    let mut oldest_first = VecDeque::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    sleep(BREATHER).await; // out of descriptors is a pause, not our end
                    continue;
                };
                oldest_first.retain(|asker: &AbortHandle| !asker.is_finished());
                if oldest_first.len() >= MAX_OPEN
                    && let Some(oldest) = oldest_first.pop_front()
                {
                    oldest.abort();
                }
                let answering = answer_one(stream);
                oldest_first.push_back(open.spawn(async move { drop(timeout(whole, answering).await) }));
            }
            Some(_) = open.join_next() => {}
        }
    }
}

/// How one of them is spoken to.
pub(crate) fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .keep_alive(false);
    builder
}

/// A kubelet has a connection for each probe that is under way, a scraper has one.
const MAX_OPEN: usize = 64;
/// How long a head may take.
const HEAD: Duration = Duration::from_secs(5);
/// Most a head may have, in bytes and in fields.
const MAX_HEAD: usize = 16 << 10;
const MAX_FIELDS: usize = 50;
/// How long to let others free descriptors.
const BREATHER: Duration = Duration::from_millis(50);
