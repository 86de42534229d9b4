//! Which service a host or a virtual address leads to, when several say that it leads to them.
//!
//! The first by name wins, so that the answer depends on what is held and not on the order in which it came, and
//! so that the next one takes over when the first goes away.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use weft_policy::object::ServiceName;
use weft_policy::snapshot::Service;

/// Everybody who lays claim to a name or an address.
#[derive(Debug, Default)]
pub(super) struct Claims {
    hosts: BTreeMap<Arc<str>, BTreeSet<ServiceName>>,
    vips: BTreeMap<IpAddr, BTreeSet<ServiceName>>,
}

type Hosts = BTreeMap<Arc<str>, ServiceName>;
type Vips = BTreeMap<IpAddr, ServiceName>;

impl Claims {
    /// Lays claim to all that a service names, and brings the winners up to date.
    pub(super) fn make(&mut self, service: &Service, hosts: &mut Hosts, vips: &mut Vips) {
        for host in &service.hosts {
            claim(&mut self.hosts, host, service, hosts);
        }
        for vip in &service.vips {
            claim(&mut self.vips, vip, service, vips);
        }
    }

    /// Gives all of it up.
    pub(super) fn withdraw(&mut self, service: &Service, hosts: &mut Hosts, vips: &mut Vips) {
        for host in &service.hosts {
            give_up(&mut self.hosts, host, service, hosts);
        }
        for vip in &service.vips {
            give_up(&mut self.vips, vip, service, vips);
        }
    }
}

fn claim<K: Ord + Clone>(
    claims: &mut BTreeMap<K, BTreeSet<ServiceName>>,
    what: &K,
    service: &Service,
    winners: &mut BTreeMap<K, ServiceName>,
) {
    let claimants = claims.entry(what.clone()).or_default();
    claimants.insert(service.name.clone());
    if let Some(first) = claimants.first() {
        winners.insert(what.clone(), first.clone());
    }
}

fn give_up<K: Ord + Clone>(
    claims: &mut BTreeMap<K, BTreeSet<ServiceName>>,
    what: &K,
    service: &Service,
    winners: &mut BTreeMap<K, ServiceName>,
) {
    let Some(claimants) = claims.get_mut(what) else { return };
    claimants.remove(&service.name);
    match claimants.first() {
        Some(first) => drop(winners.insert(what.clone(), first.clone())),
        None => {
            claims.remove(what);
            winners.remove(what);
        }
    }
}
