//! An API server for tests that does as it is told: what the control plane asks of a real one, answered as the real one
//! answers it, and every way in which that can go wrong.
//!
//! What it holds and how it answers is `store`; this is the socket before it, and the orders that a test gives.

mod store;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::source::kubernetes::connect;
use store::{Asked, Body, Store};

/// What a request gets instead of its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// This status.
    Status(u16),
    /// 429, to be asked again after so many seconds and not before.
    Later(u32),
    /// This status, in these words.
    Says(u16, &'static str),
    /// The beginning of an answer, and then the end of the connection.
    HangUp,
    /// Something that is no JSON.
    Nonsense,
    /// Nothing at all, for as long as somebody waits.
    Silence,
}

/// The server, for as long as it is held.
pub(crate) struct Server {
    store: Arc<Mutex<Store>>,
    url: String,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let store = Arc::new(Mutex::new(Store::default()));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&store);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let store = Arc::clone(&shared);
                let answer = service_fn(move |request| {
                    let answering = answer(Arc::clone(&store), request);
                    async move { Ok::<_, Infallible>(answering.await) }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer);
                connections.spawn(async move {
                    // A connection that ends badly is what some tests are about.
                    let _ended = connection.await;
                });
            }
        });
        Self { store, url, _tasks: tasks }
    }

    pub(crate) async fn client(&self) -> Client {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {}}],
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), kubeconfig.to_string()).unwrap();
        // With the limits that the product sets.
        connect(Some(file.path())).await.unwrap()
    }

    /// The kinds of this group are not there.
    pub(crate) fn lacks(&self, group: &str, lacks: bool) {
        let mut store = self.store();
        if lacks {
            store.absent.insert(group.to_owned())
        } else {
            store.absent.remove(group)
        };
    }

    /// The kinds of this group are there in this version, and in no other.
    pub(crate) fn serves_only(&self, group: &str, version: &str) {
        self.store().only.insert(group.to_owned(), version.to_owned());
    }

    pub(crate) fn cannot_stream(&self) {
        self.store().cannot_stream = true;
    }

    /// What stands at a path that is no object's.
    pub(crate) fn document(&self, path: &str, document: Value) {
        self.store().documents.insert(path.to_owned(), document);
    }

    /// What is said of a token.
    pub(crate) fn review(&self, token: &str, status: Value) {
        self.store().reviews.insert(token.to_owned(), status);
    }

    pub(crate) fn put(&self, plural: &str, object: &Value) {
        self.store().put(plural, object.clone());
    }

    pub(crate) fn delete(&self, plural: &str, name: &str) {
        self.store().delete(plural, name);
    }

    /// The object as it is now.
    pub(crate) fn object(&self, plural: &str, name: &str) -> Option<Value> {
        self.store().objects.get(&(plural.to_owned(), name.to_owned())).cloned()
    }

    /// The next request of that kind fails: `services`, `PUT leases`, `PATCH httproutes r`.
    pub(crate) fn fail(&self, what: &str, fault: Fault) {
        self.store().faults.push_back((what.to_owned(), fault));
    }

    /// Every request of that kind fails, until it is told otherwise.
    pub(crate) fn fail_always(&self, what: &str, fault: Option<Fault>) {
        let mut store = self.store();
        store.standing.retain(|(known, _)| known != what);
        store.standing.extend(fault.map(|fault| (what.to_owned(), fault)));
    }

    /// Every watch of a kind ends in the middle of a line.
    pub(crate) fn hang_up(&self, plural: &str) {
        self.store().end(plural, Err(()));
    }

    /// Every watch of a kind is told this, and ends.
    pub(crate) fn say(&self, plural: &str, line: &str) {
        self.store().end(plural, Ok(line));
    }

    /// Nobody can go on from where he was.
    pub(crate) fn compact(&self) {
        self.store().compact();
    }

    /// How many requests had this in their first line: `PUT /apis/coordination.k8s.io`, `/endpointslices`.
    pub(crate) fn requests(&self, line: &str) -> usize {
        self.store().requests.iter().filter(|request| request.contains(line)).count()
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }
}

async fn answer(store: Arc<Mutex<Store>>, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let asked = Asked::of(&head, &body);
    let answer = store.lock().unwrap().answer(&asked);
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}
