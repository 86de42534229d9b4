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
    let named =
        |addr| OriginalDst::named(addr, &shared.own).map(OriginalDst::addr).map_err(|_| Refusal::Loop);
    let (host, port) = match target {
        Target::Addr(addr) => return named(*addr),
        Target::Name { host, port } => (&**host, *port),
    };
    let found = tokio::net::lookup_host((host, port)).await.map_err(|_| Refusal::ConnectFailed)?;
    // One address that leads to us makes a name that leads to us.
    let found = found.map(named).collect::<Result<Vec<_>, _>>()?;
    found.first().copied().ok_or(Refusal::ConnectFailed)
}
