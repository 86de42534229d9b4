//! A proxy's end of the protocol in earnest: enrols with a join token, attaches over mTLS, applies what it is told
//! with the code that proxies run, and acknowledges.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use weft_certs::authority::{Authority, Issued};
use weft_certs::bundle::{RootHash, TrustBundles, TrustStore};
use weft_certs::request::KeyAndRequest;
use weft_certs::tls::{Credentials, Hop, Tls};
use weft_certs::verify::{Expect, PinnedRoot};
use weft_policy::identity::SpiffeId;
use weft_proto::held::Held;
use weft_proto::name::WorkloadName;
use weft_proto::token::Token;
use weft_proto::v1;

use crate::run::Running;

/// Long enough for a loaded machine; a test that passes never waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The operator's clients.
pub(super) struct Operator {
    pub(super) admin: v1::admin_client::AdminClient<Channel>,
    pub(super) inspect: v1::inspect_client::InspectClient<Channel>,
}

impl Operator {
    pub(super) async fn of(running: &Running) -> Self {
        let channel = unix(&running.admin_socket).await;
        Self {
            admin: v1::admin_client::AdminClient::new(channel.clone()),
            inspect: v1::inspect_client::InspectClient::new(channel),
        }
    }

    pub(super) async fn apply(&mut self, name: &str, text: &str) -> v1::ApplyReply {
        let file = v1::apply_request::File { name: name.to_owned(), text: text.as_bytes().to_vec() };
        let request = v1::ApplyRequest { files: vec![file], dry_run: false };
        self.admin.apply(request).await.unwrap().into_inner()
    }

    pub(super) async fn token(&mut self, workload: &str) -> String {
        let request = v1::CreateTokenRequest {
            workload: workload.to_owned(),
            uses: 5,
            ..v1::CreateTokenRequest::default()
        };
        self.admin.create_token(request).await.unwrap().into_inner().token
    }

    /// Waits until everybody has this revision.
    pub(super) async fn status(&mut self, revision: u64, wait: Duration) -> v1::StatusReply {
        let wait_millis = wait.as_millis().try_into().unwrap();
        self.inspect.status(v1::StatusRequest { revision, wait_millis }).await.unwrap().into_inner()
    }
}

async fn unix(path: &Path) -> Channel {
    let path = path.to_path_buf();
    let connect = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://operator").connect_with_connector(connect).await.unwrap()
}

pub(super) async fn connect(addr: SocketAddr, config: Arc<ClientConfig>) -> Channel {
    let connect = tower::service_fn(move |_| {
        let config = Arc::clone(&config);
        async move {
            let name = "weft".try_into().expect("a literal");
            let socket = TcpStream::connect(addr).await?;
            TlsConnector::from(config).connect(name, socket).await.map(TokioIo::new)
        }
    });
    Endpoint::from_static("http://control-plane").connect_with_connector(connect).await.unwrap()
}

/// Whether a connection holds. In TLS 1.3 a client is done before the server has judged it: the answer shows.
pub(super) async fn is_let_in(addr: SocketAddr, config: Arc<ClientConfig>) -> bool {
    let socket = TcpStream::connect(addr).await.unwrap();
    let name = "weft".try_into().expect("a literal");
    let Ok(mut stream) = TlsConnector::from(config).connect(name, socket).await else { return false };
    // The server of HTTP/2 speaks first: SETTINGS.
    matches!(timeout(PATIENCE, stream.read(&mut [0; 64])).await.expect("an answer"), Ok(1..))
}

/// The value of one line of the metrics; 0 if there is none.
pub(super) async fn metric(addr: SocketAddr, line: &str) -> u64 {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let found = answer.lines().find_map(|said| said.strip_prefix(line)?.strip_prefix(' '));
    found.map_or(0, |value| value.trim().parse().unwrap())
}

/// Who has enrolled.
#[derive(Clone)]
pub(super) struct Enrolled {
    pub(super) config: Arc<ClientConfig>,
    pub(super) anonymous: Arc<ClientConfig>,
}

