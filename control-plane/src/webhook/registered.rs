//! Keeps the API server trusting us: our own webhook configurations carry the mesh's roots as `caBundle`, all of them
//! while one is replaced.
//!
//! The chart writes the configurations without a `caBundle`, and but for the validator's `failurePolicy` (`proof`) we write
//! nothing else of them: so an upgrade takes nothing away from us, and whoever compares them with what is in a repository
//! sees no difference that he has made. They are looked at again and again, because somebody may put them there, or put
//! them right, at any time.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use weft_certs::bundle::TrustBundle;

use super::proof::{self, Proof};
use crate::source::kubernetes::full;

/// Who decides what the API server does when the validator does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Whoever has written the configuration.
    AsWritten,
    /// Whether it answers, which is tried.
    AsProven,
}

/// One of our configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its path at the API server.
    path: String,
}

impl Registered {
    /// The two of this name: what changes objects, and what refuses them.
    #[must_use]
    pub fn both(name: &str) -> [Self; 2] {
        ["mutating", "validating"].map(|does| Self {
            path: format!("/apis/admissionregistration.k8s.io/v1/{does}webhookconfigurations/{name}"),
        })
    }
}

/// Keeps them right for as long as there is a bundle to tell of. Failures are logged when they are new, and tried again.
pub async fn keep_registered(
    client: Client,
    registered: [Registered; 2],
    failure: Failure,
    mut bundle: watch::Receiver<Arc<TrustBundle>>,
) {
    let mut proof = Proof::default();
    let mut said: [Option<String>; 2] = [None, None];
    loop {
        let pem = bundle.borrow_and_update().to_pem();
        for (configuration, said) in registered.iter().zip(&mut said) {
            let outcome = match put_right(&client, configuration, &pem).await {
                Ok(true) => {
                    tracing::info!(
                        configuration.path,
                        "the API server trusts the webhooks by the mesh's roots"
                    );
                    None
                }
                Ok(false) => None,
                Err(why) => Some(why),
            };
            if let Some(why) = &outcome
                && said.as_ref() != Some(why)
            {
                tracing::warn!(configuration.path, why, "the API server may not trust the webhooks");
            }
            *said = outcome;
        }
        if failure == Failure::AsProven
            && let Some(policy) = proof.policy(&client).await
            && let Err(why) = set_policy(&client, &registered[1], policy).await
        {
            tracing::warn!(why, policy, "the validator's failurePolicy cannot be set; it is tried again");
        }
        if let Ok(Err(_gone)) = timeout(AGAIN, bundle.changed()).await {
            return;
        }
    }
}

/// Says whether something was wrong. One that is not there is right: who does not want it has not made it.
async fn put_right(client: &Client, configuration: &Registered, pem: &str) -> Result<bool, String> {
    let Some(written) = read(client, configuration).await? else { return Ok(false) };
    let Some(change) = change(&written, pem) else { return Ok(false) };
    patch(client, configuration, &change).await?;
    Ok(true)
}

async fn set_policy(client: &Client, configuration: &Registered, policy: &str) -> Result<(), String> {
    let Some(written) = read(client, configuration).await? else { return Ok(()) };
    match proof::change(&written, policy) {
        Some(change) => patch(client, configuration, &change).await,
        None => Ok(()),
    }
}

async fn read(client: &Client, configuration: &Registered) -> Result<Option<Value>, String> {
    match ask(client, "GET", &configuration.path, JSON_PATCH, Vec::new()).await? {
        Asked::Answered(written) => Ok(Some(written)),
        Asked::Absent => Ok(None),
    }
}

async fn patch(client: &Client, configuration: &Registered, change: &Value) -> Result<(), String> {
    ask(client, "PATCH", &configuration.path, JSON_PATCH, change.to_string().into_bytes()).await.map(drop)
}

/// What puts it right, as JSON Patch; `None`: it is. It holds for the very version that was read: a list may have
/// another order by now.
fn change(written: &Value, pem: &str) -> Option<Value> {
    let right = STANDARD.encode(pem);
    let version = written.pointer("/metadata/resourceVersion")?;
    let webhooks = written.get("webhooks")?.as_array()?.iter().enumerate();
    let wrong = webhooks.filter(|(_, it)| it.pointer("/clientConfig/caBundle") != Some(&json!(right)));
    let puts = wrong.map(|(nth, _)| {
        json!({"op": "add", "path": format!("/webhooks/{nth}/clientConfig/caBundle"), "value": right})
    });
    let mut puts = puts.peekable();
    puts.peek()?;
    let same = json!({"op": "test", "path": "/metadata/resourceVersion", "value": version});
    Some([same].into_iter().chain(puts).collect())
}

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

const JSON_PATCH: &str = "application/json-patch+json";
const PATIENCE: Duration = Duration::from_secs(10);
/// From one look to the next.
const AGAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(bundles: &[Option<&str>]) -> Value {
        let webhooks = bundles.iter().map(|bundle| match bundle {
            Some(pem) => json!({"name": "w", "clientConfig": {"caBundle": STANDARD.encode(pem)}}),
            None => json!({"name": "w", "clientConfig": {"service": {"name": "weft"}}}),
        });
        json!({"metadata": {"name": "weft", "resourceVersion": "7"}, "webhooks": webhooks.collect::<Vec<_>>()})
    }

    #[test]
    fn only_what_is_wrong_is_changed_and_only_in_the_version_that_was_read() {
        assert_eq!(change(&configuration(&[Some("roots"), Some("roots")]), "roots"), None);
        let right = STANDARD.encode("roots");
        let wanted = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": right}]);
        for wrong in [None, Some("other roots"), Some("")] {
            assert_eq!(
                change(&configuration(&[Some("roots"), wrong]), "roots"),
                Some(wanted.clone()),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn what_is_no_configuration_is_left_alone() {
        for written in [json!({}), json!(null), json!({"metadata": {"resourceVersion": "1"}, "webhooks": 3})]
        {
            assert_eq!(change(&written, "roots"), None, "{written}");
        }
    }
}
