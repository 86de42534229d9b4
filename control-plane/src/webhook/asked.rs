//! One question to the API server about configurations of webhooks, of which no client of ours has the types.

use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::time::timeout;

use crate::source::kubernetes::full;

/// What an API server has said.
#[derive(Debug)]
pub(super) enum Asked {
    /// This.
    Answered(Value),
    /// That there is no such thing.
    Absent,
}

/// Asks, with a body of this kind; an error is what the API server refuses with.
pub(super) async fn ask(
    client: &Client,
    method: &str,
    path: &str,
    kind: &str,
    body: Vec<u8>,
) -> Result<Asked, String> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, kind)
        .body(body)
        .map_err(|error| error.to_string())?;
    match timeout(PATIENCE, client.request::<Value>(request)).await {
        Err(_) => Err(format!("nothing came within {PATIENCE:?}")),
        Ok(Ok(answer)) => Ok(Asked::Answered(answer)),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(Asked::Absent),
        Ok(Err(kube::Error::Api(status))) => Err(format!("{} {}", status.code, status.message)),
        Ok(Err(error)) => Err(full(&error)),
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
