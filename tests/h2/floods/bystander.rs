//! What somebody else sees of a flood: how long his requests take, in quiet and under floods by turns.
//!
//! Both are measured again and again in one run, and each turn is compared with the one before it: a machine that is
//! busy with other things is busy in both. Each of them has a thread of his own, so that the bystander does not wait for a
//! flood to be written; and who floods, who would have a machine of his own, gets what the others leave of this one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::sleep;
use weft_tests::call::{self, Client, Form};

use super::attacks::Flood;
use super::send;

/// What was measured: the middle of all turns.
#[derive(Debug)]
pub(super) struct Waits {
    /// Nobody floods: of a hundred requests, all but one are answered within this.
    pub(super) quiet: Duration,
    /// The same, under floods.
    pub(super) loud: Duration,
    /// How many times longer the second is than the first, turn by turn.
    pub(super) ratio: f64,
}

/// Requests in all turns together.
pub(super) const ASKED: usize = 2 * TURNS * EACH;

/// Measures, and goes through the floods meanwhile as often as there is time for.
///
/// # Panics
/// If any of the bystander's requests fails.
pub(super) async fn waits(addr: SocketAddr, floods: Arc<[Flood]>) -> Waits {
    let next = Arc::new(AtomicUsize::new(0));
    let (mut quiet, mut loud, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let before = p99_of(addr).await;
        let (floods, next) = (Arc::clone(&floods), Arc::clone(&next));
        let (stop, stopped) = oneshot::channel::<()>();
        let flooding = std::thread::spawn(move || {
            give_way();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let floods = async {
                    loop {
                        send(addr, &floods[next.fetch_add(1, Ordering::Relaxed) % floods.len()]).await;
                        sleep(BETWEEN_FLOODS).await;
                    }
                };
                tokio::select! {
                    () = floods => {}
                    _ = stopped => {}
                }
            });
        });
        let under = p99_of(addr).await;
        stop.send(()).expect("a flood has failed");
        flooding.join().expect("a flood has failed");
        ratios.push(under.as_secs_f64() / before.as_secs_f64());
        quiet.push(before);
        loud.push(under);
    }
    println!("a bystander's p99, quiet: {quiet:?}; under floods: {loud:?}; ratios: {ratios:.2?}");
    Waits {
        quiet: middle(quiet, Duration::cmp),
        loud: middle(loud, Duration::cmp),
        ratio: middle(ratios, f64::total_cmp),
    }
}

/// Puts this thread behind all others.
fn give_way() {
    let me = rustix::thread::gettid();
    rustix::process::setpriority_process(Some(me), 19).expect("anybody may wait longer");
}

/// One turn: one request after the other, on a connection and a thread of their own.
async fn p99_of(addr: SocketAddr) -> Duration {
    let turn = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut client = Client::connect(addr, Form::Origin).await;
            let mut took = Vec::with_capacity(EACH);
            while took.len() < EACH {
                sleep(PAUSE).await;
                let begun = Instant::now();
                let reply = client.send(call::get("http://api.shop/bystander")).await;
                assert_eq!(reply.status, 200, "{reply:?}");
                took.push(begun.elapsed());
            }
            took.sort_unstable();
            took[EACH * 99 / 100]
        })
    };
    tokio::task::spawn_blocking(turn).await.expect("every request of a bystander is answered")
}

fn middle<T: Copy>(mut all: Vec<T>, order: impl Fn(&T, &T) -> std::cmp::Ordering) -> T {
    all.sort_unstable_by(order);
    all[all.len() / 2]
}

const TURNS: usize = 9;
const EACH: usize = 500;
const PAUSE: Duration = Duration::from_millis(1);
const BETWEEN_FLOODS: Duration = Duration::from_millis(10);
