//! Virtual addresses: those that are given, and those that are chosen where none is (standalone).
//!
//! A chosen address is a hash of the name, so every replica, and every restart, chooses the same without a
//! journal. Two names with one hash: the one that sorts first keeps it, the other goes to the upper half of the
//! range, where only such losers live. So a new Service can move another one only by colliding with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use weft_policy::object::ServiceName;

use crate::core::{ClusterIps, Service};

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Vips {
    given: BTreeMap<IpAddr, BTreeSet<ServiceName>>,
    /// By hash: who would like to have it. The first has.
    claims: BTreeMap<u16, BTreeSet<ServiceName>>,
    /// Those who are not first.
    losers: BTreeSet<ServiceName>,
    chosen: BTreeMap<ServiceName, Ipv4Addr>,
    holders: BTreeMap<Ipv4Addr, ServiceName>,
}

impl Vips {
    /// The address that was chosen for a Service.
    pub(super) fn chosen(&self, name: &ServiceName) -> Option<Ipv4Addr> {
        self.chosen.get(name).copied()
    }

    /// Whose address this is.
    pub(super) fn holder(&self, ip: IpAddr) -> Option<&ServiceName> {
        let given = self.given.get(&ip).and_then(BTreeSet::first);
        given.or_else(|| match ip {
            IpAddr::V4(ip) => self.holders.get(&ip),
            IpAddr::V6(_) => None,
        })
    }

    /// Addresses that more than one Service says are its own.
    pub(super) fn disputed(&self) -> impl Iterator<Item = (IpAddr, &BTreeSet<ServiceName>)> {
        self.given.iter().filter(|(_, names)| names.len() > 1).map(|(ip, names)| (*ip, names))
    }

    /// Takes a Service in; returns other Services whose address has changed.
    pub(super) fn insert(&mut self, service: &Service) -> BTreeSet<ServiceName> {
        let name = service.name();
        match &service.cluster_ips {
            ClusterIps::Headless => BTreeSet::new(),
            ClusterIps::Given(ips) => {
                for ip in ips {
                    self.given.entry(*ip).or_default().insert(name.clone());
                }
                BTreeSet::new()
            }
            ClusterIps::Chosen => self.reassign(&name, |claims| {
                claims.insert(name.clone());
            }),
        }
    }

    /// Lets a Service go; returns other Services whose address has changed.
    pub(super) fn remove(&mut self, service: &Service) -> BTreeSet<ServiceName> {
        let name = service.name();
        match &service.cluster_ips {
            ClusterIps::Headless => BTreeSet::new(),
            ClusterIps::Given(ips) => {
                for ip in ips {
                    if let Some(names) = self.given.get_mut(ip) {
                        names.remove(&name);
                        if names.is_empty() {
                            self.given.remove(ip);
                        }
                    }
                }
                BTreeSet::new()
            }
            ClusterIps::Chosen => self.reassign(&name, |claims| {
                claims.remove(&name);
            }),
        }
    }

    /// Changes the claims on the slot of `name`, and everybody's address accordingly.
    fn reassign(
        &mut self,
        name: &ServiceName,
        change: impl FnOnce(&mut BTreeSet<ServiceName>),
    ) -> BTreeSet<ServiceName> {
        let slot = slot(hash(name));
        let claims = self.claims.entry(slot).or_default();
        let mut affected = std::mem::take(claims);
        let first_before = affected.first().cloned();
        let losers_before: Vec<ServiceName> = affected.iter().skip(1).cloned().collect();
        let mut after = affected.clone();
        change(&mut after);
        affected.extend(after.iter().cloned());
        let losers_after: Vec<ServiceName> = after.iter().skip(1).cloned().collect();
        let first_after = after.first().cloned();
        if after.is_empty() {
            self.claims.remove(&slot);
        } else {
            self.claims.insert(slot, after);
        }
        let losers_moved = losers_before != losers_after;
        if losers_moved {
            affected.extend(self.losers.iter().cloned());
            for loser in &losers_before {
                self.losers.remove(loser);
            }
            self.losers.extend(losers_after);
        }
        let before: BTreeMap<ServiceName, Ipv4Addr> =
            affected.iter().filter_map(|name| Some((name.clone(), self.chosen(name)?))).collect();
        for (name, ip) in &before {
            let goes = losers_moved || Some(name) == first_before.as_ref();
            if goes {
                self.chosen.remove(name);
                self.holders.remove(ip);
            }
        }
        if let Some(first) = first_after {
            self.place(first, LOWER, slot);
        }
        if losers_moved {
            self.place_losers();
        }
        affected.retain(|other| other != name && before.get(other).copied() != self.chosen(other));
        affected
    }

