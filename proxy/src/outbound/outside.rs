//! Destinations that are no service of the mesh: passed through as they are, and counted, unless that is denied.

use std::net::SocketAddr;

use weft_policy::refuse::Refusal;

use crate::config::OnUnknown;
use crate::original_dst::OriginalDst;
use crate::shared::Shared;
use crate::way_in::Target;

/// Where such a destination is dialled.
///
/// # Errors
/// `UnknownDestination` where going outside is denied, `Loop` for our own listeners, `ConnectFailed` for a name
/// that does not resolve.
pub(super) async fn resolve(shared: &Shared, target: &Target) -> Result<SocketAddr, Refusal> {
    if shared.config.unknown == OnUnknown::Deny {
        return Err(Refusal::UnknownDestination);
    }
    let addr = match target {
        Target::Addr(addr) => *addr,
        Target::Name { host, port } => tokio::net::lookup_host((&**host, *port))
            .await
            .ok()
            .and_then(|mut found| found.next())
            .ok_or(Refusal::ConnectFailed)?,
    };
    OriginalDst::named(addr, &shared.own).map(OriginalDst::addr).map_err(|_| Refusal::Loop)
}
