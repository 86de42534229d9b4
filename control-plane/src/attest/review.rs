//! Asks the API server whose a service account token is, and remembers the answer for a moment: a proxy that is refused
//! asks again, and ten thousand that start at once must not ask ten thousand times twice.
//!
//! What is remembered is what the API server said of a token. Whether its pod is there is asked each time.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use weft_manifests::cluster::pod::Pod;
use weft_policy::identity::{SpiffeId, TrustDomain};

use super::cluster::{Claims, NotVouched, Review, vouch};
use crate::source::kubernetes::{Gathered, full};

/// Admits pods by the tokens of their service accounts.
pub struct PodTokens {
    client: Client,
    gathered: Gathered,
    audience: String,
    domain: TrustDomain,
    asking: Semaphore,
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
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
        let _asking = self.asking.try_acquire().map_err(|_| PodRefused::Busy)?;
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self.audience]}});
        let answer: Option<Review> =
            self.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", Some(&review)).await?;
        let review =
            answer.ok_or_else(|| PodRefused::NoAnswer { why: "it has no TokenReview".to_owned() })?;
        let said = Claims::read(&review, &self.audience);
        self.remember(hash, said.clone());
        Ok(said?)
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
/// A token can outlive its end by so much here, and its pod not at all.
const KEEP_GOOD: Duration = Duration::from_secs(30);
const KEEP_BAD: Duration = Duration::from_secs(5);
const MAX_REMEMBERED: usize = 20_000;
