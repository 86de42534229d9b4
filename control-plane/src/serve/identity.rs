//! `weft.v1.Identity`: the first certificate for a join token, the next ones for the last one.
//!
//! Who the caller is was decided before anything is signed, by the token that it holds or by the certificate of
//! its connection; nothing that it writes into a request adds to that. One line of audit log for each leaf.
//!
//! A caller learns what it can act on and no more: all refusals of a token read the same, troubles of our own are
//! one sentence, and the reasons are in the log and in the metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use weft_certs::authority::{Issued, Lifetime, MAX_CSR_BYTES};
use weft_certs::bundle::RootHash;
use weft_certs::clock::Clock;
use weft_certs::verify::{Peer, Role, verify_peer};
use weft_policy::identity::SpiffeId;
use weft_proto::token::Token;
use weft_proto::{encode, v1};

mod limit;
mod outcome;

use limit::{Asker, Limiter};
pub use limit::{Limits, Rate};
pub use outcome::{IdentityMetrics, Refusal};

use super::connection::Caller;
use crate::aside::Aside;
use crate::attest::JoinTokens;
use crate::attest::cluster::NotVouched;
use crate::attest::review::{Pass, SharedPodTokens};
use crate::custody::{Custody, CustodyError, trust_of, unix};
use crate::journal::record::Name;

/// The service. Cloning shares it.
#[derive(Clone)]
pub struct IdentityService(Arc<Shared>);

struct Shared {
    custody: Arc<Custody>,
    tokens: JoinTokens,
    /// `None`: there is no cluster.
    pods: Option<SharedPodTokens>,
    aside: Aside,
    limiter: Mutex<Limiter>,
    signing: Arc<Semaphore>,
    metrics: IdentityMetrics,
    clock: Clock,
    /// Leaves that renewals have given out since the last tick, and until when each lives.
    renewed: Mutex<HashMap<SpiffeId, SystemTime>>,
}

impl IdentityService {
    /// Serves certificates of `custody`'s authority.
    #[must_use]
    pub fn new(
        custody: Arc<Custody>,
        pods: Option<SharedPodTokens>,
        limits: Limits,
        metrics: IdentityMetrics,
        clock: Clock,
        aside: Aside,
    ) -> Self {
        let tokens = JoinTokens::new(Arc::clone(custody.ledger()), custody.domain().clone());
        Self(Arc::new(Shared {
            custody,
            tokens,
            pods,
            aside,
            limiter: Mutex::new(Limiter::new(limits)),
            signing: Arc::new(Semaphore::new(limits.at_once)),
            metrics,
            clock,
            renewed: Mutex::default(),
        }))
    }

    /// As a gRPC service.
    #[must_use]
    pub fn into_server(self) -> v1::identity_server::IdentityServer<Self> {
        // A request is a CSR and a token.
        v1::identity_server::IdentityServer::new(self).max_decoding_message_size(2 * MAX_CSR_BYTES)
    }

    /// The join tokens that are accepted, to make new ones.
    #[must_use]
    pub fn tokens(&self) -> &JoinTokens {
        &self.0.tokens
    }

    /// What falls due with time: [`Custody::tick`], and remembering and forgetting who has enrolled. Once a minute.
    /// It waits for the disk.
    ///
    /// # Errors
    /// The first that failed; the rest is done all the same, and the next call tries again.
    pub fn tick(&self) -> Result<(), CustodyError> {
        let now = self.0.clock.now();
        let custody = self.0.custody.tick(now);
        let renewed = std::mem::take(&mut *self.0.renewed.lock().unwrap_or_else(PoisonError::into_inner));
        let renewed: Vec<_> = renewed.into_iter().collect();
        let noted = self.0.tokens.note_leaves(&renewed);
        if noted.is_err() {
            self.0.renewed.lock().unwrap_or_else(PoisonError::into_inner).extend(renewed);
        }
        let forgotten = self.0.tokens.forget_expired(now);
        custody.and(noted.and(forgotten).map_err(CustodyError::Journal))
    }
}

