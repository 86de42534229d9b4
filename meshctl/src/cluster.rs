//! A cluster, as whoever asks may see it: by a kubeconfig, through the API server, whose RBAC is the check.
//!
//! What is asked of the API server itself is asked in JSON, by paths that are written out: a dozen requests need no types
//! of a thousand fields. What is asked of the control plane goes through a port that the API server forwards (`forward`).

mod forward;
mod installations;
mod merged;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::time::timeout;

pub(crate) use installations::{namespace_of, others};
pub(crate) use merged::merged;

use crate::asked::Asked;

/// Which cluster, and where in it the mesh is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Which {
    /// Ask a cluster, by this kubeconfig; else by KUBECONFIG, ~/.kube/config, or the account of the pod.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Ask a cluster, by this context of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The namespace that Weft is installed in.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "WEFT_MESH_NAMESPACE",
        default_value = "weft-system"
    )]
    mesh_namespace: String,
}

impl Which {
    /// Whether a cluster was named, so that no other control plane is meant.
    pub(crate) const fn is_said(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }

    /// The namespace that Weft is installed in, or is to be.
    pub(crate) fn namespace(&self) -> &str {
        &self.mesh_namespace
    }

    /// A way to the API server. Nothing has been sent yet.
    ///
    /// # Errors
    /// [`NoCluster`].
    pub(crate) async fn connect(&self) -> Result<Cluster, NoCluster> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let no_way = |error: Box<dyn std::error::Error + Send + Sync>| NoCluster { why: full(&*error) };
        let read = match (&self.kubeconfig, &self.context) {
            (Some(path), _) => {
                let file = Kubeconfig::read_from(path).map_err(|error| no_way(error.into()))?;
                Config::from_custom_kubeconfig(file, &options).await.map_err(|error| no_way(error.into()))
            }
            (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|error| no_way(error.into())),
            (None, None) => Config::infer().await.map_err(|error| no_way(error.into())),
        };
        let mut config = read?;
        config.connect_timeout = Some(CONNECT);
        // A person waits: whatever is wrong is said, and not tried for minutes.
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| no_way(error.into()))?;
        Ok(Cluster { client, server, namespace: self.mesh_namespace.clone() })
    }
}

/// A cluster that can be asked.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
    /// The API server's address.
    pub(crate) server: String,
    /// The namespace that Weft is installed in.
    pub(crate) namespace: String,
}

impl Cluster {
    /// What stands at a path.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send(Method::GET, path, JSON, None).await
    }

    /// Everything of a list, page by page: an API server gives the rest of a long one only to who asks for it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn list(&self, path: &str) -> Result<Value, ApiError> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let (mut all, mut next, mut began_anew) = (Vec::new(), String::new(), false);
        loop {
            let which = if next.is_empty() { String::new() } else { format!("&continue={}", escaped(&next)) };
            match self.get(&format!("{path}{mark}limit={PAGE}{which}")).await {
                Ok(mut page) => {
                    let more = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default();
                    next = more.to_owned();
                    if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                        all.extend(items);
                    }
                    if next.is_empty() {
                        return Ok(json!({"items": all}));
                    }
                }
                // Its state is no longer kept: what changes that fast is read once more, and then believed to be away.
                Err(ApiError::Refused { code: 410, .. }) if !began_anew => {
                    (all, next, began_anew) = (Vec::new(), String::new(), true);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The `metadata` of what stands at a path, for what is in it is not to be seen.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn metadata(&self, path: &str) -> Result<Value, ApiError> {
        self.send(Method::GET, path, METADATA, None).await
    }

    /// Sends something: an object to be made, or a question that looks like one.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.send(Method::POST, path, JSON, Some(body)).await
    }

    /// Makes an object be as it says, by server-side apply.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn apply(&self, path: &str, object: &Value) -> Result<Value, ApiError> {
        let path = format!("{path}?fieldManager=meshctl");
        self.send(Method::PATCH, &path, "application/apply-patch+yaml", Some(object)).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        // Of a question without a body it is the kind of the answer.
        let header = if body.is_empty() { http::header::ACCEPT } else { http::header::CONTENT_TYPE };
        let request = Request::builder().method(method).uri(path).header(header, kind).body(body);
        let request = request.map_err(|error| ApiError::Away { why: error.to_string() })?;
        match timeout(PATIENCE, self.client.request::<Value>(request)).await {
            Err(_) => {
                Err(ApiError::Away { why: format!("{} has not answered within {PATIENCE:?}", self.server) })
            }
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) => {
                Err(ApiError::Refused { code: status.code, message: status.message.clone() })
            }
            Ok(Err(error)) => Err(ApiError::Away { why: format!("{}: {}", self.server, full(&error)) }),
        }
    }

    /// Every control plane of the mesh that is ready to be asked.
    ///
    /// # Errors
    /// If there is none, or no way to it.
    pub(crate) async fn asked(&self) -> anyhow::Result<Asked> {
        let pods = self.list(&self.path_of_control_planes()).await?;
        let mut ready = items(&pods).filter(|pod| is_ready(pod)).filter_map(name);
        let first = ready.next().with_context(|| {
            format!(
                "no control plane is ready in the namespace {}: see `meshctl check`, or name another with \
                 --mesh-namespace",
                self.namespace
            )
        })?;
        let first = forward::control_plane(&self.client, &self.namespace, first).await?;
        let mut others = Vec::new();
        for pod in ready {
            others.push(forward::control_plane(&self.client, &self.namespace, pod).await?);
        }
        Ok(Asked::all(first, others))
    }

    /// Where the pods of the control plane are listed.
    pub(crate) fn path_of_control_planes(&self) -> String {
        format!("/api/v1/namespaces/{}/pods?labelSelector={CONTROL_PLANES}", self.namespace)
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
#[error("there is no way to a cluster: {why}; set KUBECONFIG, or give --kubeconfig or --context")]
pub(crate) struct NoCluster {
    why: String,
}

/// Why the API server does not do as it is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    /// It says no.
    #[error("the API server refuses ({code}): {message}")]
    Refused {
        /// The status, as in HTTP.
        code: u16,
        /// Its words.
        message: String,
    },
    /// It says nothing.
    #[error("the API server cannot be asked: {why}")]
    Away {
        /// What went wrong.
        why: String,
    },
}

impl ApiError {
    /// Whether there is no such thing.
    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }
}

/// The members of a list.
pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.get("items").and_then(Value::as_array).into_iter().flatten()
}

/// `metadata.name`
pub(crate) fn name(object: &Value) -> Option<&str> {
    object.pointer("/metadata/name")?.as_str()
}

/// Whether a pod says that it is ready, and is not on its way out.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    pod.pointer("/metadata/deletionTimestamp").is_none()
        && conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// A text as the value of a query.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// An error with its causes.
fn full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

const CONTROL_PLANES: &str = "app.kubernetes.io/part-of=weft,app.kubernetes.io/component=control-plane";
/// What is asked for at once: as much as `kubectl` asks for.
const PAGE: u32 = 500;
const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const CONNECT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
