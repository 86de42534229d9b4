//! An API server that does as it is told: the few requests that a watch makes, answered as the real one answers them, and
//! every way in which they can go wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// What the next request for a kind gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// This status, of a list or of a watch that begins.
    Status(u16),
    /// The beginning of an answer, and then nothing.
    HangUp,
    /// Something that is no JSON.
    Nonsense,
}

type Body = BoxBody<Bytes, io::Error>;
type Lines = mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>;

#[derive(Default)]
struct State {
    version: u64,
    /// Older changes are forgotten.
    compacted: u64,
    objects: BTreeMap<(String, String), Value>,
    history: Vec<(u64, String, &'static str, Value)>,
    absent: BTreeSet<String>,
    cannot_stream: bool,
    faults: VecDeque<(String, Fault)>,
    watchers: Vec<(String, Lines)>,
    requests: Vec<String>,
}

/// The server, for as long as it is held.
pub(super) struct Server {
    state: Arc<Mutex<State>>,
    url: String,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&state);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                let answer = service_fn(move |request: Request<Incoming>| {
                    let answer = lock(&state).answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer);
                connections.spawn(async move {
                    // A connection that ends badly is what some tests are about.
                    let _ended = connection.await;
                });
            }
        });
        Self { state, url, _tasks: tasks }
    }

    pub(super) async fn client(&self) -> Client {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {}}],
        });
        let kubeconfig: Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }

    /// The kinds of this group are not there.
    pub(super) fn lacks(&self, group: &str, lacks: bool) {
        let mut state = lock(&self.state);
        if lacks {
            state.absent.insert(group.to_owned())
        } else {
            state.absent.remove(group)
        };
    }

    pub(super) fn cannot_stream(&self) {
        lock(&self.state).cannot_stream = true;
    }

    pub(super) fn put(&self, plural: &str, object: &Value) {
        lock(&self.state).put(plural, object.clone());
    }

    pub(super) fn delete(&self, plural: &str, name: &str) {
        lock(&self.state).delete(plural, name);
    }

    /// The next request for a kind fails.
    pub(super) fn fail(&self, plural: &str, fault: Fault) {
        lock(&self.state).faults.push_back((plural.to_owned(), fault));
    }

    /// Every watch of a kind ends in the middle of a line.
    pub(super) fn hang_up(&self, plural: &str) {
        let mut state = lock(&self.state);
        state.tell(plural, Err(()));
        state.watchers.retain(|(watched, _)| watched != plural);
    }

    /// Every watch of a kind is told this, and ends.
    pub(super) fn say(&self, plural: &str, line: &str) {
        let mut state = lock(&self.state);
        state.tell(plural, Ok(line));
        state.watchers.retain(|(watched, _)| watched != plural);
    }

    /// Nobody can go on from where he was.
    pub(super) fn compact(&self) {
        let mut state = lock(&self.state);
        state.version += 1;
        state.compacted = state.version;
        state.history.clear();
    }

    pub(super) fn requests(&self, path: &str) -> usize {
        lock(&self.state).requests.iter().filter(|request| request.contains(path)).count()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}

impl State {
    fn put(&mut self, plural: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = (plural.to_owned(), object["metadata"]["name"].as_str().unwrap().to_owned());
        let word = if self.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        self.objects.insert(key, object.clone());
        self.happened(plural, word, &object);
    }

    fn delete(&mut self, plural: &str, name: &str) {
        self.version += 1;
        let mut object = self.objects.remove(&(plural.to_owned(), name.to_owned())).unwrap();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.happened(plural, "DELETED", &object);
    }

    fn happened(&mut self, plural: &str, word: &'static str, object: &Value) {
        self.history.push((self.version, plural.to_owned(), word, object.clone()));
        self.tell(plural, Ok(&line(word, object)));
    }

    fn tell(&self, plural: &str, said: Result<&str, ()>) {
        for (_, lines) in self.watchers.iter().filter(|(watched, _)| watched == plural) {
            match said {
                Ok(line) => drop(lines.send(Ok(Frame::data(line.to_owned().into())))),
                Err(()) => {
                    drop(lines.send(Ok(Frame::data("{\"type\": \"ADD".into()))));
                    drop(lines.send(Err(io::ErrorKind::ConnectionReset.into())));
                }
            }
        }
    }

    fn answer(&mut self, request: &Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        self.requests.push(request.uri().to_string());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, plural) = match parts.as_slice() {
            ["apis", group, version] => return self.resources(group, version),
            ["apis", group, _, plural] => (*group, *plural),
            ["api", _, plural] => ("", *plural),
            _ => return status(404),
        };
        if let Some(place) = self.faults.iter().position(|(failing, _)| failing == plural) {
            match self.faults.remove(place).unwrap().1 {
                Fault::Status(code) => return status(code),
                Fault::HangUp => {
                    let (lines, body) = stream();
                    drop(lines.send(Ok(Frame::data("{\"items\": [".into()))));
                    drop(lines.send(Err(io::ErrorKind::ConnectionReset.into())));
                    return Response::new(body);
                }
                Fault::Nonsense => return Response::new(whole("<html>\n".into())),
            }
        }
        if self.absent.contains(group) {
            return status(404);
        }
        let value = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let of_kind = |objects: &BTreeMap<(String, String), Value>| -> Vec<Value> {
            objects.iter().filter(|((kind, _), _)| kind == plural).map(|(_, object)| object.clone()).collect()
        };
        if value("watch").as_deref() != Some("true") {
            let list = json!({"kind": "List", "apiVersion": "v1",
                "metadata": {"resourceVersion": self.version.to_string()}, "items": of_kind(&self.objects)});
            return Response::new(whole(list.to_string()));
        }
        let (lines, body) = stream();
        if value("sendInitialEvents").is_some() {
            if self.cannot_stream {
                return status(422);
            }
            for object in of_kind(&self.objects) {
                drop(lines.send(Ok(Frame::data(line("ADDED", &object).into()))));
            }
            let end = json!({"kind": "Bookmark", "apiVersion": "v1", "metadata": {
                "resourceVersion": self.version.to_string(),
                "annotations": {"k8s.io/initial-events-end": "true"}}});
            drop(lines.send(Ok(Frame::data(line("BOOKMARK", &end).into()))));
        } else {
            let from: u64 = value("resourceVersion").unwrap().parse().unwrap();
            if from < self.compacted {
                return status(410);
            }
            for (_, _, word, object) in
                self.history.iter().filter(|(version, kind, _, _)| *version > from && kind == plural)
            {
                drop(lines.send(Ok(Frame::data(line(word, object).into()))));
            }
        }
        self.watchers.push((plural.to_owned(), lines));
        Response::new(body)
    }

    fn resources(&self, group: &str, version: &str) -> Response<Body> {
        if self.absent.contains(group) {
            return status(404);
        }
        let kinds = super::super::WATCHED.iter().filter(|kind| kind.group == group);
        let resources: Vec<Value> = kinds
            .map(|kind| {
                json!({"name": kind.plural, "kind": kind.kind, "namespaced": true, "singularName": "", "verbs": ["watch"]})
            })
            .collect();
        let list = json!({"kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": format!("{group}/{version}"), "resources": resources});
        Response::new(whole(list.to_string()))
    }
}

fn line(word: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": word, "object": object}))
}

fn status(code: u16) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": "Scripted", "message": "as it was told"});
    let mut response = Response::new(whole(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}

fn stream() -> (Lines, Body) {
    let (lines, body) = mpsc::unbounded_channel();
    (lines, BodyExt::boxed(StreamBody::new(UnboundedReceiverStream::new(body))))
}
