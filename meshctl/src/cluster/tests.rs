//! Lists of an API server that gives them page by page.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

/// An API server with these answers, one for each request in turn: a status, names, and where to go on.
async fn served(
    answers: &'static [(u16, &'static [&'static str], &'static str)],
) -> (Cluster, Arc<Mutex<Vec<String>>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (mut tasks, seen) = (JoinSet::new(), Arc::clone(&asked));
    tasks.spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let answer = service_fn(|request: Request<hyper::body::Incoming>| {
                let mut seen = seen.lock().unwrap();
                let (code, names, next) = answers[seen.len()];
                seen.push(request.uri().query().unwrap_or_default().to_owned());
                let items: Vec<Value> = names.iter().map(|name| json!({"metadata": {"name": name}})).collect();
                let body = json!({"kind": "List", "apiVersion": "v1", "items": items, "code": code, "status": "Failure",
                    "metadata": {"continue": next}, "message": "too old", "reason": "Expired"});
                let response = http::Response::builder().status(code).body(Full::new(Bytes::from(body.to_string())));
                async move { Ok::<_, Infallible>(response.unwrap()) }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer);
            connection.await.unwrap();
        }
    });
    let mut config = Config::new(server.parse().unwrap());
    config.default_retry = false;
    let client = Client::try_from(config).unwrap();
    (Cluster { client, server, namespace: "mesh".to_owned() }, asked, tasks)
}

fn names(list: &Value) -> Vec<&str> {
    items(list).filter_map(name).collect()
}

#[tokio::test]
async fn a_list_is_asked_for_to_its_end() {
    let (cluster, asked, _server) =
        served(&[(200, &["a", "b"], "x/y="), (200, &["c"], "z"), (200, &[], "")]).await;
    assert_eq!(names(&cluster.list("/api/v1/pods?labelSelector=app").await.unwrap()), ["a", "b", "c"]);
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "labelSelector=app&limit=500",
            "labelSelector=app&limit=500&continue=x%2Fy%3D",
            "labelSelector=app&limit=500&continue=z"
        ]
    );
}

#[tokio::test]
async fn a_list_that_changes_too_fast_is_begun_anew_once() {
    const GONE: (u16, &[&str], &str) = (410, &[], "");
    let (cluster, _, _server) =
        served(&[(200, &["a"], "x"), GONE, (200, &["b"], "y"), (200, &["c"], "")]).await;
    assert_eq!(names(&cluster.list("/api/v1/pods").await.unwrap()), ["b", "c"]);
    let (cluster, _, _server) = served(&[(200, &["a"], "x"), GONE, (200, &["b"], "y"), GONE]).await;
    let refused = cluster.list("/api/v1/pods").await.unwrap_err();
    assert!(matches!(refused, ApiError::Refused { code: 410, .. }), "{refused}");
}
