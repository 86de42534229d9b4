//! The mesh that is posed: so many proxies, each the replica of a service, each calling a few others and one that everybody
//! calls.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use weft_proto::v1::{self, Registration, Selector};

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Proxies, each with a workload of its own.
    pub(crate) proxies: usize,
    /// Services, of each of which there are as many replicas.
    pub(crate) services: usize,
}

impl Shape {
    /// As a mesh of this size may be: a thousand services at most, of four replicas or more.
    pub(crate) fn of(proxies: usize) -> Self {
        Self { proxies, services: (proxies / 4).clamp(1, 1000) }
    }

    /// What its operator declares. Workloads announce themselves.
    pub(crate) fn manifests(self) -> String {
        let service = |name: &str, selects: &str| {
            format!(
                "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\n\
                 spec: {{selector: {{{selects}}}, ports: [{{port: {PORT}, targetPort: 8080}}]}}\n"
            )
        };
        let mut text = service(SHARED, "shared: \"yes\"");
        for nth in 0..self.services {
            let name = app(nth);
            // Writing to a string does not fail.
            let _ = text.write_str(&service(&name, &format!("app: {name}")));
        }
        text
    }

    /// The service that a proxy is a replica of.
    pub(crate) const fn app_of(self, proxy: usize) -> usize {
        proxy % self.services
    }

    /// The services that a proxy calls, besides the one that everybody calls.
    pub(crate) fn calls(self, proxy: usize) -> BTreeSet<usize> {
        let apart = (self.services / CALLS).max(1);
        (0..CALLS).map(|nth| (self.app_of(proxy) + 1 + nth * apart) % self.services).collect()
    }

    /// The replicas of a service.
    pub(crate) fn replicas(self, service: usize) -> impl Iterator<Item = usize> {
        (service..self.proxies).step_by(self.services)
    }

    /// Those that serve what everybody calls.
    pub(crate) fn shared(self) -> usize {
        SHARING.min(self.proxies)
    }

    /// What a proxy says of its workload.
    pub(crate) fn registration(self, proxy: usize) -> Registration {
        let label = |key: &str, value: String| v1::Label { key: key.to_owned(), value };
        let mut labels = vec![label("app", app(self.app_of(proxy)))];
        if proxy < self.shared() {
            labels.push(label("shared", "yes".to_owned()));
        }
        let [.., high, middle, low] = proxy.to_be_bytes();
        let port = v1::RegisteredPort {
            name: "http".to_owned(),
            number: 8080,
            protocol: v1::AppProtocol::Http1.into(),
        };
        Registration {
            address: format!("10.{high}.{middle}.{low}"),
            inbound_port: 15006,
            ports: vec![port],
            labels,
            zone: String::new(),
            weight: 1,
        }
    }

    /// What a proxy asks for once its application has called everything that it calls.
    pub(crate) fn asks(self, proxy: usize) -> Vec<Selector> {
        let names = self.calls(proxy).into_iter().map(app).chain([SHARED.to_owned()]);
        let selector = |name| Selector {
            r#type: v1::Type::Service.into(),
            name: format!("host/{name}.{NAMESPACE}"),
            with_deps: true,
        };
        names.map(selector).collect()
    }
}

/// `namespace/name` of a proxy's workload.
pub(crate) fn workload(proxy: usize) -> String {
    format!("{NAMESPACE}/w-{proxy:05}")
}

/// Whose endpoint this is: they are called as their workloads are, without the namespace.
pub(crate) fn proxy_of(endpoint: &str) -> Option<usize> {
    endpoint.strip_prefix("w-")?.parse().ok()
}

/// A service's name, and that of its service account.
pub(crate) fn app(service: usize) -> String {
    format!("s-{service:04}")
}

/// Where everything is.
pub(crate) const NAMESPACE: &str = "fleet";
/// What everybody calls.
pub(crate) const SHARED: &str = "shared";
/// Where every service listens.
pub(crate) const PORT: u16 = 80;
/// Of how many services a proxy's application calls instances.
const CALLS: usize = 6;
/// How many replicas there are of what everybody calls.
const SHARING: usize = 16;
