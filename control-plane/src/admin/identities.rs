//! Who is refused before a certificate expires, and who is forgotten: an operator's orders about somebody.
//!
//! A denial is published with the trust bundle. Every proxy that has acknowledged it has closed what it concerns; those
//! that have not are named.

use std::sync::Arc;
use std::time::SystemTime;

use tonic::Status;
use weft_proto::v1;
use weft_proto::v1::denial::Whom;

use super::{Admin, blocking};
use crate::custody::{Custody, CustodyError, Denial};
use crate::journal::record::Name;

/// Denies or allows again, and says what holds now; without anybody named it only says that.
pub(super) async fn change(
    admin: &Admin,
    request: v1::DenyRequest,
    order: fn(&Custody, &Denial, SystemTime) -> Result<bool, CustodyError>,
) -> Result<v1::DenyReply, Status> {
    let mut changed = false;
    if let Some(denial) = request.denial {
        let whom = denial
            .whom
            .ok_or_else(|| Status::invalid_argument("say whom: an identity, or a serial number"))?;
        let denial = Denial::of(&whom).map_err(|bad| Status::invalid_argument(bad.to_string()))?;
        let custody = Arc::clone(&admin.custody);
        let done = blocking(move || order(&custody, &denial, SystemTime::now())).await?;
        changed = done.map_err(|error| Status::new(error.code(), error.to_string()))?;
    }
    let bundle = admin.custody.bundle();
    let identities = bundle.denied().identities.iter().map(|id| Whom::Identity(id.to_string()));
    let serials = bundle.denied().serials.iter().map(|serial| Whom::Serial(serial.to_string()));
    let behind = |sequence: Option<u64>| sequence.is_none_or(|sequence| sequence < bundle.sequence());
    let sequences = admin.proxies.trust_sequences().into_iter();
    Ok(v1::DenyReply {
        denied: identities.chain(serials).map(|whom| v1::Denial { whom: Some(whom) }).collect(),
        changed,
        waiting_for: sequences
            .filter(|(_, sequence)| behind(*sequence))
            .map(|(workload, _)| workload)
            .collect(),
    })
}

/// Forgets a workload. Its service account may have others, which renew as before: to shut out a stolen certificate is
/// what denying is for.
pub(super) async fn forget(admin: &Admin, workload: &str) -> Result<v1::ForgetReply, Status> {
    let name: Name = workload
        .parse()
        .map_err(|bad: crate::journal::record::BadName| Status::invalid_argument(bad.to_string()))?;
    let declared = admin
        .world
        .view()
        .set
        .workload(&name.namespace, &name.name)
        .is_some_and(|workload| workload.origin != weft_manifests::crd::workload::Origin::SelfRegistered);
    let registry = Arc::clone(&admin.registry);
    let forgotten = blocking(move || registry.forget(&name)).await?;
    let known = forgotten.map_err(|error| Status::unavailable(error.to_string()))?;
    if known {
        tracing::warn!(workload, "forgotten: it needs a new join token to come back");
    }
    Ok(v1::ForgetReply { known, declared })
}
