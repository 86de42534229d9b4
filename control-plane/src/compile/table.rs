//! What is published: every resource in every form in which some proxy may see it, as one immutable value.
//!
//! A resource may look different from different client namespaces (a Service's short names, and consumer
//! routes that replace producer routes), so an entry holds the form for everybody and the exceptions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use weft_policy::endpoint::EndpointSet;
use weft_proto::v1;

/// What a resource, or an alias of one, is called on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// The type, first: transactions apply resources in this order.
    pub kind: v1::Type,
    /// The canonical name, or for `SERVICE` an alias.
    pub name: Arc<str>,
}

impl Id {
    /// Names a resource.
    #[must_use]
    pub fn new(kind: v1::Type, name: impl Into<Arc<str>>) -> Self {
        Self { kind, name: name.into() }
    }

    /// Whether a change of it may take away a permission, so that nothing may delay it.
    #[must_use]
    pub fn is_security(&self) -> bool {
        matches!(self.kind, v1::Type::Trust | v1::Type::Inbound)
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.as_str_name(), self.name)
    }
}

/// One resource in one form: encoded once, shared by every stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// The hash of `body`.
    pub version: u64,
    /// The canonical encoding.
    pub body: Bytes,
    /// The features that a proxy needs to understand it.
    pub requires: Vec<u32>,
    /// What a proxy needs besides: of a Service its endpoints, of routes the Services and endpoints behind them.
    pub links: Vec<Id>,
    /// For `ENDPOINTS`: the decoded form, from which patches are made.
    pub endpoints: Option<Arc<EndpointSet>>,
}

/// One thing in the form for everybody, and the forms for those namespaces that see it differently.
#[derive(Clone, Debug, PartialEq)]
pub struct Forms<T> {
    /// What a namespace without a form of its own sees.
    pub common: Option<T>,
    /// By client namespace.
    pub special: BTreeMap<Arc<str>, T>,
}

impl<T> Default for Forms<T> {
    fn default() -> Self {
        Self { common: None, special: BTreeMap::new() }
    }
}

impl<T> Forms<T> {
    /// The same for everybody.
    #[must_use]
    pub fn common(value: T) -> Self {
        Self { common: Some(value), special: BTreeMap::new() }
    }

    /// What a client in `namespace` sees.
    #[must_use]
    pub fn seen_from(&self, namespace: &str) -> Option<&T> {
        self.special.get(namespace).or(self.common.as_ref())
    }

    /// The same, without forms that do not differ from the common one.
    #[must_use]
    pub fn simplified(mut self) -> Self
    where
        T: PartialEq,
    {
        self.special.retain(|_, form| Some(&*form) != self.common.as_ref());
        self
    }

    /// Whether nobody sees anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.common.is_none() && self.special.is_empty()
    }
}

/// Earlier versions of a set of endpoints, newest last, for patches.
#[derive(Clone, Debug, Default)]
pub struct History(Vec<(u64, Arc<EndpointSet>)>);

impl History {
    /// How many versions a proxy may be behind and still get a patch.
    pub const DEPTH: usize = 16;

    /// The set at `version`, unless it is too long ago.
    #[must_use]
    pub fn at(&self, version: u64) -> Option<&Arc<EndpointSet>> {
        self.0.iter().rev().find(|(held, _)| *held == version).map(|(_, set)| set)
    }

    /// This history, with one more version.
    #[must_use]
    pub fn with(&self, version: u64, set: &Arc<EndpointSet>) -> Self {
        let skip = (self.0.len() + 1).saturating_sub(Self::DEPTH);
        let kept = self.0.iter().skip(skip).filter(|(held, _)| *held != version).cloned();
        Self(kept.chain([(version, Arc::clone(set))]).collect())
    }
}

/// Everything that is published, at one revision.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The revision of the newest change in here.
    pub revision: u64,
    /// When that change was seen, microseconds since 1970: convergence is measured from it.
    pub cause_unix_micros: u64,
    resources: HashMap<Id, Arc<Forms<Compiled>>>,
    aliases: HashMap<Id, Forms<Id>>,
    histories: HashMap<Id, Arc<History>>,
}

impl Table {
    /// A resource as a client in `namespace` sees it.
    #[must_use]
    pub fn resource(&self, id: &Id, namespace: &str) -> Option<&Compiled> {
        self.resources.get(id)?.seen_from(namespace)
    }

    /// Whether there is such a resource, in whatever form.
    #[must_use]
    pub fn holds(&self, id: &Id) -> bool {
        self.resources.contains_key(id)
    }

    /// The Service that an alias leads to, for a client in `namespace`.
    #[must_use]
    pub fn alias(&self, alias: &Id, namespace: &str) -> Option<&Id> {
        self.aliases.get(alias)?.seen_from(namespace)
    }

    /// What the set of endpoints was at an earlier version.
    #[must_use]
    pub fn endpoints_at(&self, id: &Id, version: u64) -> Option<&Arc<EndpointSet>> {
        self.histories.get(id)?.at(version)
    }

    /// Every resource, in no order.
    pub fn resources(&self) -> impl Iterator<Item = (&Id, &Forms<Compiled>)> {
        self.resources.iter().map(|(id, forms)| (id, &**forms))
    }

    /// How many resources there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether nothing is published.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// Puts a resource in place of its earlier self; no form at all removes it. Says whether that changed
    /// anything.
    pub fn set(&mut self, id: &Id, forms: Forms<Compiled>) -> bool {
        if forms.is_empty() {
            self.histories.remove(id);
            return self.resources.remove(id).is_some();
        }
        if self.resources.get(id).is_some_and(|held| **held == forms) {
            return false;
        }
        if let Some((version, set)) =
            forms.common.as_ref().and_then(|c| Some((c.version, c.endpoints.as_ref()?)))
        {
            let history = self.histories.entry(id.clone()).or_default();
            *history = Arc::new(history.with(version, set));
        }
        self.resources.insert(id.clone(), Arc::new(forms));
        true
    }

    /// Puts an alias in place of its earlier self. Says whether that changed anything.
    pub fn set_alias(&mut self, alias: &Id, forms: Forms<Id>) -> bool {
        if forms.is_empty() {
            return self.aliases.remove(alias).is_some();
        }
        if self.aliases.get(alias) == Some(&forms) {
            return false;
        }
        self.aliases.insert(alias.clone(), forms);
        true
    }

    /// Where two tables differ in what any proxy would be told.
    #[must_use]
    pub fn difference(&self, other: &Self) -> BTreeSet<Id> {
        let resources = self.resources.keys().chain(other.resources.keys());
        let aliases = self.aliases.keys().chain(other.aliases.keys());
        resources
            .filter(|id| self.resources.get(*id) != other.resources.get(*id))
            .chain(aliases.filter(|id| self.aliases.get(*id) != other.aliases.get(*id)))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_keeps_the_last_sixteen_versions() {
        let of = weft_policy::object::ServicePort::new("shop", "api", 80);
        let set = Arc::new(EndpointSet::new(of, Vec::new()));
        let history = (1..=20).fold(History::default(), |history, version| history.with(version, &set));
        let held: Vec<_> = (1..=20).filter(|version| history.at(*version).is_some()).collect();
        assert_eq!(held, (5..=20).collect::<Vec<_>>());
    }

    #[test]
    fn a_namespace_without_a_form_of_its_own_sees_the_common_one() {
        let mut forms = Forms::common("producer");
        forms.special.insert("shop".into(), "consumer");
        assert_eq!(forms.seen_from("shop"), Some(&"consumer"));
        assert_eq!(forms.seen_from("bank"), Some(&"producer"));
    }
}