    /// In the order of names; each takes the next slot that is free from its own hash on.
    fn place_losers(&mut self) {
        for name in self.losers.clone() {
            let start = slot(hash(&name).rotate_left(32));
            let free = (0..SLOTS)
                .map(|step| (start + step) % SLOTS)
                .find(|slot| !self.holders.contains_key(&address(UPPER, *slot)));
            if let Some(slot) = free {
                self.place(name, UPPER, slot);
            }
        }
    }

    fn place(&mut self, name: ServiceName, half: u32, slot: u16) {
        let ip = address(half, slot);
        self.holders.insert(ip, name.clone());
        self.chosen.insert(name, ip);
    }
}

/// FNV-1a over `namespace/name`, with a last mix so that short names spread. Fixed: it decides addresses.
fn hash(name: &ServiceName) -> u64 {
    let bytes = name.namespace.bytes().chain([b'/']).chain(name.name.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

fn slot(hash: u64) -> u16 {
    u16::try_from(hash % u64::from(SLOTS)).expect("a remainder of a u16")
}

fn address(half: u32, slot: u16) -> Ipv4Addr {
    Ipv4Addr::from(half + u32::from(slot))
}

/// 240.240.0.1 to 240.240.127.254, by hash.
const LOWER: u32 = 0xf0f0_0001;
/// 240.240.128.1 to 240.240.255.254, for those whose hash was taken.
const UPPER: u32 = 0xf0f0_8001;
/// Addresses in each half.
const SLOTS: u16 = 32_766;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::Metadata;

    fn service(name: &str) -> Service {
        Service {
            meta: Metadata::new("shop", name),
            selector: BTreeMap::new(),
            cluster_ips: ClusterIps::Chosen,
            ports: Vec::new(),
            backing: crate::core::Backing::Selected,
        }
    }

    /// Enough names that some of them collide: sqrt(32 766) names already do, more often than not.
    fn names() -> Vec<String> {
        (0..2000).map(|number| format!("service-{number}")).collect()
    }

    #[test]
    fn every_service_has_its_own_address_in_any_order_of_arrival() {
        let (mut forwards, mut backwards) = (Vips::default(), Vips::default());
        for name in &names() {
            forwards.insert(&service(name));
        }
        for name in names().iter().rev() {
            backwards.insert(&service(name));
        }
        assert_eq!(forwards, backwards);
        assert!(!forwards.losers.is_empty(), "the test means nothing without a collision");
        let addresses: BTreeSet<_> = forwards.chosen.values().collect();
        assert_eq!(addresses.len(), names().len());
        assert!(addresses.iter().all(|ip| ip.octets()[..2] == [240, 240]));
    }

    #[test]
    fn whose_address_moves_is_named_and_nobody_elses_does() {
        let mut vips = Vips::default();
        let mut known: BTreeMap<ServiceName, Ipv4Addr> = BTreeMap::new();
        let all = names();
        for (step, name) in all.iter().chain(all.iter().step_by(3)).enumerate() {
            let service = service(name);
            let moved = if step < all.len() { vips.insert(&service) } else { vips.remove(&service) };
            for (other, ip) in &known {
                let now = vips.chosen(other);
                assert!(
                    *other == service.name() || now == Some(*ip) || moved.contains(other),
                    "{other} after {name}"
                );
            }
            known = vips.chosen.clone();
        }
        for name in &all {
            vips.remove(&service(name));
        }
        assert_eq!(vips, Vips::default());
    }
}
