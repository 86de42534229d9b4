//! Service account tokens: the API server says whose a token is, the watch of the pods says whether that pod is there,
//! and a pure function of both says who the caller is.
//!
//! Nothing is believed that one of the two does not vouch for. A token that is not bound to a pod is a secret that
//! anybody can have copied; one for another audience was shown to somebody else, who could show it here; an answer that
//! names no audience comes from an authenticator that never looked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use weft_manifests::cluster::Name;
use weft_manifests::cluster::pod::Pod;
use weft_policy::identity::{SpiffeId, TrustDomain};

/// What an API server answers to a `TokenReview` (authentication.k8s.io/v1), as much of it as is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Review {
    /// `status`
    pub status: ReviewStatus,
}

/// `status`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ReviewStatus {
    /// Whether the token is good at all.
    pub authenticated: bool,
    /// Of the audiences that were asked for, those that the token is for. An authenticator that does not know of
    /// audiences leaves it out.
    pub audiences: Option<Vec<String>>,
    /// Whose it is.
    pub user: User,
}

/// `status.user`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct User {
    /// `system:serviceaccount:<namespace>:<name>` for a service account.
    pub username: String,
    /// What the token is bound to.
    pub extra: Option<BTreeMap<String, Vec<String>>>,
}

/// What a token says of its holder, once the API server has vouched for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Namespace of account and pod.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
    /// The pod that the token is bound to.
    pub pod: String,
    /// Which of all the pods that ever had this name.
    pub uid: String,
}

impl Claims {
    /// Reads an answer; `audience` is the one that tokens for us are made for.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub fn read(review: &Review, audience: &str) -> Result<Self, NotVouched> {
        let status = &review.status;
        if !status.authenticated {
            return Err(NotVouched::NotAuthentic);
        }
        if !status.audiences.iter().flatten().any(|said| said == audience) {
            return Err(NotVouched::OtherAudience);
        }
        let parts: Vec<&str> = status.user.username.split(':').collect();
        let ["system", "serviceaccount", namespace, service_account] = parts.as_slice() else {
            return Err(NotVouched::NoServiceAccount);
        };
        if !is_name(namespace) || !is_name(service_account) {
            return Err(NotVouched::NoServiceAccount);
        }
        let bound = |name: &str| {
            let values = status.user.extra.as_ref()?.get(name)?;
            let [value] = values.as_slice() else { return None };
            (!value.is_empty()).then(|| value.clone())
        };
        let (pod, uid) = (bound(POD_NAME), bound(POD_UID));
        let (Some(pod), Some(uid)) = (pod.filter(|pod| is_name(pod)), uid) else {
            return Err(NotVouched::NotBound);
        };
        Ok(Self {
            namespace: (*namespace).to_owned(),
            service_account: (*service_account).to_owned(),
            pod,
            uid,
        })
    }

    /// The pod's name.
    #[must_use]
    pub fn name(&self) -> Name {
        (self.namespace.as_str().into(), self.pod.as_str().into())
    }

    /// Whether this is the pod that the token is bound to, and not one that has its name now.
    #[must_use]
    pub fn is_of(&self, pod: &Pod) -> bool {
        *pod.metadata.uid == *self.uid
    }
}

/// Who calls from `from` with a token of these claims, saying that it is `workload` (or nothing): `pod` is what is known
/// of the pod.
///
/// # Errors
/// Why it is nobody.
pub fn vouch(
    claims: &Claims,
    pod: Option<&Pod>,
    from: Option<IpAddr>,
    workload: &str,
    domain: &TrustDomain,
) -> Result<SpiffeId, NotVouched> {
    let pod = pod.ok_or(NotVouched::NoSuchPod)?;
    if !claims.is_of(pod) {
        return Err(NotVouched::OtherPod);
    }
    if *pod.service_account() != *claims.service_account {
        return Err(NotVouched::OtherAccount);
    }
    if pod.is_terminating() || pod.is_over() {
        return Err(NotVouched::Going);
    }
    if !pod.spec.host_network {
        // A pod that has its first container running has an address; the API server may not have heard of it.
        if pod.addresses().next().is_none() {
            return Err(NotVouched::NoAddressYet);
        }
        let from = from.map(|from| from.to_canonical());
        if !pod.addresses().any(|address| Some(address) == from) {
            return Err(NotVouched::FromElsewhere);
        }
    }
    let said = workload.split_once('/');
    if !workload.is_empty() && said != Some((&claims.namespace, &claims.pod)) {
        return Err(NotVouched::OtherWorkload);
    }
    SpiffeId::workload(domain, &claims.namespace, &claims.service_account)
        .map_err(|_| NotVouched::NoServiceAccount)
}

/// Why a service account token makes nobody of its holder. But for what passes by itself, all of these look the same
/// from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVouched {
    /// The API server does not know it, or it has expired, or what it was bound to is gone.
    #[error("the API server does not know the token, or not any more")]
    NotAuthentic,
    /// For somebody else, or the API server does not say for whom.
    #[error("the token is not for this control plane's audience")]
    OtherAudience,
    /// A person, a node, a name that only looks like it.
    #[error("the token is not a service account's")]
    NoServiceAccount,
    /// One of the old secrets, or of `kubectl create token`.
    #[error("the token is not bound to a pod; project one into the pod, bound and with our audience")]
    NotBound,
    /// Gone, or never there.
    #[error("there is no such pod")]
    NoSuchPod,
    /// The name is another pod's now.
    #[error("the pod that the token is bound to is gone, and another has its name")]
    OtherPod,
    /// Not possible of a pod that is there: its account cannot change.
    #[error("the pod has another service account")]
    OtherAccount,
    /// On its way out.
    #[error("the pod is going, or has run to its end")]
    Going,
    /// Nobody has said yet which address it has.
    #[error("the API server has no address of the pod yet")]
    NoAddressYet,
    /// The token was carried off.
    #[error("the caller's address is not the pod's; somebody else may have its token")]
    FromElsewhere,
    /// The proxy's settings and its token say different things.
    #[error("the token is bound to another pod than the caller says it is")]
    OtherWorkload,
    /// The identity is on the deny list.
    #[error("the pod's identity is denied")]
    Denied,
}

impl NotVouched {
    /// A short name, for metrics and the audit log.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotAuthentic => "pod_token_not_authentic",
            Self::OtherAudience => "pod_token_other_audience",
            Self::NoServiceAccount => "pod_token_no_service_account",
            Self::NotBound => "pod_token_not_bound",
            Self::NoSuchPod => "pod_gone",
            Self::OtherPod => "pod_replaced",
            Self::OtherAccount => "pod_other_account",
            Self::Going => "pod_going",
            Self::NoAddressYet => "pod_no_address",
            Self::FromElsewhere => "pod_from_elsewhere",
            Self::OtherWorkload => "pod_other_workload",
            Self::Denied => "pod_denied",
        }
    }

    /// Whether asking again soon may help.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::NoAddressYet)
    }
}

/// What may stand in a path of the API server, and in an identity.
fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    !text.is_empty() && text.len() <= 253 && text.bytes().all(inner) && !text.starts_with('.')
}

pub(super) const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
pub(super) const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

#[cfg(test)]
mod tests;
