//! Who somebody is: a SPIFFE ID, parsed once and compared byte for byte ever after.
//!
//! One form for every workload, on a laptop and in a cluster: `spiffe://<trust domain>/ns/<namespace>/sa/<service
//! account>`. The control plane has a reserved path that no workload's certificate can carry.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A trust domain: lower-case `[a-z0-9._-]`, at most 255 bytes (SPIFFE ID §2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// The name without `spiffe://`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = BadIdentity;

    fn from_str(name: &str) -> Result<Self, BadIdentity> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if name.is_empty() || name.len() > MAX_TRUST_DOMAIN || !name.bytes().all(allowed) {
            return Err(BadIdentity::TrustDomain);
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SPIFFE ID that has passed every rule of SPIFFE ID §2: `spiffe://<trust domain>/<path>`.
///
/// Equality is equality of bytes, which the specification allows once these rules hold.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    uri: Arc<str>,
    /// Length of the trust domain's name within `uri`.
    domain_len: usize,
}

impl SpiffeId {
    /// The identity of a workload. The parts must be single path segments.
    ///
    /// # Errors
    /// If a part is empty or has a character that a SPIFFE path segment may not have.
    pub fn workload(
        domain: &TrustDomain,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, BadIdentity> {
        if [namespace, service_account].iter().any(|part| part.contains('/')) {
            return Err(BadIdentity::Path);
        }
        format!("spiffe://{domain}/ns/{namespace}/sa/{service_account}").parse()
    }

    /// The reserved identity of the control plane: `spiffe://<trust domain>/weft/control-plane`. Proxies
    /// require it, and it is not of the workload form, so no workload's leaf can pose as it.
    #[must_use]
    pub fn control_plane(domain: &TrustDomain) -> Self {
        format!("spiffe://{domain}/weft/control-plane").parse().expect("a valid domain and a literal path")
    }

    /// The whole URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// The trust domain's name.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.uri.get(SCHEME.len()..SCHEME.len() + self.domain_len).unwrap_or_default()
    }

    /// The path, with its leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.get(SCHEME.len() + self.domain_len..).unwrap_or_default()
    }

    /// Namespace and service account, where this is a workload's identity.
    #[must_use]
    pub fn as_workload(&self) -> Option<WorkloadIdentity<'_>> {
        let (namespace, service_account) = self.path().strip_prefix("/ns/")?.split_once("/sa/")?;
        let one_segment = |part: &str| !part.is_empty() && !part.contains('/');
        (one_segment(namespace) && one_segment(service_account))
            .then_some(WorkloadIdentity { namespace, service_account })
    }

    /// Whether this is the reserved identity of the control plane of its trust domain.
    #[must_use]
    pub fn is_control_plane(&self) -> bool {
        self.path() == "/weft/control-plane"
    }
}

/// The two names inside a workload's SPIFFE ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkloadIdentity<'i> {
    /// Kubernetes namespace, or the `Workload`'s own standalone.
    pub namespace: &'i str,
    /// Service account.
    pub service_account: &'i str,
}

impl FromStr for SpiffeId {
    type Err = BadIdentity;

    fn from_str(uri: &str) -> Result<Self, BadIdentity> {
        if uri.len() > MAX_ID {
            return Err(BadIdentity::TooLong);
        }
        // Lower case only: a peer that writes `SPIFFE://` is either broken or testing us.
        let rest = uri.strip_prefix(SCHEME).ok_or(BadIdentity::Scheme)?;
        let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // Port, userinfo, query and fragment all need a character that no rule below lets through.
        let domain = domain.parse::<TrustDomain>()?;
        if path.is_empty() {
            return Err(BadIdentity::Path); // a trust domain's own ID names no workload
        }
        let segment_is_valid = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        };
        if !path.split('/').skip(1).all(segment_is_valid) {
            return Err(BadIdentity::Path);
        }
        Ok(Self { uri: uri.into(), domain_len: domain.as_str().len() })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

/// Which rule of SPIFFE ID §2 a string breaks. It never repeats the string: that came from a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentity {
    /// Not `spiffe://`.
    #[error("a SPIFFE ID begins with spiffe://, in lower case")]
    Scheme,
    /// Empty, too long, or a character outside `[a-z0-9._-]`.
    #[error("a trust domain has 1 to 255 characters of a-z, 0-9, dot, dash and underscore")]
    TrustDomain,
    /// Missing, an empty or dot segment, a trailing slash, or a character outside `[a-zA-Z0-9._-]`.
    #[error(
        "the path of a SPIFFE ID has segments of letters, digits, dot, dash and underscore, none empty, . or .."
    )]
    Path,
    /// Over 2048 bytes.
    #[error("a SPIFFE ID has at most 2048 bytes")]
    TooLong,
}

