//! What may have been processed is not sent again: applications that read a request and then do everything but answer
//! it count how often they have read it.

use std::sync::{Arc, Mutex};

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_tests::call;
use weft_tests::eventually::{eventually, soon};
use weft_tests::mesh::Mesh;
use weft_tests::origin::{Answer, Origin};
use weft_tests::peer::Peer;
use weft_tests::sidecar::Sidecar;

use crate::shop::SERVICES;

/// What an application does once it has read a request whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Closes the connection.
    Close,
    /// Resets it.
    Reset,
    /// Begins a head and closes.
    HalfAHead,
    /// Sends a head, half of the body that it promises, and closes.
    HalfABody,
    /// Says something that is not HTTP.
    Garbage,
    /// Says nothing.
    Silence,
    /// Answers that it cannot.
    Status,
}

const ALL: [Does; 7] =
    [Does::Close, Does::Reset, Does::HalfAHead, Does::HalfABody, Does::Garbage, Does::Silence, Does::Status];

/// web → two endpoints of `api` that misbehave in the same way.
struct Ledger {
    mesh: Mesh,
    web: Sidecar,
    _servers: Vec<(Peer, Sidecar)>,
    does: Arc<Mutex<Does>>,
    /// The method of each request that was read, but for those that warm connections.
    read: Arc<Mutex<Vec<String>>>,
}

/// Everything that may fail is named as worth another try.
const NAMED: &str =
    "attempts: 2, statuses: [500, 502, 503, 504], onTimeout: true, onReset: true, backoff: 1ms,
    budget: {percent: 100, minPerSecond: 1000}";

fn policy(more: &str) -> String {
    format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {{name: api, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: api}}], retries: {{{NAMED}{more}}},
                 circuitBreaking: {{consecutiveFailures: 0}}}}}}"
    )
}

/// Nothing ends by the clock but what is never answered, and that not before any machine has read it.
const ROUTE: &str = "
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: api, namespace: shop},
 spec: {parentRefs: [{kind: Service, group: '', name: api}], rules: [
   {matches: [{path: {value: /silence}}], timeouts: {backendRequest: 1s}, backendRefs: [{name: api, port: 80}]},
   {backendRefs: [{name: api, port: 80}]}]}}";

impl Ledger {
    async fn open() -> Self {
        let mesh = Mesh::start(&format!("{SERVICES}\n---\n{ROUTE}\n---\n{}", policy(""))).await;
        let (does, read) = (Arc::new(Mutex::new(Does::Close)), Arc::default());
        let mut servers = Vec::new();
        for name in ["shop/api-1", "shop/api-2"] {
            let (does, read) = (Arc::clone(&does), Arc::clone(&read));
            let peer = Peer::start(move |stream| {
                let (does, read) = (Arc::clone(&does), Arc::clone(&read));
                async move { misbehave(stream, &does, &read).await }
            })
            .await;
            let sidecar = mesh.beside(name).http(peer.addr).start().await;
            servers.push((peer, sidecar));
        }
        let web = mesh.beside("shop/web").start().await;
        mesh.serves("shop/api", 80, 2).await;
        Self { mesh, web, _servers: servers, does, read }
    }

    /// Sends one request, on connections that have been used before or not; how often it was read, and the answer's
    /// status, where it is whole.
    async fn send(&self, method: &str, does: Does, used: bool) -> (usize, Option<u16>) {
        *self.does.lock().unwrap() = does;
        self.read.lock().unwrap().clear();
        if used {
            // Either endpoint has a connection to its application that waits for a request.
            for _ in 0..8 {
                assert_eq!(self.web.get("http://api/warm").await.status, 200);
            }
        }
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let path = if does == Does::Silence { "silence" } else { "deed" };
        let request = call::request(method.clone(), &format!("http://api/{path}"), BODY);
        let mut client = self.web.client().await;
        // An answer that breaks off may do so before the client has seen its head.
        let response = soon("an answer or an end", client.try_send(request)).await;
        let status =
            response.ok().map(|response| response.status().as_u16()).filter(|_| does != Does::HalfABody);
        let read = self.read.lock().unwrap().clone();
        assert!(read.iter().all(|read| *read == method.as_str()), "{read:?}");
        (read.len(), status)
    }
}

