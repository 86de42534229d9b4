//! Waiting for what has to become true, and never longer than it takes.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Long enough for a loaded machine with two cores. A test that passes never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until `probe` gives an answer.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for.
pub async fn eventually<T>(what: impl Display, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain until {what}");
        sleep(PAUSE).await;
    }
}

/// Waits for something that ends by itself.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for.
pub async fn soon<T>(what: impl Display, task: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, task).await {
        Ok(done) => done,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

const PAUSE: Duration = Duration::from_millis(5);
