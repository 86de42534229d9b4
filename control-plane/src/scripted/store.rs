//! What a scripted API server holds, and how it answers a request: lists, watches, reads and writes with their
//! resource versions, reviews of tokens, and which kinds it has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::Fault;

pub(super) type Body = BoxBody<Bytes, io::Error>;
type Lines = mpsc::UnboundedSender<Result<Frame<Bytes>, io::Error>>;

#[derive(Default)]
pub(super) struct Store {
    version: u64,
    /// Older changes are forgotten.
    compacted: u64,
    /// By plural and name.
    pub(super) objects: BTreeMap<(String, String), Value>,
    history: Vec<(u64, String, &'static str, Value)>,
    pub(super) absent: BTreeSet<String>,
    pub(super) only: BTreeMap<String, String>,
    pub(super) cannot_stream: bool,
    pub(super) documents: BTreeMap<String, Value>,
    pub(super) reviews: BTreeMap<String, Value>,
    pub(super) faults: VecDeque<(String, Fault)>,
    pub(super) standing: Vec<(String, Fault)>,
    watchers: Vec<(String, Lines)>,
    pub(super) requests: Vec<String>,
}

/// A request, taken apart.
pub(super) struct Asked {
    line: String,
    method: String,
    path: String,
    query: String,
    group: String,
    version: String,
    /// Empty: about the group itself.
    plural: String,
    name: String,
    body: Value,
}

impl Asked {
    pub(super) fn of(head: &Parts, body: &[u8]) -> Self {
        let path = head.uri.path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            ["apis", group] => (*group, "", &[][..]),
            _ => ("", "", &[][..]),
        };
        let rest = if let ["namespaces", _, rest @ ..] = rest { rest } else { rest };
        let at = |nth: usize| rest.get(nth).copied().unwrap_or_default().to_owned();
        Self {
            line: format!("{} {}", head.method, head.uri),
            method: head.method.to_string(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            group: group.to_owned(),
            version: version.to_owned(),
            plural: at(0),
            name: at(1),
            body: serde_json::from_slice(body).unwrap_or_default(),
            path,
        }
    }

