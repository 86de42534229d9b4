//! What an API server has, as the objects a mesh reads: pods become workloads, EndpointSlices what is listed for their
//! Service, and everything that people write takes the way of a file.
//!
//! A source tells it what comes and goes, in whatever order that reaches it; what a change leads to is derived when it
//! is asked for, and only for the names that the change touches.
//!
//! Invariant: what it gives depends on what there is, and not on how it came about.

pub mod pod;
pub mod slice;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_policy::object::{Kind, ObjectRef};

use crate::core::{Backing, Service};
use crate::diagnostic::{Diagnostic, Severity};
use crate::document::Document;
use crate::object::{self, Object};
use pod::Pod;
use slice::{EndpointSlice, Node};

/// Namespace and name; the namespace is empty for what stands in none.
pub type Name = (Arc<str>, Arc<str>);

/// What an API server has of one kind.
#[derive(Clone, Debug)]
pub enum Item {
    /// A pod.
    Pod(Box<Pod>),
    /// A slice.
    Slice(Box<EndpointSlice>),
    /// A node.
    Node(Node),
    /// Something that is written as in a file.
    Written(Box<Written>),
}

/// Something that is written as in a file, read.
#[derive(Clone, Debug)]
pub struct Written {
    key: ObjectRef,
    edition: Edition,
    object: Option<Object>,
    findings: Vec<Diagnostic>,
}

/// Which life of an object this is, and how often what it says has changed: known even where it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edition {
    /// `metadata.uid`
    pub uid: Arc<str>,
    /// `metadata.generation`
    pub generation: u64,
}

impl Written {
    /// Reads it. `None` if it has no name, which an API server rules out, or is of no kind that is read.
    #[must_use]
    pub fn read(json: &serde_json::Value) -> Option<Self> {
        let decoded = object::decode(&Document::from_json(json));
        let edition = Edition::of(json);
        Some(Self { key: decoded.key?, edition, object: decoded.object, findings: decoded.diagnostics })
    }
}

impl Edition {
    /// Reads it off an object as an API server has it.
    #[must_use]
    pub fn of(json: &serde_json::Value) -> Self {
        let metadata = |field: &str| json.get("metadata").and_then(|metadata| metadata.get(field));
        Self {
            uid: metadata("uid").and_then(serde_json::Value::as_str).unwrap_or_default().into(),
            generation: metadata("generation").and_then(serde_json::Value::as_u64).unwrap_or_default(),
        }
    }
}

impl Item {
    /// Which it is.
    #[must_use]
    pub fn id(&self) -> Id {
        let of = |meta: &pod::Meta| (Arc::clone(&meta.namespace), Arc::clone(&meta.name));
        match self {
            Self::Pod(pod) => Id::Pod(of(&pod.metadata)),
            Self::Slice(slice) => Id::Slice(of(&slice.metadata)),
            Self::Node(node) => Id::Node(Arc::clone(&node.metadata.name)),
            Self::Written(written) => Id::Written(written.key.clone()),
        }
    }
}

/// Which thing of an API server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// A pod.
    Pod(Name),
    /// A slice.
    Slice(Name),
    /// A node.
    Node(Arc<str>),
    /// What is written.
    Written(ObjectRef),
}

/// Everything an API server has that a mesh reads.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pods: BTreeMap<Name, Pod>,
    slices: BTreeMap<Name, EndpointSlice>,
    /// The slices of each Service.
    slices_of: BTreeMap<Name, BTreeSet<Name>>,
    zones: BTreeMap<Arc<str>, Arc<str>>,
    written: BTreeMap<ObjectRef, Written>,
    /// What all of this comes to.
    derived: BTreeMap<ObjectRef, Object>,
    /// What has to be derived again.
    stale: BTreeSet<ObjectRef>,
}

impl Cluster {
    /// Something is new, or different.
    pub fn put(&mut self, item: Item) {
        match item {
            Item::Pod(pod) => {
                let name = (Arc::clone(&pod.metadata.namespace), Arc::clone(&pod.metadata.name));
                self.stale.insert(workload(&name));
                self.pods.insert(name, *pod);
            }
            Item::Slice(slice) => {
                let name = (Arc::clone(&slice.metadata.namespace), Arc::clone(&slice.metadata.name));
                // It may have been another Service's.
                self.forget_slice(&name);
                if let Some(service) = slice.service() {
                    let service = (Arc::clone(&name.0), Arc::clone(service));
                    self.stale.insert(service_key(&service));
                    self.slices_of.entry(service).or_default().insert(name.clone());
                }
                self.slices.insert(name, *slice);
            }
            Item::Node(node) => {
                let name = Arc::clone(&node.metadata.name);
                let zone = node.zone();
                if self.zones.get(&name) != zone.as_ref() {
                    self.has_moved(&name);
                    match zone {
                        Some(zone) => self.zones.insert(name, zone),
                        None => self.zones.remove(&name),
                    };
                }
            }
            Item::Written(written) => {
                self.stale.insert(written.key.clone());
                self.written.insert(written.key.clone(), *written);
            }
        }
    }

