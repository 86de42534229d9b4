//! Endpoints, grouped: what they share is said once, which makes a set of a thousand a tenth of its size.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use weft_policy::endpoint::{Endpoint, EndpointSet, Health};
use weft_policy::identity::SpiffeId;

use super::service_port;
use crate::v1;

/// The endpoints of one Service port. An address stands once: of several endpoints that share one, the first by
/// group and name is kept, because patches and what a proxy learns are keyed by address.
#[must_use]
pub fn endpoints(set: &EndpointSet) -> v1::Endpoints {
    v1::Endpoints { of: Some(service_port(&set.of)), groups: groups(&by_addr(set)) }
}

/// An address as it stands on the wire and in patches: 4 or 16 bytes of IP, then 2 of port, big-endian.
#[must_use]
pub fn addr(addr: SocketAddr) -> Vec<u8> {
    let port = addr.port().to_be_bytes();
    match addr.ip() {
        IpAddr::V4(ip) => [&ip.octets()[..], &port].concat(),
        IpAddr::V6(ip) => [&ip.octets()[..], &port].concat(),
    }
}

/// Each address of a set once, sorted by address. What the wire does not carry of an IPv6 address, scope and flow, tells
/// none apart.
pub(crate) fn by_addr(set: &EndpointSet) -> Vec<&Endpoint> {
    let endpoints = set.endpoints();
    // Nearly every set is so already, and this is asked of the whole set for every patch of one endpoint.
    if endpoints.is_sorted_by(|one, next| on_the_wire(one) < on_the_wire(next)) {
        return endpoints.iter().collect();
    }
    let mut by_addr: BTreeMap<SocketAddr, &Endpoint> = BTreeMap::new();
    for endpoint in endpoints {
        by_addr
            .entry(on_the_wire(endpoint))
            .and_modify(|kept| {
                if rank(endpoint) < rank(kept) {
                    *kept = endpoint;
                }
            })
            .or_insert(endpoint);
    }
    by_addr.into_values().collect()
}

/// The part of its address that tells an endpoint from others.
pub(crate) const fn on_the_wire(endpoint: &Endpoint) -> SocketAddr {
    SocketAddr::new(endpoint.addr.ip(), endpoint.addr.port())
}

/// Groups endpoints that come sorted by address; the groups are sorted by what they share.
pub(crate) fn groups(endpoints: &[&Endpoint]) -> Vec<v1::EndpointGroup> {
    let mut groups: BTreeMap<Group<'_>, Vec<v1::Endpoint>> = BTreeMap::new();
    // Neighbours are mostly of one group, and the map is asked once for all of them.
    for neighbours in endpoints.chunk_by(|one, next| group(one) == group(next)) {
        let Some(first) = neighbours.first() else { continue };
        groups.entry(group(first)).or_default().extend(neighbours.iter().map(|endpoint| v1::Endpoint {
            addr: addr(endpoint.addr),
            name: endpoint.name.as_ref().into(),
            weight: endpoint.weight,
            health: health(endpoint.health).into(),
        }));
    }
    groups
        .into_iter()
        .map(|((identity, zone, target_port), endpoints)| v1::EndpointGroup {
            identity: identity.into(),
            zone: zone.into(),
            target_port: target_port.into(),
            endpoints,
        })
        .collect()
}

/// Identity, zone and target port; empty where there is none.
type Group<'e> = (&'e str, &'e str, u16);

fn group(endpoint: &Endpoint) -> Group<'_> {
    let identity = endpoint.identity.as_ref().map_or("", SpiffeId::as_str);
    (identity, endpoint.zone.as_deref().unwrap_or_default(), endpoint.target_port)
}

fn rank(endpoint: &Endpoint) -> (Group<'_>, &str, u32, Health) {
    (group(endpoint), &endpoint.name, endpoint.weight, endpoint.health)
}

const fn health(health: Health) -> v1::Health {
    match health {
        Health::Healthy => v1::Health::Healthy,
        Health::Unconfirmed => v1::Health::Unconfirmed,
        Health::Draining => v1::Health::Draining,
        Health::Unhealthy => v1::Health::Unhealthy,
    }
}
