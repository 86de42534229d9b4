//! The mesh's identity in a Secret, where the API server is the store and every replica is as good as another: read at a
//! start, looked at every [`EVERY`] after that, and written by the holder of the Lease alone.
//!
//! It is looked at and not watched: that needs no right but to read one Secret by its name, and notices a deletion as
//! well as a change.
//!
//! A Secret that is lost, damaged or another mesh's while we run is not followed. Everybody goes on from memory, loudly,
//! and the holder puts back what is in force. At a start such a Secret is an error, and one that is not there is one
//! without `--init`; with it too, where the Lease remembers that there was a mesh.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use weft_certs::bundle::RootHash;
use weft_policy::identity::TrustDomain;

use crate::custody::{Custody, CustodyError, Init, Kept, Safe};
use crate::journal::ElsewhereError;
use crate::lead::{self, MOMENT, Standing};
use crate::source::kubernetes::full;

/// Opens custody on a Secret, or begins a mesh with one.
///
/// # Errors
/// [`KeysError`]; nothing is minted in place of something that is missing.
pub async fn open(
    place: &Place,
    init: Init,
    domain: &TrustDomain,
    standing: Standing,
) -> Result<(Arc<Custody>, Keys), KeysError> {
    let (kept, version) = loop {
        match place.read().await? {
            Some(found) => break found,
            None => place.begin(init, domain).await?,
        }
    };
    let custody = {
        let (kept, domain) = (kept, domain.clone());
        let open = move || Custody::of(&kept, &domain, SystemTime::now());
        tokio::task::spawn_blocking(open).await.map_err(|_| KeysError::Interrupted)??
    };
    let custody = Arc::new(custody);
    let cell = SecretSafe {
        place: place.clone(),
        standing,
        // Changes are made where one may wait.
        handle: Handle::current(),
        version: Mutex::new(Some(version)),
    };
    let cell = Arc::new(cell);
    custody.keep_in(Arc::clone(&cell) as Arc<dyn Safe>);
    let kept = Gauge::default();
    kept.set(1);
    Ok((Arc::clone(&custody), Keys { custody, cell, kept, trouble: None }))
}

/// Which Secret, and which Lease beside it.
#[derive(Clone)]
pub struct Place {
    client: Client,
    secrets: Api<Secret>,
    name: String,
    lease: String,
}

impl Place {
    /// In the client's own namespace.
    #[must_use]
    pub fn new(client: &Client, name: &str, lease: &str) -> Self {
        let secrets = Api::default_namespaced(client.clone());
        Self { client: client.clone(), secrets, name: name.to_owned(), lease: lease.to_owned() }
    }

    async fn read(&self) -> Result<Option<(Kept, String)>, KeysError> {
        let found = timeout(PATIENCE, self.secrets.get_opt(&self.name)).await.map_err(|_| KeysError::Slow)?;
        let Some(secret) = found.map_err(|source| self.failed("read", source))? else { return Ok(None) };
        let version = secret.metadata.resource_version.clone().unwrap_or_default();
        Ok(Some((kept(secret), version)))
    }

    /// A first root. Of several who try at once, one succeeds, and the others find its Secret.
    async fn begin(&self, init: Init, domain: &TrustDomain) -> Result<(), KeysError> {
        if init == Init::No {
            return Err(KeysError::Missing { secret: self.name.clone() });
        }
        let mark = timeout(PATIENCE, lead::mark(&self.client, &self.lease)).await;
        let mark = mark.map_err(|_| KeysError::Slow)?.map_err(|source| self.failed("read", source))?;
        if let Some(root) = mark {
            return Err(KeysError::Lost { secret: self.name.clone(), lease: self.lease.clone(), root });
        }
        let domain = domain.clone();
        let mint = move || Custody::minted(&domain, SystemTime::now())?.kept();
        let kept = tokio::task::spawn_blocking(mint).await.map_err(|_| KeysError::Interrupted)??;
        let (params, secret) = (PostParams::default(), self.secret(&kept, None));
        match timeout(PATIENCE, self.secrets.create(&params, &secret)).await.map_err(|_| KeysError::Slow)? {
            Ok(_) => {
                tracing::info!(secret = self.name, "a new root was minted, and is kept in a Secret");
                Ok(())
            }
            Err(Error::Api(status)) if status.code == 409 => Ok(()),
            Err(source) => Err(self.failed("create", source)),
        }
    }

