//! Asks the API server whose a service account token is, and remembers the answer for a moment: a proxy that is refused
//! asks again, and ten thousand that start at once must not ask ten thousand times twice.
//!
//! What is remembered is what the API server said of a token. Whether its pod is there is asked each time.
//!
//! Where it does not say within [`SLOW`], or says that it has too much to do, a token is verified by the keys that it has
//! published (`signed`), as long as the watch of the pods is followed: the pod that a token is bound to is looked up there
//! either way, so both admit the same. It never refuses whom the API server would admit: what it cannot verify waits.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use kube::Client;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use weft_manifests::cluster::pod::Pod;
use weft_policy::identity::{SpiffeId, TrustDomain};

use super::cluster::{Claims, NotVouched, Review, vouch};
use super::published::Published;
use super::signed::NotSigned;
use crate::custody::unix;
use crate::source::kubernetes::{Gathered, State, full};

/// Admits pods by the tokens of their service accounts.
pub struct PodTokens {
    client: Client,
    gathered: Gathered,
    audience: String,
    domain: TrustDomain,
    asking: Semaphore,
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
    published: Published,
    vouched: Family<By, Counter>,
}

/// Who has vouched for a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct By {
    /// `review`: the API server; `keys`: what it has published.
    by: &'static str,
}

/// A pod that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Who it is.
    pub identity: SpiffeId,
    /// What its token says.
    pub claims: Claims,
}

#[derive(Clone, Debug)]
struct Remembered {
    said: Result<Claims, NotVouched>,
    until: Instant,
}

/// Why a pod is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum PodRefused {
    /// It is nobody.
    #[error(transparent)]
    NotVouched(#[from] NotVouched),
    /// The token is larger than any.
    #[error("the token has over {MAX_TOKEN} bytes")]
    TooLarge,
    /// As many as may be are being asked about.
    #[error("the API server is being asked about as many tokens as may be")]
    Busy,
    /// The API server does not answer.
    #[error("the API server could not say whose the token is: {why}")]
    NoAnswer {
        /// What went wrong.
        why: String,
    },
}

impl PodTokens {
    /// Tokens made for this audience, of the pods that are gathered.
    #[must_use]
    pub fn new(client: Client, gathered: Gathered, audience: &str, domain: TrustDomain) -> Self {
        Self {
            published: Published::new(client.clone()),
            vouched: Family::default(),
            client,
            gathered,
            audience: audience.to_owned(),
            domain,
            asking: Semaphore::new(AT_ONCE),
            remembered: Mutex::default(),
        }
    }

    /// Who the holder of a token is, who calls from `from` and says that it is `workload`.
    ///
    /// # Errors
    /// The reason, for the log only.
    pub async fn admit(&self, token: &str, from: Option<IpAddr>, workload: &str) -> Result<Pass, PodRefused> {
        let claims = self.claims(token).await?;
        let mut pod = self.gathered.pod(&claims.name());
        if !pod.as_ref().is_some_and(|pod| claims.is_of(pod) && pod.addresses().next().is_some()) {
            // It may be so new that the watch has not brought it yet.
            pod = self.pod(&claims).await?;
        }
        let identity = vouch(&claims, pod.as_ref(), from, workload, &self.domain)?;
        Ok(Pass { identity, claims })
    }

