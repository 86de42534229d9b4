//! A certificate for callers who know us by a DNS name and by nothing else: an API server that calls a webhook verifies
//! as browsers do (RFC 6125), and has never heard of SPIFFE.
//!
//! Such a leaf carries the name and no identity, so that no proxy takes its holder for anybody.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;

use super::validity::{SaneTime, Validity};
use super::{Authority, IssueError, Lifetime, Serial, params};
use crate::provider::provider;

/// A leaf for a DNS name, with its key and the chain to the root that has issued it.
#[derive(Clone)]
pub struct Front {
    certified: Arc<CertifiedKey>,
    root: CertificateDer<'static>,
    renew_after: SystemTime,
}

impl Authority {
    /// A leaf by which we serve as `name`, for the longest life of a leaf. Its key is made here and is in nobody else's
    /// hands.
    ///
    /// # Errors
    /// [`IssueError::NotADnsName`]; besides as [`issue`](Self::issue).
    pub fn issue_front(&self, name: &str, now: SystemTime) -> Result<Front, IssueError> {
        if DnsName::try_from(name).is_err() {
            return Err(IssueError::NotADnsName { name: name.to_owned() });
        }
        let now = SaneTime::try_from(now).map_err(|_| IssueError::Clock)?;
        let issuers = self.intermediate.validity.ending_by(self.root.validity);
        if !issuers.lasts(now, Lifetime::MIN) {
            return Err(IssueError::IssuerExpiring { not_after: issuers.not_after() });
        }
        let validity = Validity::starting(now, Lifetime::MAX).ending_by(issuers);
        let key = KeyPair::generate().map_err(IssueError::Signing)?;
        let mut params = params(&Serial::random()?, validity);
        let name = name.try_into().map_err(IssueError::Signing)?;
        params.subject_alt_names = vec![SanType::DnsName(name)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &self.issuer).map_err(IssueError::Signing)?;
        let chain = vec![leaf.der().clone(), self.intermediate.der.clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // What rcgen has just made, rustls reads: both are of the one provider.
        let certified = CertifiedKey::from_der(chain, key, provider())
            .map_err(|_| IssueError::Signing(rcgen::Error::CouldNotParseKeyPair))?;
        Ok(Front { certified: certified.into(), root: self.root.der.clone(), renew_after: validity.middle() })
    }
}

impl Front {
    /// For a server of whoever calls, speaking `protocol` (an ALPN name, as `http/1.1`): TLS 1.3, no certificate asked of
    /// the caller, no sessions kept.
    #[must_use]
    pub fn server_config(&self, protocol: &[u8]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider has TLS 1.3 suites and groups")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.certified))));
        config.alpn_protocols = vec![protocol.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    /// The root that whoever calls has to trust.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// Whether it has lived half of its life at `now`.
    #[must_use]
    pub fn is_due(&self, now: SystemTime) -> bool {
        now >= self.renew_after
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("renew_after", &self.renew_after).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;
    use crate::forge::{domain, now};
    use crate::verify::peer;

    /// As an API server does: its roots, the name it has called, the time.
    fn accepts(root: &CertificateDer<'static>, front: &Front, name: &str, at: SystemTime) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider()));
        let at = UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH).unwrap());
        let (leaf, rest) = front.certified.cert.split_first().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.build().unwrap().verify_server_cert(leaf, rest, &name, &[], at).is_ok()
    }

    #[test]
    fn a_front_is_trusted_by_its_name_under_its_root_for_its_time_and_is_nobody_in_the_mesh() {
        let authority = Authority::mint(&domain("weft.local"), now()).unwrap();
        let other = Authority::mint(&domain("weft.local"), now()).unwrap();
        let name = "weft-control-plane.weft-system.svc";
        let front = authority.issue_front(name, now()).unwrap();
        let hours = |hours: u64| now() + Duration::from_secs(hours * 3600);
        assert!(accepts(front.root(), &front, name, hours(0)));
        assert!(!accepts(front.root(), &front, "weft-control-plane.other.svc", hours(0)));
        assert!(!accepts(front.root(), &front, name, hours(25)));
        assert!(!accepts(other.root(), &front, name, hours(0)));
        assert!(!front.is_due(hours(11)) && front.is_due(hours(12)));
        assert!(peer(&front.certified.cert).is_err(), "it has no identity");
        assert_eq!(front.server_config(b"http/1.1").alpn_protocols, [b"http/1.1".to_vec()]);
    }

    #[test]
    fn what_is_no_name_has_no_front() {
        let authority = Authority::mint(&domain("weft.local"), now()).unwrap();
        for name in ["", "näme.svc", "a\u{0}b", "a b.svc"] {
            let refused = authority.issue_front(name, now());
            assert!(matches!(refused, Err(IssueError::NotADnsName { .. })), "{name}");
        }
        assert!(matches!(authority.issue_front("a.svc", SystemTime::UNIX_EPOCH), Err(IssueError::Clock)));
    }
}
