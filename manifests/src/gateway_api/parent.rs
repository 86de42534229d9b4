//! `parentRefs[]`: what a route attaches to.

use std::fmt;
use std::sync::Arc;

use weft_policy::object::ServiceName;

use crate::reader::{At, Fields};

use super::limit;

/// A `ParentReference`, with the CRD's defaults filled in, so that it can be copied into a status verbatim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParentRef {
    /// Default `gateway.networking.k8s.io`; a Service's is empty.
    pub group: Arc<str>,
    /// Default `Gateway`.
    pub kind: Arc<str>,
    /// `None`: the route's own.
    pub namespace: Option<Arc<str>>,
    /// The parent's name.
    pub name: Arc<str>,
    /// A port or listener by name.
    pub section: Option<Arc<str>>,
    /// A port by number; a Service's own port, not its target port.
    pub port: Option<u16>,
}

impl ParentRef {
    /// The Service it names, seen from a route in `namespace`; `None` if it names something else.
    #[must_use]
    pub fn service(&self, namespace: &Arc<str>) -> Option<ServiceName> {
        (self.group.is_empty() && &*self.kind == "Service").then(|| ServiceName {
            namespace: Arc::clone(self.namespace.as_ref().unwrap_or(namespace)),
            name: Arc::clone(&self.name),
        })
    }

    /// Whether it means a port of that name and number. What it leaves open means any.
    #[must_use]
    pub fn covers(&self, name: &str, number: u16) -> bool {
        self.port.is_none_or(|port| port == number)
            && self.section.as_deref().is_none_or(|section| section == name)
    }

    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let mut text = |name| fields.get(name).and_then(|at| at.text());
        let (group, kind, namespace, section) =
            (text("group"), text("kind"), text("namespace"), text("sectionName"));
        let name = fields.need("name").and_then(|at| at.text());
        let port = fields.get("port").map(|at| at.port());
        fields.finish();
        let kind = kind.unwrap_or_else(|| "Gateway".into());
        if &*kind == "Service" && group.as_deref() != Some("") {
            at.remark(
                "a parent of kind Service without `group: \"\"` is not attached to",
                "add `group: \"\"`: the default group is gateway.networking.k8s.io",
            );
        }
        Some(Self {
            group: group.unwrap_or_else(|| "gateway.networking.k8s.io".into()),
            kind,
            namespace,
            name: name?,
            section,
            // A port that cannot be read must not become "all ports".
            port: port.map_or(Some(None), |port| port.map(Some))?,
        })
    }
}

/// Reads `parentRefs` and `hostnames`, which all kinds of route have.
pub(crate) fn read(fields: &mut Fields<'_>) -> (Vec<ParentRef>, Vec<Arc<str>>) {
    let parents: Vec<ParentRef> =
        fields.items("parentRefs", limit::PARENTS).iter().filter_map(ParentRef::read).collect();
    if parents.is_empty() {
        fields.at().remark(
            "without parentRefs a route applies to nothing",
            "name the Service whose traffic it is for",
        );
    }
    let hostnames = fields.get("hostnames");
    if let Some(at) = hostnames.as_ref().filter(|_| parents.iter().any(|parent| &*parent.kind == "Service")) {
        at.remark(
            "hostnames are ignored where the parent is a Service",
            "take them out, or match on a header",
        );
    }
    let hostnames = hostnames
        .map(|at| at.list_of(limit::HOSTNAMES))
        .unwrap_or_default()
        .iter()
        .filter_map(At::text)
        .collect();
    fields.skip(&["useDefaultGateways"]);
    (parents, hostnames)
}

impl fmt::Display for ParentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if let Some(section) = &self.section {
            write!(f, " ({section})")?;
        }
        Ok(())
    }
}
