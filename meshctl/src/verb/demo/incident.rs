//! What goes wrong in the demo, on purpose and in this order: one instance of api-v2 stumbles now and then, and
//! nobody notices, because a 503 is tried again; then the other one breaks down altogether until its circuit opens,
//! and comes back.
//!
//! Never both at once: a request that finds both instances failing would fail, and the demo promises that none does.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::mesh::Mesh;
use super::watch::Watch;

/// Makes it happen within `lasts`. Returns after the worst is over; the stumbling goes on.
///
/// # Errors
/// If the applications or the sidecar of web do not answer.
pub(super) async fn happen(mesh: &Mesh, watch: &Watch, lasts: Duration) -> anyhow::Result<()> {
    mesh.fail("api-v2-1", STUMBLE).await?;
    sleep(lasts.mul_f64(0.35)).await;
    mesh.fail("api-v2-1", 0).await?;
    // Requests that it has failed already are tried again within this.
    sleep(SETTLE).await;

    mesh.fail("api-v2-2", 100).await?;
    let give_up = Instant::now() + lasts.mul_f64(0.35);
    while watch.read().await?.opened == 0 && Instant::now() < give_up {
        sleep(LOOK).await;
    }
    mesh.fail("api-v2-2", 0).await?;
    // Until the breaker has rested and its probe has come back well, the other one carries all of v2.
    sleep(lasts.mul_f64(0.15)).await;
    mesh.fail("api-v2-1", STUMBLE).await
}

/// Of a hundred requests. Never two in a row, so no circuit opens for it.
const STUMBLE: u32 = 14;
const SETTLE: Duration = Duration::from_millis(150);
const LOOK: Duration = Duration::from_millis(50);
