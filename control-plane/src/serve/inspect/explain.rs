//! What a workload's proxy is told about a destination, and what the proxies there are told about themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use tonic::Status;
use weft_manifests::crd::workload::Workload;
use weft_manifests::lower;
use weft_policy::identity::SpiffeId;
use weft_policy::object::ServiceName;
use weft_policy::snapshot::Alias;
use weft_proto::name::{Key, WorkloadName};
use weft_proto::v1;

use super::Inspect;
use crate::compile::table::{Id, Table};
use crate::publish::interest::{Root, Viewer};
use crate::publish::transaction::resource;
use crate::world::View;

/// Answers a question.
pub(super) fn explain(inspect: &Inspect, asked: &v1::ExplainRequest) -> Result<v1::ExplainReply, Status> {
    let (view, table) = (inspect.world.view(), inspect.hub.table());
    let from =
        WorkloadName::parse(&asked.from).map_err(|bad| Status::invalid_argument(format!("from: {bad}")))?;
    let workload = view.set.workload(&from.namespace, &from.name).ok_or_else(|| {
        Status::not_found(format!("there is no Workload {from}; see `meshctl status` for those there are"))
    })?;
    let domain = &view.set.settings().trust_domain;
    let identity = SpiffeId::workload(domain, &from.namespace, &workload.service_account)
        .map_err(|bad| Status::failed_precondition(format!("{from} has no identity: {bad}")))?;
    let viewer = Viewer { namespace: from.namespace.clone(), workload: from.to_string().into() };

    let mut reply = v1::ExplainReply {
        now: Some(v1::Seen { revision: table.revision, ..inspect.seen() }),
        from_identity: identity.to_string(),
        ..v1::ExplainReply::default()
    };
    let root = Root { id: destination(&asked.to, &table, &viewer), with_deps: true };
    let reached = root.reach(&table, &viewer);
    let found = reached.iter().filter_map(|id| Some((id, table.resource(id, &viewer.namespace)?)));
    reply.outbound = found.map(|(id, compiled)| resource(id, compiled)).collect();
    if !reply.outbound.iter().any(|found| found.r#type() == v1::Type::Service) {
        let why = v1::tombstone::Why::NotFound.into();
        reply.gone.push(v1::Tombstone {
            r#type: v1::Type::Service.into(),
            name: root.id.name.to_string(),
            why,
        });
    }
    reply.inbound = behind(&reached, &view, &table);
    let own = inspect.proxies.statuses(&inspect.hub).into_iter().find(|proxy| proxy.workload == asked.from);
    reply.applied_revision = own.map_or(0, |proxy| proxy.applied_revision);
    Ok(reply)
}

/// The endpoints of one Service, or of all; sorted by name.
pub(super) fn endpoints(table: &Table, service: &str) -> v1::EndpointsReply {
    let of_it =
        |id: &Id| id.name.rsplit_once(':').is_some_and(|(name, _)| service.is_empty() || name == service);
    let sets = table.resources().filter(|(id, _)| id.kind == v1::Type::Endpoints && of_it(id));
    let mut endpoints: Vec<_> =
        sets.filter_map(|(id, forms)| Some(resource(id, forms.common.as_ref()?))).collect();
    endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    v1::EndpointsReply { endpoints }
}

/// `namespace/name`, an address, or a host name as an application would write it.
fn destination(to: &str, table: &Table, viewer: &Viewer) -> Id {
    let service = |name: String| Id::new(v1::Type::Service, name);
    let canonical = service(to.to_owned());
    if Key::parse(v1::Type::Service, to).is_ok() && table.resource(&canonical, &viewer.namespace).is_some() {
        return canonical;
    }
    let alias = to.parse().map_or_else(|_| Alias::host(to), Alias::Ip);
    service(alias.to_string())
}

/// What the proxies of all workloads behind these Services are told to enforce.
fn behind(reached: &BTreeSet<Id>, view: &View, table: &Table) -> Vec<v1::Resource> {
    let services = reached.iter().filter(|id| id.kind == v1::Type::Service);
    let names =
        services.filter_map(|id| id.name.split_once('/')).map(|(ns, name)| ServiceName::new(ns, name));
    let behind = |name: ServiceName| -> Vec<&Arc<Workload>> {
        match (lower::pod_of_name(&name), view.set.service(&name)) {
            (Some(pod), _) => view.set.workload(&name.namespace, pod).into_iter().collect(),
            (None, Some(service)) => view.set.behind(service).collect(),
            (None, None) => Vec::new(),
        }
    };
    let workloads: BTreeSet<Id> = names
        .flat_map(behind)
        .map(|workload| {
            Id::new(v1::Type::Inbound, format!("{}/{}", workload.meta.namespace, workload.meta.name))
        })
        .collect();
    let found = workloads.iter().filter_map(|id| Some((id, table.resource(id, "")?)));
    found.map(|(id, compiled)| resource(id, compiled)).collect()
}