impl Enrolled {
    pub(super) async fn with(addr: SocketAddr, token: &str, workload: &str) -> Self {
        let parsed: Token = token.parse().unwrap();
        let domain = parsed.trust_domain.clone();
        let root: RootHash =
            parsed.root_sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>().parse().unwrap();
        let tls = Tls::new(Arc::new(TrustStore::new(TrustBundles::default())));
        let anonymous = tls.pinned_client(&PinnedRoot { domain: domain.clone(), root });
        let channel = connect(addr, Arc::clone(&anonymous)).await;
        let KeyAndRequest { key, csr_der } = KeyAndRequest::generate().unwrap();
        let request = v1::EnrollRequest {
            attestation: Some(v1::enroll_request::Attestation::JoinToken(token.to_owned())),
            csr_der,
            workload: workload.to_owned(),
            lifetime: None,
        };
        let mut client = v1::identity_client::IdentityClient::new(channel);
        let certificate = client.enroll(request).await.unwrap().into_inner();
        let credentials = Credentials::new(certificate.chain_der, &key).unwrap();
        let anchors = certificate.trust.unwrap().anchor_der.into_iter().map(Into::into);
        let bundle =
            weft_certs::bundle::TrustBundle::new(domain.clone(), 1, anchors, Default::default()).unwrap();
        let tls = Tls::new(Arc::new(TrustStore::new(TrustBundles::default().with(bundle))));
        let control_plane = Expect::Exactly(SpiffeId::control_plane(&domain));
        Self { config: tls.client(&credentials, control_plane, Hop::ControlPlane), anonymous }
    }
}

impl Enrolled {
    /// The same, with a certificate that `issue` gives it.
    pub(super) fn with_credentials_of(
        &self,
        authority: &Authority,
        issue: impl FnOnce(&Authority, &[u8]) -> Issued,
    ) -> Self {
        let KeyAndRequest { key, csr_der } = KeyAndRequest::generate().unwrap();
        let credentials = Credentials::new(issue(authority, &csr_der).chain_der, &key).unwrap();
        let domain = authority.domain().clone();
        let roots = [authority.root().clone()];
        let bundle =
            weft_certs::bundle::TrustBundle::new(domain.clone(), 1, roots, Default::default()).unwrap();
        let tls = Tls::new(Arc::new(TrustStore::new(TrustBundles::default().with(bundle))));
        let control_plane = Expect::Exactly(SpiffeId::control_plane(&domain));
        let config = tls.client(&credentials, control_plane, Hop::ControlPlane);
        Self { config, anonymous: Arc::clone(&self.anonymous) }
    }
}

/// Attaches, saying at once what it wants.
pub(super) async fn attaching(
    addr: SocketAddr,
    who: &Enrolled,
    held: Held,
    hello: v1::Hello,
    wanted: &[(v1::Type, &str)],
) -> Result<Proxy, Status> {
    let add = wanted.iter().map(|(kind, name)| selector(*kind, name)).collect();
    let interest = v1::Interest { add, ..v1::Interest::default() };
    let words =
        vec![said(v1::client_frame::Kind::Hello(hello)), said(v1::client_frame::Kind::Interest(interest))];
    Proxy::attach_with(addr, who, held, words).await
}

/// An attached proxy.
pub(super) struct Proxy {
    pub(super) held: Held,
    pub(super) welcome: v1::Welcome,
    pub(super) to: mpsc::Sender<v1::ClientFrame>,
    from: Streaming<v1::ServerFrame>,
}

impl Proxy {
    /// Attaches; the first frame has to be a welcome.
    pub(super) async fn attach(addr: SocketAddr, who: &Enrolled, workload: &str) -> Result<Self, Status> {
        Self::attach_holding(addr, who, Held::new(WorkloadName::parse(workload).unwrap()), workload).await
    }

    pub(super) async fn attach_holding(
        addr: SocketAddr,
        who: &Enrolled,
        held: Held,
        workload: &str,
    ) -> Result<Self, Status> {
        let hello = v1::Hello {
            workload: workload.to_owned(),
            build: "test".to_owned(),
            retained: held.retained(),
            seen: held.seen().cloned(),
            ..v1::Hello::default()
        };
        Self::attach_saying(addr, who, held, hello).await
    }

    pub(super) async fn attach_saying(
        addr: SocketAddr,
        who: &Enrolled,
        held: Held,
        hello: v1::Hello,
    ) -> Result<Self, Status> {
        Self::attach_with(addr, who, held, vec![said(v1::client_frame::Kind::Hello(hello))]).await
    }

    async fn attach_with(
        addr: SocketAddr,
        who: &Enrolled,
        mut held: Held,
        words: Vec<v1::ClientFrame>,
    ) -> Result<Self, Status> {
        let channel = connect(addr, Arc::clone(&who.config)).await;
        let (to, frames) = mpsc::channel(64);
        for word in words {
            to.send(word).await.unwrap();
        }
        let mut client = v1::discovery_client::DiscoveryClient::new(channel);
        let mut from = client.attach(ReceiverStream::new(frames)).await?.into_inner();
        let first = timeout(PATIENCE, from.message()).await.unwrap()?.expect("a first frame");
        let Some(v1::server_frame::Kind::Welcome(welcome)) = first.kind else { panic!("{first:?}") };
        held.welcome(&welcome).unwrap();
        Ok(Self { held, welcome, to, from })
    }

