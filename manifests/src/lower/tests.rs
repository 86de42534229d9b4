//! What objects are lowered to. Routes are not looked at but asked: every expectation is a decision.

mod gamma;
mod policies;
mod routes;
mod services;

use super::*;
use crate::load::load;
use crate::settings::MeshSettings;
use http::{HeaderMap, HeaderName, Method};
use weft_policy::decide::{self, Outbound};
use weft_policy::draw::Draw;
use weft_policy::facts::{Destination, Facts, Request, Source};
use weft_policy::live::Nothing;
use weft_policy::moment::Moment;
use weft_policy::object::{Kind, ObjectRef, ServiceName};

const SHOP: &str = include_str!("../../tests/fixtures/shop.yaml");

/// The set of the objects in `yaml`, which must all be readable.
fn set(yaml: &str) -> ObjectSet {
    let loaded = load(&[("test.yaml", yaml)]);
    assert!(!loaded.has_errors(), "{:#?}", loaded.diagnostics);
    ObjectSet::of(MeshSettings::default(), loaded.accepted())
}

/// Services with a port each, and a workload behind each of them.
fn services(names: &[&str]) -> String {
    let one = |name: &&str| {
        let (namespace, name) = name.split_once('/').unwrap_or(("shop", name));
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}, {{name: alt, port: 8080}}]}}\n"
        )
    };
    names.iter().map(one).collect()
}

/// A route in `namespace` with this `spec`.
fn route(kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("shop", name));
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

/// A policy in `namespace` with this `spec`.
fn policy(kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("shop", name));
    format!(
        "---\napiVersion: weft.mesh/v1alpha1\nkind: {kind}\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

/// Where a call of a client in `namespace` goes: `shop/api:80`, `redirect`, or the refusal's token. The call is
/// `GET api/x?q=1 name:value`, of which host may have a port and headers may follow.
fn goes(set: &ObjectSet, namespace: &str, call: &str) -> String {
    let mut words = call.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (authority, path) = target.split_at(target.find('/').unwrap());
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut headers = HeaderMap::new();
    for word in words {
        let (name, value) = word.split_once(':').unwrap();
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let method: Method = method.parse().unwrap();
    let request = Request { method: &method, host, path, query, headers: &headers, grpc: false };
    let destination = Destination::Name { host, port: port.parse().unwrap() };
    let facts = Facts { source: Source::default(), destination, request: Some(request) };
    let snapshot = snapshot(set, namespace, None);
    match decide::outbound(&snapshot, &Nothing, &facts, Moment::START, &mut Draw::from_seed(1)) {
        Outbound::Forward(forward) => forward.to.to_string(),
        Outbound::Redirect { .. } => "redirect".into(),
        Outbound::Refuse { refusal, .. } => refusal.answer().token.into(),
        Outbound::Unknown => "unknown".into(),
    }
}

/// The conditions of an object, as `Accepted=False/Conflicted`.
fn conditions(set: &ObjectSet, kind: Kind, name: &str) -> Vec<String> {
    let (namespace, name) = name.split_once('/').unwrap_or(("shop", name));
    let words = |condition: &Condition| {
        let status = if condition.status { "True" } else { "False" };
        format!("{}={status}/{}", condition.kind.as_str(), condition.reason.as_str())
    };
    status(set, &ObjectRef::new(kind, namespace, name)).iter().map(words).collect()
}