const BODY: &str = "a deed";

async fn misbehave(
    mut stream: TcpStream,
    does: &Mutex<Does>,
    read: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&request).into_owned();
        if head.contains(" /warm ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
            continue;
        }
        stream.read_exact(&mut [0; BODY.len()]).await?;
        read.lock().unwrap().push(head.split(' ').next().unwrap().to_owned());
        let does = *does.lock().unwrap();
        match does {
            Does::Close => return stream.shutdown().await,
            Does::Reset => return stream.set_zero_linger(),
            Does::HalfAHead => return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").await,
            Does::HalfABody => {
                return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
            }
            Does::Garbage => return stream.write_all(b"\x15\x03\x01\x00\x02\x02\x46, no HTTP\r\n\r\n").await,
            Does::Silence => drop(stream.read_u8().await),
            Does::Status => {
                stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await?;
            }
        }
    }
}

#[tokio::test]
async fn whatever_becomes_of_it_a_request_that_is_not_idempotent_is_read_once() {
    let ledger = Ledger::open().await;
    for does in ALL {
        for used in [false, true] {
            for method in ["POST", "PATCH", "CHARGE"] {
                let (read, status) = ledger.send(method, does, used).await;
                assert_eq!(read, 1, "{method}, {does:?}, used before: {used}: {status:?}");
                let want = match does {
                    Does::HalfABody => None,
                    Does::Silence => Some(504),
                    Does::Status => Some(503),
                    _ => Some(502),
                };
                assert_eq!(status, want, "{method}, {does:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_same_failures_are_tried_again_where_twice_is_as_once_or_where_the_policy_says_it_may_be() {
    let ledger = Ledger::open().await;
    let three_times = async |method: &str| {
        for does in ALL {
            for used in [false, true] {
                // What has begun to be answered is answered.
                let want = if does == Does::HalfABody { 1 } else { 3 };
                let (read, status) = ledger.send(method, does, used).await;
                assert_eq!(read, want, "{method}, {does:?}, used before: {used}: {status:?}");
            }
        }
    };
    three_times("PUT").await;
    let opted = format!("{SERVICES}\n---\n{ROUTE}\n---\n{}", policy(", nonIdempotent: true"));
    ledger.mesh.apply("mesh.yaml", &opted).await;
    three_times("POST").await;
}

#[tokio::test]
async fn a_request_whose_sidecar_dies_under_it_reaches_no_second_endpoint() {
    let mesh = Mesh::start(&format!("{SERVICES}\n---\n{}", policy(""))).await;
    let origins = [Origin::start("api-1").await, Origin::start("api-2").await];
    let mut sidecars = Vec::new();
    for (nth, origin) in origins.iter().enumerate() {
        origin.always(Answer::Silence);
        sidecars.push(Some(mesh.beside(&format!("shop/api-{}", nth + 1)).http(origin.addr).start().await));
    }
    let web = Arc::new(mesh.beside("shop/web").start().await);
    mesh.serves("shop/api", 80, 2).await;
    let counts = || [origins[0].count(), origins[1].count()];
    let sending = tokio::spawn({
        let web = Arc::clone(&web);
        async move { web.send(call::request(Method::POST, "http://api/", BODY)).await }
    });
    let nth = eventually("one of them has it", async || counts().iter().position(|count| *count > 0)).await;
    drop(sidecars[nth].take());
    let reply = sending.await.unwrap();
    assert!(reply.status.is_server_error(), "{reply:?}");
    assert_eq!(counts().iter().sum::<usize>(), 1, "{:?}", counts());
}
