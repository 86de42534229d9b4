//! Who a peer is: the one place where a certificate becomes an identity.
//!
//! In this order, so that what costs most comes last and only for those who pass the rest: the leaf is read
//! and held to the SPIFFE rules, its own trust domain's roots are looked up, the path to them is validated
//! (RFC 5280, by webpki), then the deny list, then who was expected. Every refusal has its own reason.
//!
//! rustls calls this during full handshakes ([`ServerVerifier`], [`ClientVerifier`]); it does not where a session is
//! resumed, so whoever completes a handshake asks once more ([`Tls::client_of`](crate::tls::Tls::client_of),
//! [`Tls::server_of`](crate::tls::Tls::server_of)); and owners of open connections call [`verify_peer`] again when trust
//! has changed. Asking often is cheap: what has been accepted is remembered ([`judged`]).

use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use weft_policy::identity::SpiffeId;

mod handshake;
pub(crate) mod judged;
mod leaf;
mod refused;

pub use handshake::{ClientAuth, ClientVerifier, PinnedRoot, ServerVerifier};
pub use refused::PeerRefused;

use self::judged::{Question, Window};
use crate::authority::Serial;
use crate::bundle::{DenyList, TrustBundles};
use crate::provider::provider;

/// What a leaf says of its holder. Proven only once the handshake has completed, or [`verify_peer`] has said
/// so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The one SPIFFE ID.
    pub id: SpiffeId,
    /// The leaf's serial number.
    pub serial: Serial,
    /// Until when the leaf is valid: a connection should not outlive it by much.
    pub not_after: SystemTime,
}

/// Which end of the connection the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It accepted the connection.
    Server,
    /// It opened the connection.
    Client,
}

/// Who a server has to prove to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expect {
    /// This one.
    Exactly(SpiffeId),
    /// One of these; an empty list accepts nobody.
    AnyOf(Vec<SpiffeId>),
}

impl Expect {
    /// Whether `id` is expected. Equality of bytes, which SPIFFE ID §2 allows for a parsed ID.
    #[must_use]
    pub fn accepts(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Exactly(expected) => expected == id,
            Self::AnyOf(expected) => expected.contains(id),
        }
    }

    fn check(&self, peer: Peer) -> Result<Peer, PeerRefused> {
        if self.accepts(&peer.id) {
            return Ok(peer);
        }
        let expected = match self {
            Self::Exactly(expected) => expected.to_string(),
            Self::AnyOf(expected) => format!("one of {} identities", expected.len()),
        };
        Err(PeerRefused::WrongIdentity { expected, presented: peer.id })
    }
}

/// Whether the holder of `chain` (leaf first) is to be trusted at `now`, and who it is.
///
/// This is the whole judgement except for who was expected. It does not prove that the peer holds the leaf's
/// key: the handshake does.
///
/// # Errors
/// The reason; see [`PeerRefused`].
pub fn verify_peer(
    bundles: &TrustBundles,
    chain: &[CertificateDer<'_>],
    role: Role,
    now: UnixTime,
) -> Result<Peer, PeerRefused> {
    let question = Question::of(chain, role);
    if let Some(peer) = question.and_then(|question| bundles.judged().recall(question, now)) {
        return Ok(peer);
    }
    let peer = peer(chain)?;
    let Some(bundle) = bundles.of(peer.id.trust_domain()) else {
        return Err(PeerRefused::UnknownTrustDomain { presented: peer.id });
    };
    let valid = verify_path(bundle.anchors(), chain, role, now, bundle.denied())?;
    let denied = bundle.denied();
    if denied.serials.contains(&peer.serial) || denied.identities.contains(&peer.id) {
        return Err(PeerRefused::Denied);
    }
    if let Some(question) = question {
        bundles.judged().remember(question, &peer, valid);
    }
    Ok(peer)
}

/// The identity in a leaf, of a peer whose handshake has completed: `chain` is what
/// `peer_certificates()` gives.
///
/// It reads; it does not verify.
///
/// # Errors
/// The rule of SPIFFE X509-SVID that the leaf breaks.
pub fn peer_identity(chain: &[CertificateDer<'_>]) -> Result<SpiffeId, PeerRefused> {
    peer(chain).map(|peer| peer.id)
}

/// As [`peer_identity`], with the leaf's serial number and expiry.
///
/// # Errors
/// The rule of SPIFFE X509-SVID that the leaf breaks.
pub fn peer(chain: &[CertificateDer<'_>]) -> Result<Peer, PeerRefused> {
    let leaf = chain.first().ok_or(PeerRefused::NoCertificate)?;
    leaf::read(leaf)
}

/// RFC 5280 §6: signatures, dates, CA marks and path lengths, from the leaf to one of `anchors`. Gives the time during
/// which that very path is valid.
fn verify_path(
    (anchors, depths): (&[TrustAnchor<'_>], &[Option<u32>]),
    chain: &[CertificateDer<'_>],
    role: Role,
    now: UnixTime,
    denied: &DenyList,
) -> Result<Window, PeerRefused> {
    let (leaf_der, intermediates) = chain.split_first().ok_or(PeerRefused::NoCertificate)?;
    if intermediates.len() > MAX_INTERMEDIATES {
        return Err(PeerRefused::ChainTooLong);
    }
    let usage = match role {
        Role::Server => webpki::KeyUsage::server_auth(),
        Role::Client => webpki::KeyUsage::client_auth(),
    };
    let leaf = webpki::EndEntityCert::try_from(leaf_der).map_err(PeerRefused::of_path)?;
    let algorithms = provider().signature_verification_algorithms.all;
    let path = leaf.verify_for_usage(algorithms, anchors, intermediates, now, usage, None, None).map_err(
        |error| match PeerRefused::of_path(error) {
            PeerRefused::Untrusted => leaf::why_untrusted(chain),
            // The leaf is as its issuer made it: then its issuer is another of the same name.
            PeerRefused::BadSignature if leaf::is_intact(chain) => PeerRefused::Untrusted,
            refused => refused,
        },
    )?;
    let root = anchors.iter().position(|anchor| anchor == path.anchor());
    let allowed = root.and_then(|root| depths.get(root).copied().flatten());
    let below = path.intermediate_certificates().count();
    if allowed.is_some_and(|allowed| below > usize::try_from(allowed).unwrap_or(usize::MAX)) {
        return Err(PeerRefused::PathLength);
    }
    let mut valid = leaf::window(leaf_der)?;
    for issuer in path.intermediate_certificates() {
        let judged = leaf::issuer(&issuer.der()).filter(|issuer| issuer.may_sign);
        let issuer = judged.ok_or(PeerRefused::IssuerMayNotSign)?;
        if denied.serials.contains(&issuer.serial) {
            return Err(PeerRefused::Denied);
        }
        valid = valid.and(issuer.valid);
    }
    Ok(valid)
}

fn system_time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Ours have one, or two where the root is sent along; foreign domains a few more.
const MAX_INTERMEDIATES: usize = 8;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