#[tonic::async_trait]
impl v1::identity_server::Identity for IdentityService {
    async fn enroll(&self, request: Request<v1::EnrollRequest>) -> Result<Response<v1::Certificate>, Status> {
        let from = Origin::of(&request);
        let shared = Arc::clone(&self.0);
        self.answer("enroll", shared.enroll(request.into_inner(), from).await)
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::Certificate>, Status> {
        let from = Origin::of(&request);
        let shared = Arc::clone(&self.0);
        self.answer("renew", shared.renew(request.into_inner(), from).await)
    }
}

impl IdentityService {
    /// Counts, logs a refusal with its reason, and tells the caller what it may know.
    fn answer(
        &self,
        method: &'static str,
        result: Result<v1::Certificate, (Refusal, Origin)>,
    ) -> Result<Response<v1::Certificate>, Status> {
        let outcome = result.as_ref().map_or_else(|(refusal, _)| refusal.label(), |_| "issued");
        self.0.metrics.count(method, outcome);
        result.map(Response::new).map_err(|(refusal, from)| {
            let (peer, identity) = (from.addr(), from.identity());
            tracing::warn!(target: AUDIT, method, outcome, peer, identity, reason = %refusal, "no leaf");
            refusal.status()
        })
    }
}

impl Shared {
    async fn enroll(
        self: Arc<Self>,
        request: v1::EnrollRequest,
        from: Origin,
    ) -> Result<v1::Certificate, (Refusal, Origin)> {
        if let Some(v1::enroll_request::Attestation::ServiceAccountToken(token)) = &request.attestation {
            let admitted = self.admit_pod(token, &request, &from).await;
            let pass = admitted.map_err(|refusal| (refusal, from.clone()))?;
            return self.sign_for_pod(pass, request, from).await;
        }
        let looked = self.look_at(&request);
        let (token, lifetime) = looked.map_err(|refusal| (refusal, from.clone()))?;
        let signing = self.one_more_signature().map_err(|refusal| (refusal, from.clone()))?;
        // In one piece, on a thread that may wait for the disk: a caller who hangs up meanwhile does not stop it
        // between taking the use and signing, or before giving it back.
        let work = {
            let (shared, from) = (Arc::clone(&self), from.clone());
            move || {
                let _signing = signing;
                shared.admit_and_sign(&token, &request, lifetime, &from)
            }
        };
        aside(self.aside, work, from).await
    }

    /// Everything that is asked of a pod before anything is signed for it.
    async fn admit_pod(
        &self,
        token: &str,
        request: &v1::EnrollRequest,
        from: &Origin,
    ) -> Result<Pass, Refusal> {
        let pods = self.pods.as_ref().ok_or(Refusal::NoCluster)?;
        check_size(&request.csr_der)?;
        let caller = from.0.as_ref().map(|caller| caller.addr.ip());
        let pass = pods.admit(token, caller, &request.workload).await?;
        let is_denied = self
            .custody
            .ledger()
            .read(|state| state.denied.iter().any(|denied| denied.identity == pass.identity.as_str()));
        if is_denied {
            return Err(NotVouched::Denied.into());
        }
        let (namespace, name) = (pass.claims.namespace.clone(), pass.claims.pod.clone());
        self.within_limits(&Asker::Workload(Name { namespace, name }))?;
        Ok(pass)
    }

    async fn sign_for_pod(
        self: Arc<Self>,
        pass: Pass,
        request: v1::EnrollRequest,
        from: Origin,
    ) -> Result<v1::Certificate, (Refusal, Origin)> {
        let signing = self.one_more_signature().map_err(|refusal| (refusal, from.clone()))?;
        let work = {
            let (shared, from) = (Arc::clone(&self), from.clone());
            move || {
                let _signing = signing;
                let lifetime = lifetime_of(request.lifetime.as_ref());
                let (certificate, issued) =
                    shared.sign(&request.csr_der, &pass.identity, lifetime, shared.clock.now())?;
                let workload = format!("{}/{}", pass.claims.namespace, pass.claims.pod);
                audit("service_account_token", &pass.identity, &workload, &issued, &from);
                Ok(certificate)
            }
        };
        aside(self.aside, work, from).await
    }