const SCHEME: &str = "spiffe://";
const MAX_TRUST_DOMAIN: usize = 255;
const MAX_ID: usize = 2048;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_specification_allows_is_an_identity() {
        // SPIFFE ID §2.1–2.3, and the attacks of the hostile-input catalogue's row 40.
        let long = format!("spiffe://td/{}", "a".repeat(2048));
        let table: &[(&str, Result<(), BadIdentity>)] = &[
            ("spiffe://weft.local/ns/shop/sa/web", Ok(())),
            ("spiffe://weft.local/weft/control-plane", Ok(())),
            ("spiffe://td/A-Z_0.9", Ok(())),
            ("SPIFFE://weft.local/ns/shop/sa/web", Err(BadIdentity::Scheme)),
            ("https://weft.local/ns/shop/sa/web", Err(BadIdentity::Scheme)),
            ("spiffe:/weft.local/x", Err(BadIdentity::Scheme)),
            ("spiffe:///ns/shop", Err(BadIdentity::TrustDomain)),
            ("spiffe://Weft.local/ns/shop/sa/web", Err(BadIdentity::TrustDomain)),
            ("spiffe://weft.local:8443/x", Err(BadIdentity::TrustDomain)),
            ("spiffe://user@weft.local/x", Err(BadIdentity::TrustDomain)),
            ("spiffe://weft.local", Err(BadIdentity::Path)),
            ("spiffe://weft.local/", Err(BadIdentity::Path)),
            ("spiffe://weft.local/ns/shop/", Err(BadIdentity::Path)),
            ("spiffe://weft.local/ns//sa/web", Err(BadIdentity::Path)),
            ("spiffe://weft.local/ns/../sa/web", Err(BadIdentity::Path)),
            ("spiffe://weft.local/ns/./sa/web", Err(BadIdentity::Path)),
            ("spiffe://weft.local/ns/%2e/sa/web", Err(BadIdentity::Path)),
            ("spiffe://weft.local/ns/shop/sa/web?x=1", Err(BadIdentity::Path)),
            ("spiffe://weft.local/ns/shop/sa/web#x", Err(BadIdentity::Path)),
            ("spiffe://weft.local/ns/shop/sa/we\0b", Err(BadIdentity::Path)),
            ("spiffe://weft.local/ns/shop/sa/wéb", Err(BadIdentity::Path)),
            (&long, Err(BadIdentity::TooLong)),
        ];
        for (uri, want) in table {
            assert_eq!(uri.parse::<SpiffeId>().map(|_| ()), *want, "{uri}");
        }
    }

    #[test]
    fn a_workload_cannot_be_named_into_the_control_planes_path() {
        let domain: TrustDomain = "weft.local".parse().unwrap();
        let control_plane = SpiffeId::control_plane(&domain);
        assert!(control_plane.is_control_plane());
        assert_eq!(control_plane.as_workload(), None);
        for namespace in ["..", "shop/../../weft", "", "a/b"] {
            assert!(SpiffeId::workload(&domain, namespace, "control-plane").is_err(), "{namespace}");
        }
    }

    #[test]
    fn a_workload_identity_gives_back_its_parts() {
        let id: SpiffeId = "spiffe://weft.local/ns/shop/sa/web".parse().unwrap();
        assert_eq!(id.trust_domain(), "weft.local");
        assert_eq!(id.as_workload(), Some(WorkloadIdentity { namespace: "shop", service_account: "web" }));
        let deeper: SpiffeId = "spiffe://weft.local/ns/shop/sa/web/extra".parse().unwrap();
        assert_eq!(deeper.as_workload(), None);
    }
}
