//! From objects to what proxies are told: for every resource that a change has touched, all its forms are lowered
//! and encoded again, and replaced where their hashes differ.
//!
//! Invariant: compiling what was touched gives what compiling everything would. [`Compiler::from_scratch`] is the
//! definition; the incremental way is an optimisation, and tests hold the two against each other.

pub mod table;
mod aliases;
mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_manifests::lower;
use weft_manifests::set::{ObjectSet, ResourceKey};
use weft_policy::object::{ObjectRef, ServiceName, ServicePort};
use weft_proto::trust::Trust;
use weft_proto::v1;

use aliases::Aliases;
use table::{Forms, Id, Table};

/// Keeps a table in step with a set.
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    table: Table,
    aliases: Aliases,
    trust: BTreeMap<Arc<str>, Trust>,
}

/// A resource, whatever its forms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Service(ServiceName),
    Pod(ObjectRef),
    Routes(ServiceName),
    Endpoints(ServicePort),
    Inbound(ObjectRef),
}

impl Compiler {
    /// Everything in the set, and nothing else.
    #[must_use]
    pub fn from_scratch(set: &ObjectSet, trust: &[Trust]) -> Self {
        let mut compiler = Self::default();
        for trust in trust {
            compiler.trust(trust.clone());
        }
        compiler.follow(set, &set.keys());
        compiler
    }

    /// Compiles what a change has touched. Returns what proxies may see differently.
    pub fn follow(&mut self, set: &ObjectSet, touched: &BTreeSet<ResourceKey>) -> BTreeSet<Id> {
        let subjects: BTreeSet<Subject> = touched.iter().map(Subject::of).collect();
        subjects.iter().flat_map(|subject| self.compile(set, subject)).collect()
    }

    /// Publishes whom a trust domain trusts. Returns what proxies may see differently.
    pub fn trust(&mut self, trust: Trust) -> Option<Id> {
        let id = Id::new(v1::Type::Trust, trust.domain.as_str());
        let changed = self.table.set(&id, Forms::common(render::trust(&trust)));
        self.trust.insert(Arc::clone(&id.name), trust);
        changed.then_some(id)
    }

    /// Everything that is published.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The same, as of `revision`: a copy that costs a pointer per resource.
    #[must_use]
    pub fn table_at(&mut self, revision: u64, cause_unix_micros: u64) -> Table {
        self.table.revision = revision;
        self.table.cause_unix_micros = cause_unix_micros;
        self.table.clone()
    }

    /// Where this differs from compiling `set` from scratch: nowhere, unless a change has touched more than it
    /// said.
    #[must_use]
    pub fn defects(&self, set: &ObjectSet) -> BTreeSet<Id> {
        let trust: Vec<_> = self.trust.values().cloned().collect();
        self.table.difference(&Self::from_scratch(set, &trust).table)
    }

    fn compile(&mut self, set: &ObjectSet, subject: &Subject) -> BTreeSet<Id> {
        let id = subject.id();
        let mut changed = BTreeSet::new();
        let forms = match subject {
            Subject::Service(name) => {
                let (forms, ways) = render::service(set, name);
                changed = self.aliases.follow(&id, ways, &mut self.table);
                forms
            }
            Subject::Pod(workload) => {
                let (forms, ways) = render::pod(set, workload);
                changed = self.aliases.follow(&id, ways, &mut self.table);
                forms
            }
            Subject::Routes(name) => render::routes(set, name),
            Subject::Endpoints(port) => render::endpoints(set, port),
            Subject::Inbound(workload) => render::inbound(set, workload),
        };
        if self.table.set(&id, forms) {
            changed.insert(id);
        }
        changed
    }
}

impl Subject {
    fn of(key: &ResourceKey) -> Self {
        match key {
            ResourceKey::Service { name, .. } => Self::Service(name.clone()),
            ResourceKey::Routes { service, .. } => Self::Routes(service.clone()),
            ResourceKey::Endpoints(port) => Self::Endpoints(port.clone()),
            ResourceKey::Pod(workload) => Self::Pod(workload.clone()),
            ResourceKey::Inbound(workload) => Self::Inbound(workload.clone()),
        }
    }

    fn id(&self) -> Id {
        match self {
            Self::Service(name) => Id::new(v1::Type::Service, name.to_string()),
            Self::Pod(workload) => Id::new(v1::Type::Service, lower::name_of_pod(workload).to_string()),
            Self::Routes(name) => Id::new(v1::Type::Routes, name.to_string()),
            Self::Endpoints(port) => Id::new(v1::Type::Endpoints, port.to_string()),
            Self::Inbound(workload) => {
                Id::new(v1::Type::Inbound, format!("{}/{}", workload.namespace, workload.name))
            }
        }
    }
}

/// The name under which a resource is published.
#[must_use]
pub fn id_of(key: &ResourceKey) -> Id {
    Subject::of(key).id()
}

#[cfg(test)]
mod tests;
