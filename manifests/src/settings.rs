//! The few things about a mesh that no object says.

use std::sync::Arc;

use weft_policy::authorize::MtlsMode;
use weft_policy::identity::TrustDomain;

/// Settings of an install.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshSettings {
    /// The trust domain of every workload's identity.
    pub trust_domain: TrustDomain,
    /// Where Services' long names end: `cluster.local`.
    pub cluster_domain: Arc<str>,
    /// Policies without targets in this namespace are for the whole mesh: `weft-system`.
    pub root_namespace: Arc<str>,
    /// What holds where no `AuthenticationPolicy` says otherwise.
    pub default_mtls: MtlsMode,
}

impl Default for MeshSettings {
    /// A new install: permissive towards plaintext, which is reported.
    fn default() -> Self {
        Self {
            trust_domain: "weft.local".parse().expect("a literal that follows SPIFFE ID §2.1"),
            cluster_domain: "cluster.local".into(),
            root_namespace: "weft-system".into(),
            default_mtls: MtlsMode::Permissive,
        }
    }
}
