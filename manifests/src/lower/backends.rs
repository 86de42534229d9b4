//! Backend references: to the endpoints of a Service port, or to nowhere with a reason.
//!
//! A reference that leads nowhere keeps its share of the weight and answers `500` for it; the others keep
//! working. In a mesh a backend in another namespace needs no `ReferenceGrant` (GEP-1294).

use std::sync::Arc;

use weft_policy::object::ServicePort;
use weft_policy::protocol::AppProtocol;
use weft_policy::route::{Backend, BackendRef, InvalidBackend};

use crate::gateway_api::backend::BackendRef as Written;
use crate::gateway_api::filter::Filter;
use crate::reader::shorten;
use crate::set::ObjectSet;

use super::condition::Detail;
use super::filters;
use super::findings::Findings;

/// Lowers the backends of the rule at `field`, of a route in `namespace`.
pub(super) fn lower(
    set: &ObjectSet,
    namespace: &Arc<str>,
    written: &[Written],
    field: &str,
    matched: Option<&Arc<str>>,
    findings: &mut Findings,
) -> Vec<Backend> {
    let mut backends = Vec::with_capacity(written.len());
    for (index, backend) in written.iter().enumerate() {
        let field = format!("{field}.backendRefs[{index}]");
        let to = resolve(set, namespace, backend, &field).unwrap_or_else(|(why, detail)| {
            findings.unresolved(why, detail);
            let named = backend.service(namespace).map(|service| service.to_string());
            let name = match (named, backend.port) {
                (Some(service), Some(port)) => format!("Service {service}:{port}"),
                (Some(service), None) => format!("Service {service}"),
                (None, _) => backend.to_string(),
            };
            BackendRef::Invalid { name: name.into(), why }
        });
        if backend.filters.iter().any(|filter| matches!(filter, Filter::Redirect(_))) {
            let message = "Fall Back: a redirect belongs to the rule; at a backend it answers with 500";
            findings.partial(format!("{field}.filters"), message);
        }
        let filters = filters::lower(&backend.filters, &format!("{field}.filters"), matched, findings);
        backends.push(Backend { weight: backend.weight, to, filters });
    }
    if !written.is_empty() && written.iter().all(|backend| backend.weight == 0) {
        let message = "the weights sum to zero: requests that fall under this rule are answered with 500";
        findings.remark(format!("{field}.backendRefs"), message);
    }
    backends
}

fn resolve(
    set: &ObjectSet,
    namespace: &Arc<str>,
    backend: &Written,
    field: &str,
) -> Result<BackendRef, (InvalidBackend, Detail)> {
    let no = |why, message: String| Err((why, Detail::new(field, message)));
    let Some(name) = backend.service(namespace) else {
        let kind = shorten(&backend.kind);
        return no(InvalidBackend::InvalidKind, format!("a route cannot send to a {kind}; name a Service"));
    };
    let Some(service) = set.service(&name) else {
        return Err((InvalidBackend::BackendNotFound, Detail::missing(field, &name)));
    };
    let numbers = || service.ports.iter().map(|port| port.number.to_string()).collect::<Vec<_>>().join(", ");
    let Some(number) = backend.port else {
        return no(InvalidBackend::BackendNotFound, format!("`port` is missing; {name} has {}", numbers()));
    };
    let Some(port) = service.port(number) else {
        let message = format!("Service {name} has no port {number}; it has {}", numbers());
        return no(InvalidBackend::BackendNotFound, message);
    };
    if matches!(port.declared, Some(AppProtocol::Opaque | AppProtocol::Tls)) {
        let message = format!("{name}:{number} declares a protocol that HTTP cannot be sent over");
        return no(InvalidBackend::UnsupportedProtocol, message);
    }
    Ok(BackendRef::Service(ServicePort { service: name, port: number }))
}
