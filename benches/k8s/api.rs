//! An API server, asked in JSON over a proxy on loopback (`kubectl proxy`), which has the credentials.

use anyhow::{Context, bail};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// One connection, opened when it is needed; a clone has its own.
#[derive(Debug)]
pub(crate) struct Api {
    authority: String,
    open: Option<SendRequest<Full<Bytes>>>,
}

impl Clone for Api {
    fn clone(&self) -> Self {
        Self { authority: self.authority.clone(), open: None }
    }
}

impl Api {
    /// At `http://host:port`.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let authority = url.strip_prefix("http://").context("API is not http://host:port")?;
        Ok(Self { authority: authority.trim_end_matches('/').to_owned(), open: None })
    }

    /// What stands at a path; `None` if nothing does.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Option<Value>> {
        match self.send(Method::GET, path, JSON, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, body) => Ok(Some(well("GET", path, status, body)?)),
        }
    }

    /// Makes something.
    pub(crate) async fn post(&mut self, path: &str, object: &Value) -> anyhow::Result<Value> {
        let (status, body) = self.send(Method::POST, path, JSON, Some(object)).await?;
        well("POST", path, status, body)
    }

    /// Changes something, by a merge patch.
    pub(crate) async fn patch(&mut self, path: &str, change: &Value) -> anyhow::Result<Value> {
        let (status, body) =
            self.send(Method::PATCH, path, "application/merge-patch+json", Some(change)).await?;
        well("PATCH", path, status, body)
    }

    /// Deletes something, if it is there.
    pub(crate) async fn delete(&mut self, path: &str) -> anyhow::Result<()> {
        match self.send(Method::DELETE, path, JSON, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(()),
            (status, body) => well("DELETE", path, status, body).map(drop),
        }
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut sender = match self.open.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => {
                let socket =
                    TcpStream::connect(&self.authority).await.context("kubectl proxy is not there")?;
                socket.set_nodelay(true)?;
                let (sender, connection) = handshake(TokioIo::new(socket)).await?;
                tokio::spawn(connection);
                sender
            }
        };
        sender.ready().await?;
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header("host", &self.authority);
        let request = request.header("content-type", kind).body(Full::new(body))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        self.open = Some(sender);
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

fn well(verb: &str, path: &str, status: StatusCode, body: Value) -> anyhow::Result<Value> {
    if !status.is_success() {
        bail!("{verb} {path}: {status}: {}", body["message"].as_str().unwrap_or_default());
    }
    Ok(body)
}

const JSON: &str = "application/json";
