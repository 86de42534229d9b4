//! One mesh for all vectors, and the lanes through it.

use std::net::SocketAddr;

use weft_tests::mesh::Mesh;
use weft_tests::sidecar::Sidecar;

use crate::recorder::{Recorder, Speaks};

/// A way that a request takes.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    /// Where a client connects.
    pub(crate) addr: SocketAddr,
    /// In place of `api.shop` in the vectors, of the same length, so that no length changes.
    pub(crate) host: &'static str,
    pub(crate) origin: Recorder,
    /// Every byte in a segment of its own: how the network cuts a request up changes nothing.
    pub(crate) in_pieces: bool,
}

/// The mesh, and its lanes.
#[derive(Debug)]
pub(crate) struct Lab {
    _mesh: Mesh,
    _sidecars: Vec<Sidecar>,
    pub(crate) lanes: Vec<Lane>,
}

impl Lab {
    /// `inbound`: plaintext to a sidecar, HTTP/1 to its application. `pieces`: the same, byte by byte. `mesh`: a fixed
    /// local port, mTLS (HTTP/2) between two sidecars, HTTP/1 to the application. `inbound-h2`: plaintext to a sidecar
    /// whose application speaks HTTP/2 alone. `proxy-h2`: as to an HTTP proxy, mTLS, HTTP/2 to the application.
    pub(crate) async fn open() -> Self {
        let service = |name: &str, protocol: &str| {
            format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{selector: \
                 {{app: {name}}}, ports: [{{name: it, port: 80, targetPort: it, appProtocol: {protocol}}}]}}}}\n---\n"
            )
        };
        let services = [("solo", "http"), ("bits", "http"), ("api", "http"), ("duo", H2C), ("rpc", H2C)];
        let manifests: String = services.iter().map(|(name, protocol)| service(name, protocol)).collect();
        let mesh = Mesh::start(&manifests).await;
        let (mut sidecars, mut origins) = (Vec::new(), Vec::new());
        for (name, protocol) in services {
            let origin = Recorder::start(if protocol == H2C { Speaks::H2 } else { Speaks::H1 }).await;
            let beside = mesh.beside(&format!("shop/{name}")).port("it", origin.addr);
            sidecars.push(beside.start().await);
            origins.push(origin);
        }
        let web = mesh.beside("shop/web").set("WEFT_LOCAL_PORTS", "127.0.0.1:0=api.shop:80").start().await;
        for (name, _) in services {
            mesh.serves(&format!("shop/{name}"), 80, 1).await;
        }
        let at = |nth: usize| sidecars[nth].inbound;
        let ways = [
            ("inbound", at(0), "api.shop"),
            ("pieces", at(1), "api.shop"),
            ("mesh", web.fixed[0], "api.shop"),
            ("inbound-h2", at(3), "api.shop"),
            ("proxy-h2", web.outbound, "rpc.shop"),
        ];
        let lanes = ways.into_iter().zip(origins).map(|((name, addr, host), origin)| Lane {
            name,
            addr,
            host,
            origin,
            in_pieces: name == "pieces",
        });
        let lanes = lanes.collect();
        sidecars.push(web);
        Self { _mesh: mesh, _sidecars: sidecars, lanes }
    }
}

const H2C: &str = "kubernetes.io/h2c";
