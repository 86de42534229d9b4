//! `backendRefs[]`: where a rule sends to.

use std::fmt;
use std::sync::Arc;

use weft_policy::object::ServiceName;

use crate::reader::{At, Fields};

use super::filter::Filter;
use super::limit;

/// An `HTTPBackendRef` or `GRPCBackendRef`.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendRef {
    /// Default empty: the core group.
    pub group: Arc<str>,
    /// Default `Service`.
    pub kind: Arc<str>,
    /// `None`: the route's own.
    pub namespace: Option<Arc<str>>,
    /// The backend's name.
    pub name: Arc<str>,
    /// A Service's port; required for a Service.
    pub port: Option<u16>,
    /// Default 1.
    pub weight: u32,
    /// Applied after the rule's.
    pub filters: Vec<Filter>,
}

impl BackendRef {
    /// The Service it names, seen from a route in `namespace`; `None` if it names something else.
    #[must_use]
    pub fn service(&self, namespace: &Arc<str>) -> Option<ServiceName> {
        (self.group.is_empty() && &*self.kind == "Service").then(|| ServiceName {
            namespace: Arc::clone(self.namespace.as_ref().unwrap_or(namespace)),
            name: Arc::clone(&self.name),
        })
    }

    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let mut text = |name| fields.get(name).and_then(|at| at.text());
        let (group, kind, namespace) = (text("group"), text("kind"), text("namespace"));
        let name = fields.need("name").and_then(|at| at.text());
        let port = fields.get("port").map(|at| at.port());
        let weight = fields.get("weight").map_or(Some(1), |at| at.number(0, 1_000_000));
        let filters = Filter::read_all(&mut fields);
        fields.finish();
        Some(Self {
            group: group.unwrap_or_default(),
            kind: kind.unwrap_or_else(|| "Service".into()),
            namespace,
            name: name?,
            port: port.map_or(Some(None), |port| port.map(Some))?,
            weight: weight?,
            filters,
        })
    }

    pub(crate) fn read_all(fields: &mut Fields<'_>) -> Vec<Self> {
        fields.items("backendRefs", limit::BACKENDS).iter().filter_map(Self::read).collect()
    }
}

impl fmt::Display for BackendRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