    /// Everything that can be refused without writing. Gives the token.
    fn look_at(&self, request: &v1::EnrollRequest) -> Result<(String, Lifetime), Refusal> {
        let token = match &request.attestation {
            Some(v1::enroll_request::Attestation::JoinToken(token)) => token.clone(),
            Some(v1::enroll_request::Attestation::ServiceAccountToken(_)) => return Err(Refusal::NoCluster),
            None => return Err(Refusal::NoAttestation),
        };
        check_size(&request.csr_der)?;
        self.names_our_root(&token)?;
        let admitted = self.tokens.look(&token, &request.workload, self.clock.now())?;
        self.within_limits(&Asker::Workload(admitted.workload))?;
        Ok((token, lifetime_of(request.lifetime.as_ref())))
    }

    /// A token says which root its holder must be presented with. One that says another was altered, or made by a
    /// control plane of the same trust domain that is not this one. What cannot be read is refused later.
    fn names_our_root(&self, token: &str) -> Result<(), Refusal> {
        let Ok(token) = token.parse::<Token>() else { return Ok(()) };
        if token.trust_domain != *self.custody.domain() {
            return Ok(());
        }
        let named = RootHash::from(token.root_sha256);
        if self.custody.bundle().roots().iter().any(|root| RootHash::of(root) == named) {
            Ok(())
        } else {
            Err(Refusal::OtherRoot)
        }
    }

    fn admit_and_sign(
        &self,
        token: &str,
        request: &v1::EnrollRequest,
        lifetime: Lifetime,
        from: &Origin,
    ) -> Result<v1::Certificate, Refusal> {
        let now = self.clock.now();
        let admitted = self.tokens.admit(token, &request.workload, now)?;
        let signed = self.sign(&request.csr_der, &admitted.identity, lifetime, now);
        match &signed {
            Ok((_, issued)) => {
                audit("join_token", &admitted.identity, &admitted.workload.to_string(), issued, from)
            }
            Err(_) => self.tokens.give_back(&admitted),
        }
        signed.map(|(certificate, _)| certificate)
    }

    async fn renew(
        self: Arc<Self>,
        request: v1::RenewRequest,
        from: Origin,
    ) -> Result<v1::Certificate, (Refusal, Origin)> {
        let checked =
            self.check_renewal(&request, &from).and_then(|peer| Ok((peer, self.one_more_signature()?)));
        let (peer, signing) = checked.map_err(|refusal| (refusal, from.clone()))?;
        let work = {
            let (shared, from) = (Arc::clone(&self), from.clone());
            move || {
                let _signing = signing;
                let lifetime = lifetime_of(request.lifetime.as_ref());
                let (certificate, issued) =
                    shared.sign(&request.csr_der, &peer.id, lifetime, shared.clock.now())?;
                audit("certificate", &peer.id, "", &issued, &from);
                let mut renewed = shared.renewed.lock().unwrap_or_else(PoisonError::into_inner);
                renewed.insert(peer.id, issued.not_after);
                Ok(certificate)
            }
        };
        aside(self.aside, work, from).await
    }

    /// The certificate of a connection was good when the connection began. Whether it still is, and whether its
    /// holder still exists, is asked again each time.
    fn check_renewal(&self, request: &v1::RenewRequest, from: &Origin) -> Result<Peer, Refusal> {
        let chain = from.0.as_ref().map_or(&[][..], |caller| &caller.chain);
        let peer =
            verify_peer(&self.custody.trust_store().current(), chain, Role::Client, self.clock.unix())?;
        check_size(&request.csr_der)?;
        if peer.id.trust_domain() != self.custody.domain().as_str() || peer.id.as_workload().is_none() {
            return Err(Refusal::NotOurs);
        }
        let is_pod = self.pods.as_ref().is_some_and(|pods| pods.knows(&peer.id));
        if !is_pod && !self.tokens.knows(&peer.id) {
            return Err(Refusal::Forgotten);
        }
        self.within_limits(&Asker::Identity(peer.id.clone()))?;
        Ok(peer)
    }

