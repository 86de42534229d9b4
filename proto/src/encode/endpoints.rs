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
    v1::Endpoints { of: Some(service_port(&set.of)), groups: groups(by_addr(set).into_iter()) }
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
pub(crate) fn groups<'e>(endpoints: impl Iterator<Item = &'e Endpoint>) -> Vec<v1::EndpointGroup> {
    // Few groups, and neighbours are mostly of one: so whose the last one was is looked at before the map.
    let mut places: BTreeMap<Group<'_>, usize> = BTreeMap::new();
    let mut members: Vec<Vec<v1::Endpoint>> = Vec::new();
    let mut last: Option<(&Endpoint, usize)> = None;
    for endpoint in endpoints {
        let place = match last {
            Some((before, place)) if share_a_group(before, endpoint) => place,
            _ => *places.entry(group(endpoint)).or_insert(members.len()),
        };
        if place == members.len() {
            members.push(Vec::new());
        }
        if let Some(members) = members.get_mut(place) {
            members.push(v1::Endpoint {
                addr: addr(endpoint.addr),
                name: endpoint.name.as_ref().into(),
                weight: endpoint.weight,
                health: health(endpoint.health).into(),
            });
        }
        last = Some((endpoint, place));
    }
    places
        .into_iter()
        .map(|((identity, zone, target_port), place)| v1::EndpointGroup {
            identity: identity.into(),
            zone: zone.into(),
            target_port: target_port.into(),
            endpoints: members.get_mut(place).map(std::mem::take).unwrap_or_default(),
        })
        .collect()
}

/// Whether two are plainly of one group, at the price of comparing words; of those that are not the map knows.
fn share_a_group(one: &Endpoint, other: &Endpoint) -> bool {
    one.target_port == other.target_port && one.identity == other.identity && one.zone == other.zone
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
