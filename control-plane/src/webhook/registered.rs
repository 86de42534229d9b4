//! Keeps the API server trusting us: our own webhook configurations carry the mesh's roots as `caBundle`, all of them
//! while one is replaced.
//!
//! The chart writes the configurations without a `caBundle`, and but for the validator's `failurePolicy` (`proof`), and for
//! what an installation does that is not the first of its cluster (`neighbours`), we write nothing else of them: so an
//! upgrade takes nothing away from us, and whoever compares them with what is in a repository sees no difference that he
//! has made. They are looked at again and again, because somebody may put them there, or put them right, at any time.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use weft_certs::bundle::TrustBundle;

use super::asked::{Asked, ask};
use super::neighbours::{self, Place};
use super::proof::{self, Proof};

/// Who decides what the API server does when the validator does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Whoever has written the configuration.
    AsWritten,
    /// Whether it answers, which is tried.
    AsProven,
}

/// Our two configurations: what changes objects, and what refuses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Their paths at the API server.
    paths: [String; 2],
    /// The name that the API server calls us by: `<service>.<namespace>.svc`.
    called: String,
}

impl Registered {
    /// The two of this name, of the webhooks that are called by that one.
    #[must_use]
    pub fn both(name: &str, called: &str) -> Self {
        let paths = ["mutating", "validating"]
            .map(|does| format!("/apis/admissionregistration.k8s.io/v1/{does}webhookconfigurations/{name}"));
        Self { paths, called: called.to_owned() }
    }
}

/// Keeps them right for as long as there is a bundle to tell of, and tells whether we are the installation that acts.
/// Failures are logged when they are new, and tried again.
pub async fn keep_registered(
    client: Client,
    registered: Registered,
    failure: Failure,
    mut bundle: watch::Receiver<Arc<TrustBundle>>,
    tell: watch::Sender<Place>,
) {
    let mut proof = Proof::default();
    let mut said: [Option<String>; 2] = [None, None];
    let mut unseen = None;
    loop {
        let pem = bundle.borrow_and_update().to_pem();
        let before = tell.borrow().clone();
        let place = match neighbours::look(&client, &registered.called, &before).await {
            Ok(place) => {
                unseen = None;
                place
            }
            Err(why) => {
                // A role from before this was looked at: then nobody stands back, as it was.
                let place = if why.starts_with("403 ") { Place::First } else { before };
                if unseen.as_ref() != Some(&why) {
                    tracing::warn!(
                        why,
                        "whether another installation of Weft is in this cluster cannot be seen"
                    );
                }
                unseen = Some(why);
                place
            }
        };
        tell.send_replace(place.clone());
        for (path, said) in registered.paths.iter().zip(&mut said) {
            let outcome = match put_right(&client, path, &place, &pem).await {
                Ok(true) if place == Place::First => {
                    tracing::info!(path, "the API server trusts the webhooks by the mesh's roots");
                    None
                }
                Ok(_) => None,
                Err(why) => Some(why),
            };
            if let Some(why) = &outcome
                && said.as_ref() != Some(why)
            {
                tracing::warn!(path, why, "the API server may not trust the webhooks");
            }
            *said = outcome;
        }
        if place == Place::First
            && failure == Failure::AsProven
            && let Some(policy) = proof.policy(&client).await
            && let Err(why) = set_policy(&client, &registered.paths[1], policy).await
        {
            tracing::warn!(why, policy, "the validator's failurePolicy cannot be set; it is tried again");
        }
        if let Ok(Err(_gone)) = timeout(AGAIN, bundle.changed()).await {
            return;
        }
    }
}

/// Says whether something was wrong. One that is not there is right: who does not want it has not made it.
async fn put_right(client: &Client, path: &str, place: &Place, pem: &str) -> Result<bool, String> {
    let Some(mut written) = read(client, path).await? else { return Ok(false) };
    let standing = match place {
        Place::Unknown => return Ok(false),
        Place::First => neighbours::go_on(&written),
        Place::Behind(first) => neighbours::stand_back(&written, first),
    };
    if let Some(change) = standing {
        match patch(client, path, MERGE_PATCH, &change).await? {
            Asked::Answered(now) => written = now,
            Asked::Absent => return Ok(false),
        }
    }
    if *place != Place::First {
        return Ok(false);
    }
    let Some(change) = change(&written, pem) else { return Ok(false) };
    patch(client, path, JSON_PATCH, &change).await?;
    Ok(true)
}

async fn set_policy(client: &Client, path: &str, policy: &str) -> Result<(), String> {
    let Some(written) = read(client, path).await? else { return Ok(()) };
    match proof::change(&written, policy) {
        Some(change) => patch(client, path, JSON_PATCH, &change).await.map(drop),
        None => Ok(()),
    }
}

async fn read(client: &Client, path: &str) -> Result<Option<Value>, String> {
    match ask(client, "GET", path, JSON_PATCH, Vec::new()).await? {
        Asked::Answered(written) => Ok(Some(written)),
        Asked::Absent => Ok(None),
    }
}

async fn patch(client: &Client, path: &str, kind: &str, change: &Value) -> Result<Asked, String> {
    ask(client, "PATCH", path, kind, change.to_string().into_bytes()).await
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

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
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
