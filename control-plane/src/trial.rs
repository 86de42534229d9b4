//! Manifests for tests, in as few words as they can be said: a handful of objects of two namespaces that refer to
//! each other in every way there is.

use proptest::prelude::*;

/// An object as text, under the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) file: String,
    pub(crate) text: String,
}

impl Written {
    fn new(kind: &str, namespace: &str, name: &str, text: String) -> Self {
        Self { file: format!("{namespace}/{kind}-{name}.yaml"), text }
    }
}

/// A Service with the ports of these numbers.
pub(crate) fn service(namespace: &str, name: &str, app: &str, ports: &[u16]) -> Written {
    let ports: Vec<_> = ports
        .iter()
        .map(|port| format!("{{name: p{port}, port: {port}, targetPort: 8080, appProtocol: http}}"))
        .collect();
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{selector: {{app: {app}}}, ports: [{}]}}\n",
        ports.join(", ")
    );
    Written::new("service", namespace, name, text)
}

/// A Workload at 127.0.1.`host`.
pub(crate) fn workload(namespace: &str, name: &str, app: &str, host: u8) -> Written {
    let text = format!(
        "apiVersion: weft.mesh/v1alpha1\nkind: Workload\n\
         metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {app}}}}}\n\
         spec: {{address: 127.0.1.{host}, ports: [{{name: http, port: 8080}}], serviceAccount: {app}}}\n"
    );
    Written::new("workload", namespace, name, text)
}

/// An HTTPRoute from a Service to others. In a namespace of its own it is a consumer route.
pub(crate) fn route(namespace: &str, name: &str, parent: (&str, &str), backends: &[&str]) -> Written {
    let backends: Vec<_> = backends
        .iter()
        .map(|backend| format!("{{name: {backend}, namespace: {}, port: 80}}", parent.0))
        .collect();
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{parentRefs: [{{group: \"\", kind: Service, name: {}, namespace: {}}}], rules: [{{backendRefs: [{}]}}]}}\n",
        parent.1,
        parent.0,
        backends.join(", ")
    );
    Written::new("route", namespace, name, text)
}

/// An AuthorizationPolicy about a Service.
pub(crate) fn authorization(namespace: &str, name: &str, target: &str, caller: &str) -> Written {
    let text = format!(
        "apiVersion: weft.mesh/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{targetRefs: [{{kind: Service, name: {target}}}], action: Allow, \
         rules: [{{from: [{{serviceAccounts: [{caller}]}}]}}]}}\n"
    );
    Written::new("authorization", namespace, name, text)
}

/// An AuthenticationPolicy for a namespace.
pub(crate) fn strict(namespace: &str) -> Written {
    let text = format!(
        "apiVersion: weft.mesh/v1alpha1\nkind: AuthenticationPolicy\nmetadata: {{name: strict, namespace: {namespace}}}\n\
         spec: {{mtls: {{mode: Strict}}}}\n"
    );
    Written::new("authentication", namespace, "strict", text)
}

/// A TrafficPolicy for a Service.
pub(crate) fn traffic(namespace: &str, name: &str, target: &str, attempts: u8) -> Written {
    let text = format!(
        "apiVersion: weft.mesh/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{targetRefs: [{{kind: Service, name: {target}}}], retries: {{attempts: {attempts}}}}}\n"
    );
    Written::new("traffic", namespace, name, text)
}

/// Any one of them.
pub(crate) fn written() -> impl Strategy<Value = Written> {
    let namespace = || prop::sample::select(vec!["shop", "bank"]);
    let name = || prop::sample::select(vec!["api", "web", "cart"]);
    prop_oneof![
        3 => (namespace(), name(), name(), prop::sample::subsequence(vec![80u16, 81], 1..=2))
            .prop_map(|(namespace, service_name, app, ports)| service(namespace, service_name, app, &ports)),
        4 => (namespace(), 0u8..4, name(), 1u8..6)
            .prop_map(|(namespace, number, app, host)| workload(namespace, &format!("w-{number}"), app, host)),
        2 => (namespace(), 0u8..2, namespace(), name(), prop::collection::vec(name(), 1..3)).prop_map(
            |(namespace, number, parent_namespace, parent, backends)| {
                route(namespace, &format!("r-{number}"), (parent_namespace, parent), &backends)
            }
        ),
        1 => (namespace(), 0u8..2, name(), prop::sample::select(vec!["shop/web", "bank/api"]))
            .prop_map(|(namespace, number, target, caller)| {
                authorization(namespace, &format!("a-{number}"), target, caller)
            }),
        1 => namespace().prop_map(strict),
        1 => (namespace(), name(), 1u8..4)
            .prop_map(|(namespace, target, attempts)| traffic(namespace, "t", target, attempts)),
    ]
}

/// What happens to the files.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    /// Written, or written over.
    Write(Written),
    /// Deleted, if it is there.
    Delete(Written),
    /// Becomes something that cannot be read.
    Break(Written),
}

/// Any edit.
pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        5 => written().prop_map(Edit::Write),
        2 => written().prop_map(Edit::Delete),
        1 => written().prop_map(Edit::Break),
    ]
}
