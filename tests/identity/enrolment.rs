//! The control plane's `Identity` service as a stranger speaks to it: no certificate, a token, and whatever request.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use weft_proto::v1::enroll_request::Attestation;
use weft_proto::v1::identity_client::IdentityClient;
use weft_proto::v1::{self, CreateTokenRequest};
use weft_tests::mesh::Mesh;

use crate::counters::{Counts, counts};
use crate::present::{anywhere, client};

/// gRPC over this TLS.
pub(crate) async fn channel(
    addr: SocketAddr,
    config: Arc<ClientConfig>,
) -> Result<Channel, tonic::transport::Error> {
    let connect = tower::service_fn(move |_| {
        let config = Arc::clone(&config);
        async move {
            let socket = TcpStream::connect(addr).await?;
            TlsConnector::from(config).connect(anywhere(), socket).await.map(TokioIo::new)
        }
    });
    Endpoint::from_static("http://control-plane").connect_with_connector(connect).await
}

/// The service, for somebody without a certificate.
pub(crate) async fn stranger(mesh: &Mesh) -> IdentityClient<Channel> {
    IdentityClient::new(channel(mesh.grpc_addr(), client(None, &[b"h2"])).await.unwrap())
}

/// A request for `workload`, whose service account has the workload's own name.
pub(crate) fn request(token: &str, workload: &str, csr_der: Vec<u8>) -> v1::EnrollRequest {
    v1::EnrollRequest {
        attestation: Some(Attestation::JoinToken(token.to_owned())),
        csr_der,
        lifetime: None,
        workload: workload.to_owned(),
    }
}

/// Asks.
pub(crate) async fn enrol(mesh: &Mesh, request: v1::EnrollRequest) -> Result<v1::Certificate, Status> {
    stranger(mesh).await.enroll(request).await.map(tonic::Response::into_inner)
}

/// A token for `shop/<name>` as `shop/sa/<account>`.
pub(crate) async fn token(mesh: &Mesh, name: &str, account: &str, uses: u32) -> String {
    let request = CreateTokenRequest {
        workload: format!("shop/{name}"),
        service_account: account.to_owned(),
        uses,
        lifetime_secs: 600,
    };
    mesh.operator().token(request).await.unwrap().token
}

/// How often requests for certificates have ended in which way.
pub(crate) async fn outcomes(mesh: &Mesh) -> Counts {
    let (family, method) = ("weft_control_plane_identity_requests_total", "method=\"enroll\"");
    counts(&mesh.metrics().await, family, method, "outcome")
}
