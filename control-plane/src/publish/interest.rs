//! What one proxy is told about: what it has asked for, and what that needs besides.
//!
//! The unit is a *root*, a selector as the proxy sent it. A root reaches resources; which ones depends on the
//! world (an alias may lead elsewhere tomorrow, a route may get another backend), so it is worked out again when
//! something it reaches has changed. A resource is of interest while some root reaches it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_proto::name::{Asked, BadName};
use weft_proto::v1;

use crate::compile::table::{Id, Table};

/// Who asks, as far as it decides what is seen. From the certificate, never from a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The client namespace: of the certified identity.
    pub namespace: Arc<str>,
    /// `namespace/name` of the one workload whose inbound policy it may read.
    pub workload: Arc<str>,
}

impl Viewer {
    /// Whether this resource may be shown at all. Services are everybody's; what a workload enforces is its own.
    #[must_use]
    pub fn may_see(&self, id: &Id) -> bool {
        id.kind != v1::Type::Inbound || id.name == self.workload
    }
}

/// Something a proxy asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Root {
    /// A resource, or an alias.
    pub id: Id,
    /// For a Service: with its routes, their backends and all their endpoints.
    pub with_deps: bool,
}

impl Root {
    /// Reads a selector.
    ///
    /// # Errors
    /// If it names nothing.
    pub fn read(selector: &v1::Selector) -> Result<Self, BadName> {
        let kind = v1::Type::try_from(selector.r#type).map_err(|_| BadName::Type)?;
        Asked::parse(kind, &selector.name)?;
        Ok(Self { id: Id::new(kind, selector.name.as_str()), with_deps: selector.with_deps })
    }

    /// The selector, as it was sent.
    #[must_use]
    pub fn to_selector(&self) -> v1::Selector {
        v1::Selector {
            r#type: self.id.kind.into(),
            name: self.id.name.as_ref().to_owned(),
            with_deps: self.with_deps,
        }
    }

    /// Everything this root needs just now, itself included. Names of things that do not exist are in it too:
    /// they are waited for.
    #[must_use]
    pub fn reach(&self, table: &Table, viewer: &Viewer) -> BTreeSet<Id> {
        let mut reached = BTreeSet::from([self.id.clone()]);
        if self.id.kind != v1::Type::Service {
            return reached;
        }
        let service = table.alias(&self.id, &viewer.namespace).unwrap_or(&self.id);
        reached.insert(service.clone());
        if !self.with_deps {
            return reached;
        }
        // The frontend's own routes; its backends are reached as backends, without theirs (GEP-1324).
        let routes = Id::new(v1::Type::Routes, Arc::clone(&service.name));
        let links =
            |id: &Id| table.resource(id, &viewer.namespace).into_iter().flat_map(|r| r.links.iter().cloned());
        reached.extend(links(service).chain(links(&routes)));
        // An alias that leads nowhere has no canonical name whose routes could be waited for.
        if service != &self.id || table.resource(service, &viewer.namespace).is_some() {
            reached.insert(routes);
        }
        reached
    }
}

/// Everything one proxy has asked for.
#[derive(Debug, Default)]
pub struct Interest {
    roots: BTreeMap<Root, BTreeSet<Id>>,
    /// How many roots reach each resource.
    reached: BTreeMap<Id, usize>,
}

/// What came into reach and what fell out of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Reached now, and not before.
    pub gained: BTreeSet<Id>,
    /// Reached before, and not now.
    pub lost: BTreeSet<Id>,
}

impl Moved {
    /// This, and then that.
    pub fn then(&mut self, later: Self) {
        for id in later.gained {
            if !self.lost.remove(&id) {
                self.gained.insert(id);
            }
        }
        for id in later.lost {
            if !self.gained.remove(&id) {
                self.lost.insert(id);
            }
        }
    }
}

impl Interest {
    /// The most that one proxy may ask for. Ten times what a busy gateway needs; a bound on memory.
    pub const MAX_ROOTS: usize = 20_000;

    /// Asks for more. What was asked for before stays as it is.
    ///
    /// # Errors
    /// [`TooMuch`] beyond [`Self::MAX_ROOTS`]; nothing has changed then.
    pub fn add(&mut self, root: Root, table: &Table, viewer: &Viewer) -> Result<Moved, TooMuch> {
        if self.roots.contains_key(&root) {
            return Ok(Moved::default());
        }
        if self.roots.len() >= Self::MAX_ROOTS {
            return Err(TooMuch);
        }
        let reached = root.reach(table, viewer);
        let moved = self.count(&BTreeSet::new(), &reached);
        self.roots.insert(root, reached);
        Ok(moved)
    }

    /// Takes back what was asked for.
    pub fn drop(&mut self, root: &Root) -> Moved {
        let Some(reached) = self.roots.remove(root) else { return Moved::default() };
        self.count(&reached, &BTreeSet::new())
    }

    /// Works out again what the roots reach that reached any of `changed`.
    pub fn follow(&mut self, changed: &BTreeSet<Id>, table: &Table, viewer: &Viewer) -> Moved {
        let mut moved = Moved::default();
        let shifted: Vec<_> = self
            .roots
            .iter()
            .filter(|(root, reached)| root.id.kind == v1::Type::Service && touches(reached, changed))
            .map(|(root, _)| root.clone())
            .collect();
        for root in shifted {
            let now = root.reach(table, viewer);
            let before = self.roots.insert(root, now.clone()).unwrap_or_default();
            moved.then(self.count(&before, &now));
        }
        moved
    }

    /// The roots that lead elsewhere in this table than was noted: worked out from nothing, so nothing need be heard.
    pub fn astray(&self, table: &Table, viewer: &Viewer) -> impl Iterator<Item = &Id> {
        self.roots
            .iter()
            .filter(|(root, noted)| root.reach(table, viewer) != **noted)
            .map(|(root, _)| &root.id)
    }

    /// Whether some root reaches it.
    #[must_use]
    pub fn reaches(&self, id: &Id) -> bool {
        self.reached.contains_key(id)
    }

    /// Whether it was asked for by this very name.
    #[must_use]
    pub fn asks_for(&self, id: &Id) -> bool {
        [false, true]
            .into_iter()
            .any(|with_deps| self.roots.contains_key(&Root { id: id.clone(), with_deps }))
    }

    /// Everything that is reached.
    pub fn reached(&self) -> impl Iterator<Item = &Id> {
        self.reached.keys()
    }

    fn count(&mut self, before: &BTreeSet<Id>, now: &BTreeSet<Id>) -> Moved {
        let mut moved = Moved::default();
        for id in now.difference(before) {
            let count = self.reached.entry(id.clone()).or_default();
            if *count == 0 {
                moved.gained.insert(id.clone());
            }
            *count += 1;
        }
        for id in before.difference(now) {
            if let Some(count) = self.reached.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    self.reached.remove(id);
                    moved.lost.insert(id.clone());
                }
            }
        }
        moved
    }
}

/// A proxy asked for more than [`Interest::MAX_ROOTS`] things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {} selectors on one stream; drop what is no longer used", Interest::MAX_ROOTS)]
pub struct TooMuch;

fn touches(reached: &BTreeSet<Id>, changed: &BTreeSet<Id>) -> bool {
    if changed.len() < reached.len() {
        changed.iter().any(|id| reached.contains(id))
    } else {
        reached.iter().any(|id| changed.contains(id))
    }
}

#[cfg(test)]
mod tests;
