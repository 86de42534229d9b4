//! What is done now and then beside the requests: health checks as told, and numbers that nobody counts in passing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use weft_policy::breaker::BreakerState;
use weft_policy::health::HealthCheck;
use weft_policy::object::ServicePort;

use crate::health::{self, AppHealth};
use crate::observe::metrics::BreakerMetrics;
use crate::shared::Shared;

/// Runs whatever checks the control plane says to run.
pub(super) async fn check_health(
    mut checks: watch::Receiver<Vec<HealthCheck>>,
    host: IpAddr,
    told: watch::Sender<AppHealth>,
) {
    loop {
        let wanted = checks.borrow_and_update().clone();
        if wanted.is_empty() {
            told.send_replace(AppHealth::Well); // nobody asks, so nobody says otherwise
        }
        tokio::select! {
            () = health::watch(wanted, host, told.clone()), if !checks.borrow().is_empty() => {}
            changed = checks.changed() => if changed.is_err() { return },
        }
    }
}

/// What metrics need done now and then.
pub(super) async fn keep_house(shared: Arc<Shared>) {
    let mut beat = tokio::time::interval(HOUSE);
    let mut breakers = HashMap::new();
    for beats in 1u64.. {
        beat.tick().await;
        if beats.is_multiple_of(SWEEP_EVERY) {
            shared.observe.metrics.sweep();
        }
        breakers = count_breakers(&shared, breakers);
        let not_after = shared.identity.generation().credentials().us().not_after;
        let since = not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        shared.observe.metrics.certificate_expiry().set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    }
}

/// How many endpoints of each backend have their breaker closed, open or half open. The handles are held for as
/// long as there is such a backend: a series that nobody holds is forgotten.
fn count_breakers(shared: &Shared, mut held: Breakers) -> Breakers {
    let states: HashMap<_, _> = shared.learned.breakers().into_iter().collect();
    let mut counted = Breakers::new();
    for set in shared.current.snapshot().endpoints.values() {
        let (mut closed, mut open, mut half_open) = (0, 0, 0);
        for endpoint in set.endpoints() {
            match states.get(&(endpoint.addr, endpoint.target_port)) {
                Some(BreakerState::Open { .. }) => open += 1,
                Some(BreakerState::Probing { .. }) => half_open += 1,
                Some(BreakerState::Closed) | None => closed += 1,
            }
        }
        let handle =
            held.remove(&set.of).unwrap_or_else(|| shared.observe.metrics.breakers(&set.of.to_string()));
        handle.set(closed, open, half_open);
        counted.insert(set.of.clone(), handle);
    }
    counted
}

type Breakers = HashMap<ServicePort, BreakerMetrics>;

/// How old counted breaker states and the certificate's expiry may be in the metrics.
const HOUSE: Duration = Duration::from_secs(5);
/// Beats of [`HOUSE`] after which metrics of what is gone may go.
const SWEEP_EVERY: u64 = 60;