    /// Whether an order to fail is about this: `services`, `PUT leases`, `PATCH httproutes r`, or a path.
    fn is(&self, what: &str) -> bool {
        let Self { method, plural, name, path, .. } = self;
        what == plural
            || what == path
            || what == format!("{method} {plural}")
            || what == format!("{method} {plural} {name}")
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

impl Store {
    pub(super) fn put(&mut self, plural: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = (plural.to_owned(), object["metadata"]["name"].as_str().unwrap().to_owned());
        let word = if self.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        self.objects.insert(key, object.clone());
        self.happened(plural, word, &object);
        object
    }

    pub(super) fn delete(&mut self, plural: &str, name: &str) {
        self.version += 1;
        let mut object = self.objects.remove(&(plural.to_owned(), name.to_owned())).unwrap();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.happened(plural, "DELETED", &object);
    }

    pub(super) fn compact(&mut self) {
        self.version += 1;
        self.compacted = self.version;
        self.history.clear();
    }

    pub(super) fn end(&mut self, plural: &str, said: Result<&str, ()>) {
        self.tell(plural, said);
        self.watchers.retain(|(watched, _)| watched != plural);
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

    /// `None`: nothing is answered.
    pub(super) fn answer(&mut self, asked: &Asked) -> Option<Response<Body>> {
        self.requests.push(asked.line.clone());
        let standing = self.standing.iter().find(|(what, _)| asked.is(what)).map(|(_, fault)| *fault);
        let once = self.faults.iter().position(|(what, _)| asked.is(what));
        let once = once.and_then(|place| self.faults.remove(place)).map(|(_, fault)| fault);
        if let Some(fault) = once.or(standing) {
            return failed(fault);
        }
        if let Some(document) = self.documents.get(&asked.path) {
            return Some(Response::new(whole(document.to_string())));
        }
        let other = self
            .only
            .get(&asked.group)
            .is_some_and(|only| !asked.version.is_empty() && *only != asked.version);
        if asked.group.is_empty() && asked.plural.is_empty() || self.absent.contains(&asked.group) || other {
            return Some(status(404));
        }
        Some(match (asked.method.as_str(), asked.plural.as_str(), asked.name.as_str()) {
            ("GET", "", _) if asked.version.is_empty() => self.group(&asked.group),
            ("GET", "", _) => resources(&asked.group, &asked.version),
            ("POST", "tokenreviews", _) => self.reviewed(asked),
            ("GET", _, "") if asked.value("watch") == Some("true") => self.watch(asked),
            ("GET", plural, "") => {
                let list = json!({"kind": "List", "apiVersion": "v1",
                    "metadata": {"resourceVersion": self.version.to_string()}, "items": self.of_kind(plural)});
                Response::new(whole(list.to_string()))
            }
            _ => self.object(asked),
        })
    }

    fn of_kind(&self, plural: &str) -> Vec<Value> {
        let of_kind = self.objects.iter().filter(|((kind, _), _)| kind == plural);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    fn watch(&mut self, asked: &Asked) -> Response<Body> {
        let (lines, body) = stream();
        if asked.value("sendInitialEvents").is_some() {
            if self.cannot_stream {
                return status(422);
            }
            for object in self.of_kind(&asked.plural) {
                drop(lines.send(Ok(Frame::data(line("ADDED", &object).into()))));
            }
            let end = json!({"kind": "Bookmark", "apiVersion": "v1", "metadata": {
                "resourceVersion": self.version.to_string(),
                "annotations": {"k8s.io/initial-events-end": "true"}}});
            drop(lines.send(Ok(Frame::data(line("BOOKMARK", &end).into()))));
        } else {
            let from: u64 = asked.value("resourceVersion").unwrap().parse().unwrap();
            if from < self.compacted {
                return status(410);
            }
            let newer =
                self.history.iter().filter(|(version, kind, ..)| *version > from && *kind == asked.plural);
            for (_, _, word, object) in newer {
                drop(lines.send(Ok(Frame::data(line(word, object).into()))));
            }
        }
        self.watchers.push((asked.plural.clone(), lines));
        Response::new(body)
    }

    /// One object is read or written; a version that is not the newest is a conflict.
    fn object(&mut self, asked: &Asked) -> Response<Body> {
        let name = asked.body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or(&asked.name);
        let key = (asked.plural.clone(), name.to_owned());
        let found = self.objects.get(&key).cloned();
        let said = asked.body.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let is_stale = |found: &Value| said.is_some_and(|said| found["metadata"]["resourceVersion"] != said);
        let next = match (asked.method.as_str(), found) {
            ("GET", Some(found)) => return Response::new(whole(found.to_string())),
            ("POST", Some(_)) => return status(409),
            ("PUT" | "PATCH", Some(found)) if is_stale(&found) => return status(409),
            ("POST" | "PATCH", None) if asked.method == "POST" || asked.query.contains("fieldManager") => {
                asked.body.clone()
            }
            ("PUT", Some(_)) => asked.body.clone(),
            ("PATCH", Some(mut found)) => {
                merge(&mut found, &asked.body);
                found
            }
            _ => return status(404),
        };
        Response::new(whole(self.put(&asked.plural, next).to_string()))
    }

    fn reviewed(&self, asked: &Asked) -> Response<Body> {
        let token = asked.body.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default();
        let status = self.reviews.get(token).cloned().unwrap_or_else(|| json!({"authenticated": false}));
        Response::new(whole(json!({"kind": "TokenReview", "status": status}).to_string()))
    }

    fn group(&self, group: &str) -> Response<Body> {
        let version = self.only.get(group).map_or("v1", String::as_str);
        let at = json!({"groupVersion": format!("{group}/{version}"), "version": version});
        let answer = json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": [at],
            "preferredVersion": at, "serverAddressByClientCIDRs": []});
        Response::new(whole(answer.to_string()))
    }
}

/// Every kind that may be missing, of both groups: what is asked for is among them.
fn resources(group: &str, version: &str) -> Response<Body> {
    let plurals = [
        "httproutes",
        "grpcroutes",
        "trafficpolicies",
        "authorizationpolicies",
        "authenticationpolicies",
        "workloads",
    ];
    let resources = plurals.map(|plural| {
        json!({"name": plural, "kind": plural, "namespaced": true, "singularName": "", "verbs": ["watch"]})
    });
    let list = json!({"kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": format!("{group}/{version}"), "resources": resources});
    Response::new(whole(list.to_string()))
}

/// RFC 7396; and of RFC 6902, to which a list belongs, that something is added where there is a place for it.
fn merge(into: &mut Value, patch: &Value) {
    if let Some(steps) = patch.as_array().filter(|steps| steps.iter().any(|step| step["op"] == "add")) {
        for step in steps.iter().filter(|step| step["op"] == "add") {
            let (place, field) = step["path"].as_str().unwrap().rsplit_once('/').unwrap();
            into.pointer_mut(place).unwrap()[field] = step["value"].clone();
        }
        return;
    }
    let Some(fields) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let object = into.as_object_mut().unwrap();
    for (name, value) in fields {
        if value.is_null() {
            object.remove(name);
        } else {
            merge(object.entry(name).or_insert(Value::Null), value);
        }
    }
}

fn failed(fault: Fault) -> Option<Response<Body>> {
    Some(match fault {
        Fault::Status(code) => status(code),
        Fault::Says(code, message) => refusal(code, message),
        Fault::Later(seconds) => {
            let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 429,
                "reason": "TooManyRequests", "message": "too many requests, please try again later",
                "details": {"retryAfterSeconds": seconds}});
            let mut response = Response::new(whole(body.to_string()));
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response.headers_mut().insert("retry-after", seconds.into());
            response
        }
        Fault::HangUp => {
            let (lines, body) = stream();
            drop(lines.send(Ok(Frame::data("{\"items\": [".into()))));
            drop(lines.send(Err(io::ErrorKind::ConnectionReset.into())));
            Response::new(body)
        }
        Fault::Nonsense => Response::new(whole("<html>\n".into())),
        Fault::Silence => return None,
    })
}

fn line(word: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": word, "object": object}))
}

fn status(code: u16) -> Response<Body> {
    refusal(code, "as it was told")
}

fn refusal(code: u16, message: &str) -> Response<Body> {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "Scripted",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message});
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
