//! What a stream says about its workload by being there, by what it reports, and by ending.
//!
//! For workloads that registered themselves the registry keeps account. A pod is as its API server says, which tells
//! every replica the same, while a stream tells one of them. Of any other, that it is there is its operator's word;
//! the stream only adds health: what the proxy reports, and, once it has been gone for a moment, that its last
//! word is old. The moment is for reconnects, which are normal.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weft_manifests::set::Change;
use weft_policy::endpoint::Health;
use weft_policy::moment::Moment;
use weft_policy::object::ObjectRef;
use weft_proto::v1;

use super::service::Discovery;
use crate::aside::Aside;
use crate::registration::{Registry, Session};
use crate::report::Proxies;
use crate::world::WorldHandle;

/// A workload's being there. Dropping it ends that.
#[derive(Debug)]
pub(super) enum Presence {
    Pod,
    Registered { registry: Arc<Registry>, session: Session, started: Instant, aside: Aside },
    Declared { world: WorldHandle, proxies: Arc<Proxies>, workload: ObjectRef, health: Health },
}

impl Presence {
    pub(super) fn registered(service: &Discovery, session: Session) -> Self {
        Self::Registered {
            registry: Arc::clone(&service.registry),
            session,
            started: service.started,
            aside: service.aside,
        }
    }

    /// Nothing is said of it before its proxy's first report: the application may not be there yet.
    pub(super) fn declared(service: &Discovery, workload: ObjectRef) -> Self {
        Self::Declared {
            world: service.world.clone(),
            proxies: Arc::clone(&service.proxies),
            workload,
            health: Health::Healthy,
        }
    }

    /// Waits until the workload is registered no more. One that is declared, or a pod, is what the world says.
    pub(super) async fn removed(&mut self) {
        match self {
            Self::Registered { session, .. } => session.removed().await,
            Self::Pod | Self::Declared { .. } => std::future::pending().await,
        }
    }

    /// Takes note of what the proxy reports.
    pub(super) async fn report(&mut self, report: &v1::Report) {
        match self {
            Self::Pod => {}
            Self::Registered { registry, session, aside, .. } => {
                let (registry, session, report) = (Arc::clone(registry), session.clone(), report.clone());
                // It waits for the disk when the workload is going.
                let reported = aside.done(move || registry.report(&session, &report)).await;
                if reported.is_none() {
                    tracing::error!("taking a report panicked; a defect");
                }
            }
            Self::Declared { world, workload, health, .. } => {
                *health = health_of(report);
                world.learn(vec![Change::Health { workload: workload.clone(), health: *health }]).await;
            }
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        // Outside of a runtime the control plane is ending, and streams that end with it say nothing of anybody.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        match self {
            Self::Pod => {}
            Self::Registered { registry, session, started, aside } => {
                let (registry, session) = (Arc::clone(registry), session.clone());
                let now = Moment::after_start(started.elapsed());
                aside.begin(&runtime, move || registry.detach(&session, now));
            }
            Self::Declared { health: Health::Draining, .. } => {}
            Self::Declared { world, proxies, workload, .. } => {
                let (world, proxies, workload) = (world.clone(), Arc::clone(proxies), workload.clone());
                runtime.spawn(async move {
                    tokio::time::sleep(RECONNECT).await;
                    if !proxies.is_attached(&format!("{}/{}", workload.namespace, workload.name)) {
                        world.learn(vec![Change::Health { workload, health: Health::Unconfirmed }]).await;
                    }
                });
            }
        }
    }
}

fn health_of(report: &v1::Report) -> Health {
    match (report.phase(), report.application()) {
        (v1::report::Phase::Going, _) | (_, v1::Health::Draining) => Health::Draining,
        (_, v1::Health::Unhealthy) => Health::Unhealthy,
        (v1::report::Phase::Starting, _) | (_, v1::Health::Unconfirmed) => Health::Unconfirmed,
        (_, v1::Health::Healthy) => Health::Healthy,
    }
}

/// Within so long a proxy that lost its stream has another one.
const RECONNECT: Duration = Duration::from_secs(3);
