//! The keys by which the API server signs tokens, as it publishes them: fetched when they are first needed and again when
//! they are old, so that tokens can be verified at times when the API server is too busy to look at each.
//!
//! Every service account may read them (the role system:service-account-issuer-discovery), so it takes no right of ours.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::signed::{Configuration, KeySet, Keys};
use crate::source::kubernetes::full;

/// What is known of the keys. One task fetches, the others wait for it.
pub(super) struct Published {
    client: Client,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    keys: Option<(Arc<Keys>, Instant)>,
    tried: Option<Instant>,
}

impl Published {
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// The keys, if they are known; fetched where they are old, at most every [`AGAIN`]. `None`: they cannot be had.
    pub(super) async fn keys(&self) -> Option<Arc<Keys>> {
        self.at_most(FRESH).await
    }

    /// The keys after a token was seen that none of them has signed: there may be a new one.
    pub(super) async fn newer_keys(&self) -> Option<Arc<Keys>> {
        self.at_most(AGAIN).await
    }

    async fn at_most(&self, old: Duration) -> Option<Arc<Keys>> {
        let mut known = self.known.lock().await;
        let is_old = known.keys.as_ref().is_none_or(|(_, since)| since.elapsed() > old);
        if is_old && known.tried.is_none_or(|tried| tried.elapsed() > AGAIN) {
            known.tried = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => known.keys = Some((Arc::new(keys), Instant::now())),
                Err(why) => {
                    tracing::warn!(%why, "the API server's keys cannot be had; it alone says whose a token is")
                }
            }
        }
        // A key that was withdrawn must not be good for ever.
        known.keys.as_ref().filter(|(_, since)| since.elapsed() < OLDEST).map(|(keys, _)| Arc::clone(keys))
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let configuration: Configuration = self.read("/.well-known/openid-configuration").await?;
        let set: KeySet = self.read("/openid/v1/jwks").await?;
        Ok(Keys::read(configuration, &set))
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        match timeout(PATIENCE, self.client.request::<T>(request)).await {
            Err(_) => Err(format!("nothing came within {PATIENCE:?}")),
            Ok(Ok(read)) => Ok(read),
            Ok(Err(kube::Error::Api(status))) => Err(format!("{path}: {} {}", status.code, status.message)),
            Ok(Err(error)) => Err(format!("{path}: {}", full(&error))),
        }
    }
}

/// When keys are fetched anew.
const FRESH: Duration = Duration::from_secs(300);
/// How often they are asked for at most.
const AGAIN: Duration = Duration::from_secs(30);
/// How long they are used while they cannot be had.
const OLDEST: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(2);
