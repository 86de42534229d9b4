//! Asks the proxy's own application whether it is well, over loopback, as its `Workload` says to.
//!
//! Whoever is beside the application is who can tell: others would have to come through its policies, and every proxy
//! probing every application is traffic that grows with the square of the mesh. What is found here is reported to the
//! control plane, which tells the callers.
//!
//! [`Judge`] is the rule, with the time as an argument; [`watch`] is the loop around it; [`probe()`] is one question.

mod judge;
mod failure;
mod probe;
mod grpc;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use tokio::sync::watch::Sender;
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use weft_policy::health::HealthCheck;

pub use failure::Failure;
pub use judge::{Judge, Thresholds};
pub(crate) use probe::ask;
pub use probe::probe;

/// What the checks of an application say, together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AppHealth {
    /// At least one check has not had an answer yet, and none has failed.
    #[default]
    Unknown,
    /// Every check is satisfied. So is an application without checks.
    Well,
    /// At least one is not.
    Sick {
        /// Which port, and what happened, for a person.
        why: String,
    },
}

/// Runs `checks` against `host` until dropped, and sends what they say together whenever that changes. Every check
/// has a task and a connection of its own; a check is not repeated before it has ended.
pub async fn watch(checks: Vec<HealthCheck>, host: IpAddr, told: Sender<AppHealth>) {
    let (found, mut findings) = tokio::sync::mpsc::channel(checks.len().max(1));
    let mut states: Vec<AppHealth> = checks.iter().map(|_| AppHealth::Unknown).collect();
    let mut running = JoinSet::new();
    for (at, check) in checks.into_iter().enumerate() {
        let found = found.clone();
        running.spawn(async move {
            let mut judge = Judge::new(Thresholds::from(&check), Instant::now());
            let address = SocketAddr::new(host, check.port);
            loop {
                sleep_until(judge.due().into()).await;
                let outcome = probe(&check, address).await;
                let well = judge.record(outcome.is_ok(), Instant::now(), check.interval);
                let state = match (well, outcome) {
                    (None, _) => continue,
                    (Some(true), _) => AppHealth::Well,
                    (Some(false), Err(failure)) => {
                        AppHealth::Sick { why: format!("port {}: {failure}", check.port) }
                    }
                    // A sick application that answers well, and has not yet answered so often enough.
                    (Some(false), Ok(())) => {
                        AppHealth::Sick { why: format!("port {}: not yet well again", check.port) }
                    }
                };
                if found.send((at, state)).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(found);
    loop {
        told.send_if_modified(|now| {
            let next = together(&states);
            let changed = *now != next;
            *now = next;
            changed
        });
        let Some((at, state)) = findings.recv().await else { break };
        if let Some(slot) = states.get_mut(at) {
            *slot = state;
        }
    }
    // Without checks there is nothing to run; the word that the application is well must outlive this call's caller.
    std::future::pending::<()>().await;
}

/// Sick if any is; well if all are.
fn together(states: &[AppHealth]) -> AppHealth {
    if let Some(sick) = states.iter().find(|state| matches!(state, AppHealth::Sick { .. })) {
        return sick.clone();
    }
    if states.contains(&AppHealth::Unknown) { AppHealth::Unknown } else { AppHealth::Well }
}

#[cfg(test)]
mod tests;