    fn secret(&self, kept: &Kept, version: Option<String>) -> Secret {
        let files = kept.files.iter().map(|(name, bytes)| (name.clone(), ByteString(bytes.clone())));
        let records = (RECORDS.to_owned(), ByteString(kept.records.clone()));
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: version,
                labels: Some(BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "weft".to_owned())])),
                ..ObjectMeta::default()
            },
            type_: Some(TYPE.to_owned()),
            data: Some(files.chain([records]).collect()),
            ..Secret::default()
        }
    }

    fn failed(&self, doing: &'static str, source: Error) -> KeysError {
        KeysError::Api { doing, secret: self.name.clone(), source }
    }
}

fn kept(secret: Secret) -> Kept {
    let mut files: BTreeMap<_, _> =
        secret.data.unwrap_or_default().into_iter().map(|(name, bytes)| (name, bytes.0)).collect();
    let records = files.remove(RECORDS).unwrap_or_default();
    // Something that somebody else has put beside it is none of ours.
    files.retain(|name, _| name.ends_with(".pem") && !name.contains('/'));
    Kept { files, records }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("secret", &self.name)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// Follows the Secret, and puts it back where it is lost.
#[derive(Debug)]
pub struct Keys {
    custody: Arc<Custody>,
    cell: Arc<SecretSafe>,
    /// Whether the Secret says what is in force.
    kept: Gauge<i64, AtomicI64>,
    /// What was last said of it.
    trouble: Option<String>,
}

impl Keys {
    /// Makes whether all is well part of `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Whether the Secret of the mesh's identity holds what is in force";
        registry.register("weft_control_plane_identity_kept", help, self.kept.clone());
    }

    /// Goes on for ever.
    pub async fn run(mut self) {
        loop {
            sleep(EVERY).await;
            self.round().await;
        }
    }

    async fn round(&mut self) {
        let wrong = match self.cell.place.read().await {
            Ok(Some((kept, version))) => {
                *self.cell.version() = Some(version);
                let custody = Arc::clone(&self.custody);
                let follow = move || custody.follow(&kept, SystemTime::now());
                match tokio::task::spawn_blocking(follow).await {
                    Ok(Ok(changed)) => {
                        if changed {
                            tracing::info!(
                                "the mesh's identity was changed by another replica, and is followed"
                            );
                        }
                        self.well();
                        return;
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "following it panicked; a defect".to_owned(),
                }
            }
            Ok(None) => {
                *self.cell.version() = None;
                "it was deleted".to_owned()
            }
            // It says nothing of the Secret.
            Err(error) => {
                self.say(&error.to_string());
                return;
            }
        };
        self.say(&wrong);
        if self.cell.standing.leads() {
            let (custody, cell) = (Arc::clone(&self.custody), Arc::clone(&self.cell));
            let put_back = move || {
                let kept = custody.kept().map_err(|error| error.to_string())?;
                cell.put(&kept).map_err(|error| error.to_string())
            };
            match tokio::task::spawn_blocking(put_back).await {
                Ok(Ok(())) => {
                    tracing::warn!(
                        secret = self.cell.place.name,
                        "the Secret was put back from what is in force"
                    );
                    self.trouble = None;
                    self.kept.set(1);
                }
                Ok(Err(why)) => {
                    tracing::error!(%why, secret = self.cell.place.name, "the Secret is not put back yet")
                }
                Err(_) => tracing::error!("putting the Secret back panicked; a defect"),
            }
        }
    }

    fn say(&mut self, wrong: &str) {
        self.kept.set(0);
        if self.trouble.as_deref() != Some(wrong) {
            self.trouble = Some(wrong.to_owned());
            tracing::error!(
                secret = self.cell.place.name, %wrong,
                "the mesh's identity is not kept as it is in force: serving goes on from memory, do not stop all \
                 replicas. The holder of the Lease puts back what was lost or overwritten"
            );
        }
    }

    fn well(&mut self) {
        self.kept.set(1);
        if self.trouble.take().is_some() {
            tracing::info!(secret = self.cell.place.name, "the mesh's identity is kept as it is in force");
        }
    }
}

/// The Secret as a place that takes changes.
#[derive(Debug)]
struct SecretSafe {
    place: Place,
    standing: Standing,
    handle: Handle,
    /// At which it was last seen; `None`: it was seen to be gone.
    version: Mutex<Option<String>>,
}

impl SecretSafe {
    fn version(&self) -> MutexGuard<'_, Option<String>> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Safe for SecretSafe {
    fn is_ours(&self) -> bool {
        self.standing.leads()
    }

    fn put(&self, kept: &Kept) -> Result<(), ElsewhereError> {
        let failed = |why: String| ElsewhereError::Failed { why };
        if !self.standing.leads() {
            return Err(ElsewhereError::NotOurs);
        }
        let version = self.version().clone();
        let secret = self.place.secret(kept, version.clone());
        let (name, secrets, params) = (&self.place.name, &self.place.secrets, PostParams::default());
        let write = async {
            match version {
                Some(_) => secrets.replace(name, &params, &secret).await,
                None => secrets.create(&params, &secret).await,
            }
        };
        match self.handle.block_on(async { timeout(MOMENT, write).await }) {
            Ok(Ok(secret)) => {
                *self.version() = secret.metadata.resource_version;
                Ok(())
            }
            Ok(Err(Error::Api(status))) if matches!(status.code, 404 | 409) => Err(ElsewhereError::Overtaken),
            Ok(Err(error)) => Err(failed(full(&error))),
            Err(_) => Err(failed("the API server does not answer in time".to_owned())),
        }
    }
}

/// Why the mesh's identity cannot be had from a Secret.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A first start, or a lost Secret: they look the same.
    #[error(
        "there is no Secret {secret}. If this is a new mesh, start once with --init, which mints its root. If the mesh \
         has proxies already, do not: they trust the root that was in it. Restore the Secret from a backup"
    )]
    Missing {
        /// Its name.
        secret: String,
    },
    /// With `--init`, where there was a mesh before.
    #[error(
        "there is no Secret {secret}, but the Lease {lease} remembers a mesh of the root {root}: a new root would turn \
         away its proxies. If a replica is running, it puts the Secret back; otherwise restore it from a backup, or \
         delete the Lease to begin a new mesh"
    )]
    Lost {
        /// Its name.
        secret: String,
        /// The Lease beside it.
        lease: String,
        /// SHA-256 of the root that was in use.
        root: String,
    },
    /// The API server does not give it.
    #[error(
        "cannot {doing} the Secret {secret}: {}; check the API server, and the rights of the control plane's account",
        full(source)
    )]
    Api {
        /// What was attempted.
        doing: &'static str,
        /// Its name.
        secret: String,
        /// Why.
        source: Error,
    },
    /// The API server takes its time.
    #[error(
        "the API server has not answered within {PATIENCE:?}, and the mesh's identity is there: check that it is up and \
         reachable from here; starting again is safe"
    )]
    Slow,
    /// What is in it.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// A panic.
    #[error("opening the Secret was interrupted; the log says by what")]
    Interrupted,
}

/// What a Lease remembers of a mesh: the root that signs.
pub fn mark_of(custody: &Custody) -> String {
    RootHash::of(custody.signer().root()).to_string()
}

/// How often the Secret is looked at: a denial reaches the proxies of every replica within this, and a moment.
pub const EVERY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);
/// Which of the Secret's fields is no file.
const RECORDS: &str = "records";
const TYPE: &str = "weft.mesh/identity";

#[cfg(test)]
mod tests;