    /// Something is gone.
    pub fn take(&mut self, id: &Id) {
        match id {
            Id::Pod(name) => {
                if self.pods.remove(name).is_some() {
                    self.stale.insert(workload(name));
                }
            }
            Id::Slice(name) => self.forget_slice(name),
            Id::Node(name) => {
                if self.zones.remove(name).is_some() {
                    self.has_moved(name);
                }
            }
            Id::Written(key) => {
                if self.written.remove(key).is_some() {
                    self.stale.insert(key.clone());
                }
            }
        }
    }

    /// What it comes to, and what is wrong with what is written.
    pub fn derive(&mut self) -> Derived {
        for key in std::mem::take(&mut self.stale) {
            match self.derived_of(&key) {
                Some(object) => self.derived.insert(key, object),
                None => self.derived.remove(&key),
            };
        }
        let mut derived = Derived { objects: self.derived.clone(), ..Derived::default() };
        for (key, written) in &self.written {
            derived.findings.extend(written.findings.iter().cloned());
            let broken = written.object.is_none() && written.findings.iter().any(Diagnostic::is_error);
            derived.broken.extend(broken.then(|| key.clone()));
            if key.kind == Kind::Workload && self.pods.contains_key(&name_of(key)) {
                let message = "a pod has this name, and the pod is what counts";
                let found = Diagnostic::new(Severity::Error, message, "give the Workload another name");
                derived.findings.push(found.about(key));
            }
        }
        derived
    }

    /// Everything that is written, read or not, in its edition.
    pub fn editions(&self) -> impl Iterator<Item = (&ObjectRef, &Edition)> {
        self.written.iter().map(|(key, written)| (key, &written.edition))
    }

    /// A pod by name.
    #[must_use]
    pub fn pod(&self, name: &Name) -> Option<&Pod> {
        self.pods.get(name)
    }

    /// The pods of a namespace.
    pub fn pods_in<'c>(&'c self, namespace: &str) -> impl Iterator<Item = &'c Pod> + use<'c> {
        let namespace: Arc<str> = namespace.into();
        let from = (Arc::clone(&namespace), Arc::default());
        self.pods.range(from..).take_while(move |((of, _), _)| *of == namespace).map(|(_, pod)| pod)
    }

    fn derived_of(&self, key: &ObjectRef) -> Option<Object> {
        let written = || self.written.get(key)?.object.clone();
        match key.kind {
            Kind::Workload => match self.pods.get(&name_of(key)) {
                Some(pod) => {
                    let zone = self.zones.get(&pod.spec.node_name).cloned();
                    Some(Object::Workload(pod.workload(zone)?.into()))
                }
                None => written(),
            },
            Kind::Service => match written()? {
                Object::Service(service) => Some(Object::Service(self.listing(&service).into())),
                other => Some(other),
            },
            _ => written(),
        }
    }

    fn listing(&self, service: &Service) -> Service {
        let name = (Arc::clone(&service.meta.namespace), Arc::clone(&service.meta.name));
        let slices = self.slices_of.get(&name).into_iter().flatten().filter_map(|name| self.slices.get(name));
        Service { backing: Backing::Listed(slice::merge(slices)), ..service.clone() }
    }

    fn forget_slice(&mut self, name: &Name) {
        let Some(old) = self.slices.remove(name) else { return };
        let Some(service) = old.service() else { return };
        let service = (Arc::clone(&name.0), Arc::clone(service));
        if let Some(slices) = self.slices_of.get_mut(&service) {
            slices.remove(name);
            if slices.is_empty() {
                self.slices_of.remove(&service);
            }
        }
        self.stale.insert(service_key(&service));
    }

    fn has_moved(&mut self, node: &Arc<str>) {
        let on_it = self.pods.iter().filter(|(_, pod)| pod.spec.node_name == *node);
        self.stale.extend(on_it.map(|(name, _)| workload(name)));
    }
}

/// What a cluster comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Derived {
    /// The objects in force.
    pub objects: BTreeMap<ObjectRef, Object>,
    /// Objects that are there and cannot be used.
    pub broken: BTreeSet<ObjectRef>,
    /// What is wrong.
    pub findings: Vec<Diagnostic>,
}

fn workload(name: &Name) -> ObjectRef {
    key(Kind::Workload, name)
}

fn service_key(name: &Name) -> ObjectRef {
    key(Kind::Service, name)
}

fn key(kind: Kind, (namespace, name): &Name) -> ObjectRef {
    ObjectRef { kind, namespace: Arc::clone(namespace), name: Arc::clone(name) }
}

fn name_of(key: &ObjectRef) -> Name {
    (Arc::clone(&key.namespace), Arc::clone(&key.name))
}

#[cfg(test)]
mod tests;
