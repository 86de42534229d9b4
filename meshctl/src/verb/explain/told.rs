//! What the proxies concerned have been told, made into the snapshots that they hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use weft_policy::identity::SpiffeId;
use weft_policy::snapshot::{Absent, Inbound, Snapshot};
use weft_proto::name::Asked;
use weft_proto::value::Value;
use weft_proto::{decode, v1};

/// What the proxies of a request have been told.
#[derive(Debug)]
pub(super) struct Told {
    /// What the caller's proxy holds for this destination.
    pub(super) caller: Snapshot,
    /// Policy for calls into each endpoint's workload, by its name (`shop/api-1`).
    pub(super) callees: BTreeMap<String, Arc<Inbound>>,
    /// The caller's.
    pub(super) identity: Option<SpiffeId>,
    /// The newest change that the control plane knows.
    pub(super) newest: u64,
    /// The newest that the caller's proxy has acknowledged; 0: it is not attached.
    pub(super) applied: u64,
}

impl Told {
    /// Reads the reply.
    ///
    /// # Errors
    /// If something in it is not of this build's making. A proxy would have rejected it too.
    pub(super) fn read(reply: &v1::ExplainReply) -> anyhow::Result<Self> {
        let newest = reply.now.as_ref().map_or(0, |now| now.revision);
        let mut caller = Snapshot { revision: newest, ..Snapshot::default() };
        for resource in &reply.outbound {
            learn(&mut caller, value(resource)?);
        }
        for gone in &reply.gone {
            let asked = Asked::parse(gone.r#type(), &gone.name)
                .with_context(|| format!("`{}` is no name of a resource", gone.name))?;
            if let Asked::Alias(alias) = asked {
                let why = match gone.why() {
                    v1::tombstone::Why::Forbidden => Absent::Forbidden,
                    v1::tombstone::Why::NotFound | v1::tombstone::Why::Unspecified => Absent::NotFound,
                };
                caller.absent.insert(alias, why);
            }
        }
        let mut callees = BTreeMap::new();
        for resource in &reply.inbound {
            if let Value::Inbound(enforced) = value(resource)? {
                callees.insert(enforced.workload().to_string(), Arc::clone(&enforced.inbound));
            }
        }
        let identity = match reply.from_identity.as_str() {
            "" => None,
            id => Some(id.parse().with_context(|| format!("`{id}` is no identity"))?),
        };
        Ok(Self { caller, callees, identity, newest, applied: reply.applied_revision })
    }

    /// The policy of the workload behind an endpoint. Endpoints are named with or without their namespace.
    pub(super) fn callee(&self, endpoint: &str) -> Option<&Arc<Inbound>> {
        let of_name = || {
            let mut found = self
                .callees
                .iter()
                .filter(|(workload, _)| workload.split_once('/').is_some_and(|(_, name)| name == endpoint));
            let first = found.next();
            // Two namespaces with one of this name: nobody knows which is meant.
            first.filter(|_| found.next().is_none()).map(|(_, inbound)| inbound)
        };
        self.callees.get(endpoint).or_else(of_name)
    }
}

fn value(resource: &v1::Resource) -> anyhow::Result<Value> {
    let decoded = decode::resource(resource);
    Ok(decoded.with_context(|| format!("{} {}", resource.r#type().as_str_name(), resource.name))?.value)
}

/// As a proxy takes a resource in: aliases lead to Services by what the Services say of themselves.
fn learn(snapshot: &mut Snapshot, value: Value) {
    match value {
        Value::Trust(_) => {}
        Value::Inbound(enforced) => snapshot.inbound = Some(Arc::clone(&enforced.inbound)),
        Value::Endpoints(set) => {
            snapshot.endpoints.insert(set.of.clone(), set);
        }
        Value::Routes(routes) => {
            snapshot.routes.insert(routes.service.clone(), routes);
        }
        Value::Service(service) => {
            for host in &service.hosts {
                snapshot.hosts.insert(Arc::clone(host), service.name.clone());
            }
            for vip in &service.vips {
                snapshot.vips.insert(*vip, service.name.clone());
            }
            snapshot.services.insert(service.name.clone(), service);
        }
    }
}
