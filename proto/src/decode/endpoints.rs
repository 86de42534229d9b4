//! Endpoints: groups are taken apart again, and the set is sorted by address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weft_policy::endpoint::{Endpoint, EndpointSet, Health};

use super::{in_order, optional_text, repeated, service_port};
use crate::field::{Named, Rejected, bounded, parsed, port, required, set, text, unknown};
use crate::v1;

/// The most endpoints of one Service port.
pub(crate) const MAX_ENDPOINTS: usize = 1 << 16;

/// Reads the endpoints of one Service port.
///
/// # Errors
/// The first field that is wrong; an address that stands there twice; weights whose sum leaves 32 bits.
pub fn endpoints(wire: v1::Endpoints) -> Result<EndpointSet, Rejected> {
    let of = required("of", wire.of, service_port)?;
    let groups: Vec<Vec<Endpoint>> = bounded("groups", wire.groups, MAX_ENDPOINTS, endpoint_group)?;
    sound_endpoints(groups.into_iter().flatten().collect())
        .named("groups")
        .map(|endpoints| EndpointSet::new(of, endpoints))
}

/// Reads an address of 6 or 18 bytes.
///
/// # Errors
/// If it has another length, or port 0.
pub fn addr(wire: &[u8]) -> Result<SocketAddr, Rejected> {
    let bad = || Rejected::because("is not 4 or 16 bytes of address and 2 of a port that is not 0");
    let (ip, port) = wire.split_last_chunk::<2>().ok_or_else(bad)?;
    let ip = if let Ok(v4) = <[u8; 4]>::try_from(ip) {
        IpAddr::from(v4)
    } else {
        IpAddr::from(<[u8; 16]>::try_from(ip).map_err(|_| bad())?)
    };
    match u16::from_be_bytes(*port) {
        0 => Err(bad()),
        port => Ok(SocketAddr::new(ip, port)),
    }
}

/// Endpoints as a set has them: sorted, each address once, weights that can be added up.
pub(crate) fn sound_endpoints(mut endpoints: Vec<Endpoint>) -> Result<Vec<Endpoint>, Rejected> {
    if endpoints.len() > MAX_ENDPOINTS {
        let found = endpoints.len();
        return Err(Rejected::because(format!(
            "have {found} endpoints, of which {MAX_ENDPOINTS} are allowed"
        )));
    }
    endpoints.sort_by_key(|endpoint| endpoint.addr);
    if let Some(twice) = repeated(&endpoints, |endpoint| endpoint.addr) {
        return Err(Rejected::because(format!("have {} twice", twice.addr)));
    }
    sum_of_weights(endpoints.iter().map(|endpoint| endpoint.weight))?;
    Ok(endpoints)
}

/// Weights are added up in 32 bits by whoever draws among them.
pub(crate) fn sum_of_weights(weights: impl Iterator<Item = u32>) -> Result<(), Rejected> {
    weights
        .map(u64::from)
        .try_fold(0u64, |sum, weight| Some(sum + weight).filter(|&sum| sum <= u64::from(u32::MAX)))
        .map(drop)
        .ok_or_else(|| Rejected::because("have weights whose sum is over 4294967295"))
}

/// Takes a group apart.
pub(crate) fn endpoint_group(wire: v1::EndpointGroup) -> Result<Vec<Endpoint>, Rejected> {
    let identity = set(&wire.identity).map(parsed).transpose().named("identity")?;
    let zone = optional_text(&wire.zone).named("zone")?;
    let target_port = port(wire.target_port).named("target_port")?;
    bounded("endpoints", wire.endpoints, MAX_ENDPOINTS, |wire| {
        if wire.weight == 0 {
            return Err(Rejected::because("is 0").under("weight"));
        }
        Ok(Endpoint {
            name: text(&wire.name).named("name")?.into(),
            addr: addr(&wire.addr).named("addr")?,
            target_port,
            identity: identity.clone(),
            zone: zone.as_ref().map(Arc::clone),
            weight: wire.weight,
            health: health(wire.health).named("health")?,
        })
    })
}

/// Addresses that a patch removes.
pub(crate) fn endpoints_removed(wire: &[Vec<u8>]) -> Result<Vec<SocketAddr>, Rejected> {
    bounded("remove", wire, MAX_ENDPOINTS, |bytes| addr(bytes)).map(in_order)
}

fn health(wire: i32) -> Result<Health, Rejected> {
    Ok(match v1::Health::try_from(wire).map_err(|_| unknown("health", wire))? {
        v1::Health::Healthy => Health::Healthy,
        v1::Health::Unconfirmed => Health::Unconfirmed,
        v1::Health::Draining => Health::Draining,
        v1::Health::Unhealthy => Health::Unhealthy,
    })
}
