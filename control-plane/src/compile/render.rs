//! One resource in all its forms: lowered by `weft-manifests`, encoded by `weft-proto`, hashed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use weft_manifests::lower;
use weft_manifests::set::ObjectSet;
use weft_policy::object::{ObjectRef, ServiceName, ServicePort};
use weft_policy::route::{BackendRef, Routes};
use weft_policy::snapshot::{Alias, Service};
use weft_proto::trust::Trust;
use weft_proto::{decode, encode, v1, version};

use super::table::{Compiled, Forms, Id};

/// By what a Service is found: for everybody (`None`), or from one namespace.
pub(super) type Ways = BTreeMap<Option<Arc<str>>, BTreeSet<Id>>;

pub(super) fn trust(trust: &Trust) -> Compiled {
    compiled(encode::bytes(&encode::trust(trust)), Vec::new())
}

/// A Service as everybody sees it, and as its own namespace does, where its bare name leads to it.
pub(super) fn service(set: &ObjectSet, name: &ServiceName) -> (Forms<Compiled>, Ways) {
    let mut ways = Ways::new();
    let mut form = |class: Option<&Arc<str>>| {
        let value = lower::service(set, name, class.map(|namespace| &**namespace)).value?;
        ways.insert(class.cloned(), aliases(&value));
        let links = value.ports.iter().map(|port| endpoints_id(name, port.number)).collect();
        Some(compiled(encode::bytes(&encode::service(&value)), links))
    };
    let forms = Forms {
        common: form(None),
        special: form(Some(&name.namespace))
            .into_iter()
            .map(|own| (Arc::clone(&name.namespace), own))
            .collect(),
    };
    (forms.simplified(), ways)
}

/// A pod as everybody sees it, by its addresses.
pub(super) fn pod(set: &ObjectSet, workload: &ObjectRef) -> (Forms<Compiled>, Ways) {
    let Some(value) = lower::pod(set, workload).value else { return Default::default() };
    let compiled = compiled(encode::bytes(&encode::service(&value)), Vec::new());
    (Forms::common(compiled), Ways::from([(None, aliases(&value))]))
}

/// Routes as everybody sees them, and as the namespaces with consumer routes do (GEP-1426).
pub(super) fn routes(set: &ObjectSet, service: &ServiceName) -> Forms<Compiled> {
    let form = |class: Option<&str>| {
        let value = lower::routes(set, service, class).value?;
        Some(compiled(encode::bytes(&encode::routes(&value)), backends(&value)))
    };
    let consumers = set.consumers_of(service).into_iter();
    let special =
        consumers.filter_map(|consumer| Some((Arc::clone(&consumer), form(Some(&consumer))?))).collect();
    Forms { common: form(None), special }.simplified()
}

pub(super) fn endpoints(set: &ObjectSet, port: &ServicePort) -> Forms<Compiled> {
    let Some(value) = lower::endpoints(set, port).value else { return Forms::default() };
    let wire = encode::endpoints(&value);
    let compiled = compiled(encode::bytes(&wire), Vec::new());
    // What the proxy reads out of these bytes: patches are made from set to set. One that cannot be read back is
    // sent as it is, for the proxy to say why.
    Forms::common(Compiled { endpoints: decode::endpoints(wire).ok().map(Arc::new), ..compiled })
}

pub(super) fn inbound(set: &ObjectSet, workload: &ObjectRef) -> Forms<Compiled> {
    let Some(value) = lower::inbound(set, workload).value else { return Forms::default() };
    Forms::common(compiled(encode::bytes(&encode::inbound(&value.inbound, &value.health)), Vec::new()))
}

fn compiled(body: Bytes, links: Vec<Id>) -> Compiled {
    Compiled { version: version::of(&body), body, requires: Vec::new(), links, endpoints: None }
}

/// The Services behind the routes, and the endpoints of the ports that they send to.
fn backends(routes: &Routes) -> Vec<Id> {
    let rules = routes.ports.iter().flat_map(|(_, table)| table.routes()).flat_map(|route| &route.rules);
    let ports = rules.flat_map(|rule| &rule.backends).filter_map(|backend| match &backend.to {
        BackendRef::Service(port) => Some(port),
        BackendRef::Invalid { .. } => None,
    });
    let ids = ports.flat_map(|port| {
        [Id::new(v1::Type::Service, port.service.to_string()), endpoints_id(&port.service, port.port)]
    });
    ids.collect::<BTreeSet<_>>().into_iter().collect()
}

fn aliases(service: &Service) -> BTreeSet<Id> {
    let ips = service.vips.iter().map(|ip| Alias::Ip(*ip));
    let hosts = service.hosts.iter().map(|host| Alias::Host(Arc::clone(host)));
    ips.chain(hosts).map(|alias| Id::new(v1::Type::Service, alias.to_string())).collect()
}

fn endpoints_id(service: &ServiceName, port: u16) -> Id {
    Id::new(v1::Type::Endpoints, format!("{service}:{port}"))
}