    pub(super) async fn ask(&self, selectors: &[(v1::Type, &str)]) {
        self.state(selectors, &[], Vec::new()).await;
    }

    pub(super) async fn state(
        &self,
        add: &[(v1::Type, &str)],
        drop: &[(v1::Type, &str)],
        detail: Vec<v1::Retained>,
    ) {
        let selectors =
            |list: &[(v1::Type, &str)]| list.iter().map(|(kind, name)| selector(*kind, name)).collect();
        let interest = v1::Interest { add: selectors(add), drop: selectors(drop), detail };
        self.to.send(said(v1::client_frame::Kind::Interest(interest))).await.unwrap();
    }

    pub(super) async fn report(&self, report: v1::Report) {
        self.to.send(said(v1::client_frame::Kind::Report(report))).await.unwrap();
    }

    /// Takes one transaction without acknowledging it.
    pub(super) async fn take(&mut self) -> Result<Taken, Status> {
        let mut updates = Vec::new();
        loop {
            let frame = timeout(PATIENCE, self.from.message()).await.expect("an update in time")?;
            match frame.expect("the stream goes on").kind.expect("a kind") {
                v1::server_frame::Kind::Update(update) => {
                    let more = update.more;
                    updates.push(update.clone());
                    let _progress = self.held.stage(update).unwrap();
                    if !more {
                        break;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        let committed = self.held.commit().expect("a whole transaction");
        Ok(Taken { updates, committed })
    }

    /// Takes one transaction and acknowledges it.
    pub(super) async fn apply(&mut self) -> Taken {
        let taken = self.take().await.unwrap();
        self.acknowledge(taken.committed.ack.clone()).await;
        if !taken.committed.resync.is_empty() {
            let resync = v1::Resync { names: taken.committed.resync.clone() };
            self.to.send(said(v1::client_frame::Kind::Resync(resync))).await.unwrap();
        }
        taken
    }

    pub(super) async fn acknowledge(&self, ack: v1::Ack) {
        self.to.send(said(v1::client_frame::Kind::Ack(ack))).await.unwrap();
    }

    /// Applies transactions until `done` says so.
    pub(super) async fn until(&mut self, done: impl Fn(&Held) -> bool) {
        while !done(&self.held) {
            self.apply().await;
        }
    }

    /// Ends the stream, and keeps what was told.
    pub(super) fn hang_up(self) -> Held {
        self.held
    }

    /// Takes and confirms what comes until there is a notice.
    pub(super) async fn notice(&mut self) -> v1::notice::Kind {
        loop {
            let frame =
                timeout(PATIENCE, self.from.message()).await.expect("a notice in time").unwrap().unwrap();
            match frame.kind.expect("a kind") {
                v1::server_frame::Kind::Notice(notice) => return notice.kind(),
                v1::server_frame::Kind::Update(update) => {
                    let _progress = self.held.stage(update).unwrap();
                    if let Some(committed) = self.held.commit() {
                        self.acknowledge(committed.ack).await;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits for the stream to end. Gives how.
    pub(super) async fn end(&mut self) -> Result<(), Status> {
        loop {
            match timeout(PATIENCE, self.from.message()).await.expect("an end in time") {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(status) => return Err(status),
            }
        }
    }
}

/// A transaction as it came and as it was applied.
pub(super) struct Taken {
    pub(super) updates: Vec<v1::Update>,
    pub(super) committed: weft_proto::held::Committed,
}

impl Taken {
    pub(super) fn puts(&self) -> Vec<String> {
        self.updates.iter().flat_map(|update| update.put.iter().map(|put| put.name.clone())).collect()
    }

    pub(super) fn gone(&self) -> Vec<String> {
        self.updates.iter().flat_map(|update| update.gone.iter().map(|gone| gone.name.clone())).collect()
    }
}

pub(super) fn selector(kind: v1::Type, name: &str) -> v1::Selector {
    v1::Selector { r#type: kind.into(), name: name.to_owned(), with_deps: kind == v1::Type::Service }
}

pub(super) fn said(kind: v1::client_frame::Kind) -> v1::ClientFrame {
    v1::ClientFrame { kind: Some(kind) }
}