    /// Makes who has vouched for tokens part of `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let help =
            "Tokens of pods that were vouched for, by a TokenReview or by the API server's published keys";
        registry.register("weft_control_plane_pod_tokens", help, self.vouched.clone());
    }

    /// Keeps the API server's keys at hand: when they are needed it is too late to ask.
    pub async fn keep_keys(self: Arc<Self>) {
        loop {
            let _unknown = self.published.keys().await;
            sleep(KEYS_EVERY).await;
        }
    }

    /// Whether any pod that is there, and is not going, is this identity.
    #[must_use]
    pub fn knows(&self, id: &SpiffeId) -> bool {
        let Some(workload) = id.as_workload() else { return false };
        self.gathered.any_pod(workload.namespace, |pod| {
            !pod.is_over() && *pod.service_account() == *workload.service_account
        })
    }

    async fn claims(&self, token: &str) -> Result<Claims, PodRefused> {
        if token.len() > MAX_TOKEN {
            return Err(PodRefused::TooLarge);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(said) = self.recall(&hash) {
            return said.map_err(PodRefused::NotVouched);
        }
        let said = self.judged(token).await?;
        self.remember(hash, said.clone());
        Ok(said?)
    }

    /// Whose a token is, by who can say.
    async fn judged(&self, token: &str) -> Result<Result<Claims, NotVouched>, PodRefused> {
        let mut asking = pin!(self.reviewed(token));
        let said = match timeout(SLOW, &mut asking).await {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(trouble)) => return self.verified(token).await.map(Ok).ok_or(trouble),
            Err(_slow) => match self.verified(token).await {
                Some(claims) => return Ok(Ok(claims)),
                None => asking.await,
            },
        };
        if matches!(said, Ok(Ok(_))) {
            self.vouched.get_or_create(&By { by: "review" }).inc();
        }
        said
    }

    /// What a token says that the API server has signed; `None`: only it can say.
    async fn verified(&self, token: &str) -> Option<Claims> {
        // A pod that has gone would be there for ever where nobody tells us of it.
        if self.gathered.states().get("Pod") != Some(&State::Followed) {
            return None;
        }
        let now = unix(SystemTime::now());
        let mut review = self.published.keys().await?.review(token, &self.audience, now);
        if review == Err(NotSigned::UnknownKey) {
            review = self.published.newer_keys().await?.review(token, &self.audience, now);
        }
        let claims = Claims::read(&review.ok()?, &self.audience).ok()?;
        self.vouched.get_or_create(&By { by: "keys" }).inc();
        Some(claims)
    }

    /// What the API server says of a token.
    async fn reviewed(&self, token: &str) -> Result<Result<Claims, NotVouched>, PodRefused> {
        let _asking = self.asking.try_acquire().map_err(|_| PodRefused::Busy)?;
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self.audience]}});
        let answer: Option<Review> =
            self.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", Some(&review)).await?;
        let review =
            answer.ok_or_else(|| PodRefused::NoAnswer { why: "it has no TokenReview".to_owned() })?;
        Ok(Claims::read(&review, &self.audience))
    }

    async fn pod(&self, claims: &Claims) -> Result<Option<Pod>, PodRefused> {
        // Both are names, or there would be no claims.
        let path = format!("/api/v1/namespaces/{}/pods/{}", claims.namespace, claims.pod);
        self.ask("GET", &path, None).await
    }

    /// `None`: there is no such thing.
    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<T>, PodRefused> {
        let no_answer = |why: String| PodRefused::NoAnswer { why };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
            .map_err(|error| no_answer(error.to_string()))?;
        match timeout(PATIENCE, self.client.request::<T>(request)).await {
            Err(_) => Err(no_answer(format!("nothing came within {PATIENCE:?}"))),
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(None),
            Ok(Err(kube::Error::Api(status))) => {
                Err(no_answer(format!("{} {}", status.code, status.message)))
            }
            Ok(Err(error)) => Err(no_answer(full(&error))),
        }
    }

    fn recall(&self, hash: &[u8; 32]) -> Option<Result<Claims, NotVouched>> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(hash).filter(|found| Instant::now() < found.until).map(|found| found.said.clone())
    }

    fn remember(&self, hash: [u8; 32], said: Result<Claims, NotVouched>) {
        let now = Instant::now();
        let keep = if said.is_ok() { KEEP_GOOD } else { KEEP_BAD };
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, found| now < found.until);
        }
        if remembered.len() < MAX_REMEMBERED {
            remembered.insert(hash, Remembered { said, until: now + keep });
        }
    }
}

impl fmt::Debug for PodTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodTokens").field("audience", &self.audience).finish_non_exhaustive()
    }
}

/// Shared by whoever admits.
pub type SharedPodTokens = Arc<PodTokens>;

/// The audience that tokens for us are made for.
pub const AUDIENCE: &str = "weft-ca";
/// A projected token has some 1 200 bytes.
const MAX_TOKEN: usize = 8 << 10;
/// Reviews that an API server is asked for at one moment.
const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(10);
/// An API server that takes longer has too much to do, and is not waited for where that is not needed.
pub const SLOW: Duration = Duration::from_secs(1);
/// As they grow old.
const KEYS_EVERY: Duration = Duration::from_secs(240);
/// A token can outlive its end by so much here, and its pod not at all.
const KEEP_GOOD: Duration = Duration::from_secs(30);
const KEEP_BAD: Duration = Duration::from_secs(5);
const MAX_REMEMBERED: usize = 20_000;

#[cfg(test)]
mod tests;