    fn sign(
        &self,
        csr_der: &[u8],
        id: &SpiffeId,
        lifetime: Lifetime,
        now: SystemTime,
    ) -> Result<(v1::Certificate, Issued), Refusal> {
        let issued = self.custody.signer().issue(csr_der, id, lifetime, now)?;
        let certificate = v1::Certificate {
            chain_der: issued.chain_der.clone(),
            trust: Some(encode::trust(&trust_of(&self.custody.bundle()))),
            identity: id.to_string(),
            not_before_unix: unix(issued.not_before),
            not_after_unix: unix(issued.not_after),
            renew_after_unix: unix(issued.renew_after),
            server_unix: unix(now),
            clamped: issued.clamped,
        };
        Ok((certificate, issued))
    }

    fn within_limits(&self, asker: &Asker) -> Result<(), Refusal> {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        if limiter.admits(asker, Instant::now()) { Ok(()) } else { Err(Refusal::TooOften) }
    }

    fn one_more_signature(&self) -> Result<tokio::sync::OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.signing).try_acquire_owned().map_err(|_| Refusal::Busy)
    }
}

/// Where a request comes from. A connection that does not say is nobody's.
#[derive(Clone, Debug)]
struct Origin(Option<Caller>);

impl Origin {
    fn of<T>(request: &Request<T>) -> Self {
        Self(request.extensions().get::<Caller>().cloned())
    }

    fn peer(&self) -> Option<&Peer> {
        self.0.as_ref()?.peer.as_ref()
    }

    /// For the log: an address is not an identity.
    fn addr(&self) -> String {
        self.0.as_ref().map_or_else(|| "unknown".to_owned(), |caller| caller.addr.to_string())
    }

    fn identity(&self) -> &str {
        self.peer().map_or("", |peer| peer.id.as_str())
    }
}

/// Has what waits for the disk, or for a signature, done where one may wait.
async fn aside(
    aside: Aside,
    work: impl FnOnce() -> Result<v1::Certificate, Refusal> + Send + 'static,
    from: Origin,
) -> Result<v1::Certificate, (Refusal, Origin)> {
    let done = aside.done(work).await.unwrap_or(Err(Refusal::Stopped));
    done.map_err(|refusal| (refusal, from))
}

/// One line for each leaf: enough to find out later who got what, and to deny it by its serial number.
fn audit(attestation: &'static str, id: &SpiffeId, workload: &str, issued: &Issued, from: &Origin) {
    let key = issued.chain_der.first().map(|leaf| key_fingerprint(leaf)).unwrap_or_default();
    let earlier = from.peer().map(|peer| peer.serial.to_string()).unwrap_or_default();
    tracing::info!(
        target: AUDIT,
        %id,
        workload,
        serial = %issued.serial,
        key_sha256 = key,
        not_after_unix = unix(issued.not_after),
        attestation,
        earlier_serial = earlier,
        peer = from.addr(),
        "leaf issued"
    );
}

/// SHA-256 over the leaf's public key (SubjectPublicKeyInfo), in hex.
fn key_fingerprint(leaf: &[u8]) -> String {
    let leaf = CertificateDer::from(leaf);
    let Ok(leaf) = ParsedCertificate::try_from(&leaf) else { return String::new() };
    digest(&SHA256, &leaf.subject_public_key_info())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Before anything is done for it.
fn check_size(csr_der: &[u8]) -> Result<(), Refusal> {
    if csr_der.len() > MAX_CSR_BYTES { Err(Refusal::TooLarge) } else { Ok(()) }
}

fn lifetime_of(wished: Option<&prost_types::Duration>) -> Lifetime {
    Lifetime::from_seconds(wished.map_or(0, |wished| wished.seconds))
}

/// Of the lines that an auditor keeps.
const AUDIT: &str = "weft::audit";

#[cfg(test)]
mod tests;
