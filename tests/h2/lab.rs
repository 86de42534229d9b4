//! A mesh of two: an application behind its sidecar, and a client's sidecar before it. Three ways lead to the
//! application, and each of them speaks HTTP/2 to whoever comes.

use std::net::SocketAddr;

use weft_tests::mesh::Mesh;
use weft_tests::sidecar::Sidecar;

/// A running one.
pub(crate) struct Lab {
    _mesh: Mesh,
    /// Beside it.
    pub(crate) server: Sidecar,
    /// Beside its client.
    pub(crate) web: Sidecar,
    speaks_h2: bool,
}

impl Lab {
    /// Before an application whose port is declared as `speaks` (`h2c`, `http`).
    pub(crate) async fn before(application: SocketAddr, speaks: &str) -> Self {
        let mesh = Mesh::start(&service(speaks)).await;
        let server = mesh.beside("shop/api-1").http(application).start().await;
        let web = mesh.beside("shop/web").set("WEFT_LOCAL_PORTS", "127.0.0.1:0=api.shop:80").start().await;
        mesh.serves("shop/api", 80, 1).await;
        Self { _mesh: mesh, server, web, speaks_h2: speaks == "h2c" }
    }

    /// The ways to the application: in plaintext to its sidecar, and through the client's sidecar and the mTLS hop.
    /// A client's sidecar takes a port at its word, so the second is HTTP/2 only where the port says so.
    pub(crate) fn ways(&self) -> Vec<(&'static str, SocketAddr)> {
        let mut ways = vec![("inbound, plaintext", self.server.inbound)];
        if self.speaks_h2 {
            ways.push(("outbound, then the mTLS hop", self.web.fixed[0]));
        }
        ways
    }
}

/// `api`, in namespace `shop`.
pub(crate) fn service(speaks: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: api, namespace: shop}},
          spec: {{selector: {{app: api}}, ports: [{{name: http, port: 80, targetPort: http, appProtocol: {speaks}}}]}}}}"
    )
}
