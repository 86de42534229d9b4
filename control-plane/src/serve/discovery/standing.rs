//! Whether an identity may speak for a workload: asked when a stream begins, and again whenever the workload changes.
//!
//! A workload that an operator declared is what he said it is, whatever it says itself. Any other is whoever
//! registered it, within what its join token permits; of those the registry is asked and not the world, which hears of
//! them a moment later.

use std::sync::Arc;

use tonic::Status;
use weft_manifests::crd::workload::Origin;
use weft_policy::identity::SpiffeId;
use weft_policy::object::{Kind, ObjectRef};
use weft_proto::name::WorkloadName;
use weft_proto::v1;

use super::presence::Presence;
use super::service::Discovery;

/// Whether this workload is, now, this identity's.
pub(super) fn holds(service: &Discovery, workload: &WorkloadName, id: &SpiffeId) -> bool {
    match declared(service, workload) {
        Some(own) => own == *id,
        None => service.registry.is_of(&workload.to_string(), id),
    }
}

/// Lets a proxy that is `id` speak for a workload; `claim` is what it says of it. One that comes back without saying
/// anything is what it said before.
///
/// # Errors
/// How the stream is to end.
pub(super) async fn admit(
    service: &Discovery,
    id: &SpiffeId,
    workload: &WorkloadName,
    claim: Option<v1::Registration>,
) -> Result<Presence, Status> {
    let refused = || {
        Status::permission_denied(format!(
            "{workload} is not a workload of {id}: declare a Workload of that name and service account, or register it \
             with a join token made for it"
        ))
    };
    if let Some(own) = declared(service, workload) {
        let key = ObjectRef::new(Kind::Workload, &workload.namespace, &workload.name);
        return match own {
            own if own != *id => Err(refused()),
            _ if is_pod(service, workload) => Ok(Presence::Pod),
            _ => Ok(Presence::declared(service, key)),
        };
    }
    let (registry, id, name) = (Arc::clone(&service.registry), id.clone(), workload.to_string());
    // It waits for the disk.
    let attached = service.aside.done(move || match claim {
        Some(claim) => registry.attach(&id, &name, &claim).map(Some),
        None => registry.attach_as_before(&id, &name),
    });
    let attached = attached.await.ok_or_else(|| Status::internal("a registration panicked; a defect"))?;
    let session = attached.map_err(|error| Status::new(error.code(), error.to_string()))?;
    Ok(Presence::registered(service, session.ok_or_else(refused)?))
}

fn is_pod(service: &Discovery, workload: &WorkloadName) -> bool {
    let view = service.world.view();
    view.set.workload(&workload.namespace, &workload.name).is_some_and(|found| found.origin == Origin::Pod)
}

/// Whose a declared workload is; `None`: no manifest declares it.
fn declared(service: &Discovery, workload: &WorkloadName) -> Option<SpiffeId> {
    let view = service.world.view();
    if !view.declared.contains_key(&ObjectRef::new(Kind::Workload, &workload.namespace, &workload.name)) {
        return None;
    }
    let found = view.set.workload(&workload.namespace, &workload.name)?;
    SpiffeId::workload(&view.set.settings().trust_domain, &workload.namespace, &found.service_account).ok()
}
