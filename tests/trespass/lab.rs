//! A mesh to trespass in: `web` calls `api`, behind which stands a [`Witness`].

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_tests::call;
use weft_tests::eventually::soon;
use weft_tests::mesh::Mesh;
use weft_tests::sidecar::Sidecar;

use crate::witness::Witness;

const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop},
 spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: http}]}}
";

/// A running one.
pub(crate) struct Lab {
    pub(crate) mesh: Mesh,
    pub(crate) web: Sidecar,
    pub(crate) api: Sidecar,
    pub(crate) witness: Witness,
}

impl Lab {
    /// With these objects besides.
    pub(crate) async fn open(manifests: &str) -> Self {
        let mesh = Mesh::start(&format!("{SERVICES}\n---\n{manifests}")).await;
        let witness = Witness::start().await;
        let api = mesh.beside("shop/api-1").http(witness.addr).start().await;
        let web = mesh.beside("shop/web").start().await;
        mesh.serves("shop/api", 80, 1).await;
        Self { mesh, web, api, witness }
    }

    /// Where a client that comes this way connects.
    pub(crate) const fn door(&self, way: Way) -> SocketAddr {
        match way {
            Way::PlainH1 | Way::PlainH2 => self.api.inbound,
            Way::HopH1 | Way::HopH2 => self.web.outbound,
        }
    }
}

/// How a request comes to `api`'s sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From a stranger, in plaintext.
    PlainH1,
    /// The same, over HTTP/2.
    PlainH2,
    /// From `web`, through its sidecar, over mutual TLS.
    HopH1,
    /// The same, and `web` speaks HTTP/2.
    HopH2,
}

impl Way {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::PlainH1, Self::PlainH2, Self::HopH1, Self::HopH2];

    /// Whether it passes a sidecar of the client's.
    pub(crate) const fn is_hop(self) -> bool {
        matches!(self, Self::HopH1 | Self::HopH2)
    }

    /// Whether the client speaks HTTP/2.
    pub(crate) const fn is_h2(self) -> bool {
        matches!(self, Self::PlainH2 | Self::HopH2)
    }
}

/// Writes bytes, and reads to the end.
pub(crate) async fn raw(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = call::connect(to).await;
    // It may be refused, or cut off, before all of it is written or read.
    let _ = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let _ = soon("the end of an answer", stream.read_to_end(&mut all)).await;
    all
}

/// The status in the head of a response; 0 if there is none.
pub(crate) fn status(response: &[u8]) -> u16 {
    let digits = response.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(0)
}

/// `GET` with this target as it is written, on a connection of its own.
pub(crate) async fn get_h1(to: SocketAddr, target: &str) -> (u16, Vec<u8>) {
    let response =
        raw(to, format!("GET {target} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n").as_bytes()).await;
    (status(&response), response)
}

/// An HTTP/2 connection that is kept for many requests.
pub(crate) struct H2 {
    sender: http2::SendRequest<Empty<Bytes>>,
}

impl H2 {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self { sender: call::h2c(to).await }
    }

    /// `GET` with this `:path`; `None` where it is nothing that a client can send.
    pub(crate) async fn get(&mut self, path: &str) -> Option<(u16, HeaderMap)> {
        self.get_from("api", path).await
    }

    /// The same, with this `:authority`.
    pub(crate) async fn get_from(&mut self, authority: &str, path: &str) -> Option<(u16, HeaderMap)> {
        let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path).build().ok()?;
        if uri.path() != path {
            return None;
        }
        let request = http::Request::get(uri).body(Empty::new()).unwrap();
        self.sender.ready().await.unwrap();
        let response = soon("a response", self.sender.send_request(request)).await.unwrap();
        let (parts, body) = response.into_parts();
        soon("its end", body.collect()).await.unwrap();
        Some((parts.status.as_u16(), parts.headers))
    }
}
