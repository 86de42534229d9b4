//! The shop that most claims are shown on: `web` calls `api`, of which there are two versions.

use http::{Request, header};
use http_body_util::Full;
use hyper::upgrade::{Upgraded, on};
use hyper_util::rt::TokioIo;
use weft_tests::call::{self, Reply};
use weft_tests::eventually::soon;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;
use weft_tests::sidecar::Sidecar;

/// `api` stands for everybody; `api-v1` and `api-v2` for the workloads of that name.
pub(crate) const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop},
 spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: api-v1, namespace: shop},
 spec: {selector: {app: api-v1}, ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: api-v2, namespace: shop},
 spec: {selector: {app: api-v2}, ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]}}
";

/// A running shop.
pub(crate) struct Shop {
    pub(crate) mesh: Mesh,
    pub(crate) web: Sidecar,
    /// Behind the Services, in the order in which they were named.
    pub(crate) servers: Vec<Sidecar>,
    origins: Vec<Origin>,
}

impl Shop {
    /// With one server, `api-1`.
    pub(crate) async fn open(manifests: &str) -> Self {
        Self::open_with(&["api-1"], manifests).await
    }

    /// With these servers: `api-1` is behind the Service `api`, `api-v2-1` behind `api-v2`.
    pub(crate) async fn open_with(workloads: &[&str], manifests: &str) -> Self {
        let mesh = Mesh::start(&format!("{SERVICES}\n---\n{manifests}")).await;
        let (mut origins, mut servers) = (Vec::new(), Vec::new());
        for name in workloads {
            let origin = Origin::start(name).await;
            servers.push(mesh.beside(&format!("shop/{name}")).http(origin.addr).start().await);
            origins.push(origin);
        }
        let web = mesh.beside("shop/web").start().await;
        let shop = Self { mesh, web, servers, origins };
        shop.is_staffed(workloads).await;
        shop
    }

    async fn is_staffed(&self, workloads: &[&str]) {
        for service in ["api", "api-v1", "api-v2"] {
            let count = workloads.iter().filter(|name| name.rsplit_once('-').unwrap().0 == service).count();
            self.mesh.serves(&format!("shop/{service}"), 80, count).await;
        }
    }

    /// The application of a server.
    pub(crate) fn origin(&self, nth: usize) -> &Origin {
        &self.origins[nth]
    }

    /// `GET http://api<path>`, by web.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.web.get(&format!("http://api{path}")).await
    }

    /// As [`get`](Self::get), with headers.
    pub(crate) async fn get_with(&self, path: &str, headers: &[(&'static str, &str)]) -> Reply {
        let request = call::get(&format!("http://api{path}"));
        let add = |request, (name, value): &(&'static str, &str)| call::with(request, name, value);
        self.web.send(headers.iter().fold(request, add)).await
    }

    /// A connection through both sidecars that outlives requests: what is said on it comes back.
    pub(crate) async fn upgraded(&self) -> TokioIo<Upgraded> {
        let mut client = call::http1_on(call::connect(self.web.outbound).await).await;
        let request = Request::builder()
            .uri("http://api/socket")
            .header(header::HOST, "api")
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "echo");
        let response = client.send_request(request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 101, "{response:?}");
        assert_eq!(response.headers()[header::UPGRADE], "echo");
        TokioIo::new(soon("an upgrade", on(response)).await.unwrap())
    }
}
