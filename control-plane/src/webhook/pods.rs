//! Pods on their way in, which are to have a proxy.
//!
//! A pod that cannot have one, though it stands where all have one, is refused: taken without it, it would run outside of
//! the mesh, and nobody would notice before its callers are turned away, or worse, are not. Whoever has made it reads the
//! reason in the events of its ReplicaSet or Job. A pod that nobody would expect to have one (it says so itself, or it
//! brings one) is taken in silence; one that cannot by what it is, with a warning.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use weft_certs::bundle::RootHash;
use weft_manifests::inject::{Injection, Outcome, Redirect, inject, patch};

use super::{Review, Verdict};
use crate::attest::review::AUDIENCE;
use crate::custody::Custody;

/// Puts proxies into pods.
pub struct Pods {
    template: Injection,
    pins: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// What an operator says of the proxies that are put into pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// The image.
    pub image: String,
    /// `IfNotPresent`, `Always` or `Never`.
    pub pull_policy: String,
    /// Where they connect: `host:port`.
    pub control_plane: String,
    /// Who brings connections to them.
    pub redirect: Redirect,
    /// Further environment.
    pub environment: BTreeMap<String, String>,
}

impl Pods {
    /// With proxies of these settings, who trust the roots that `custody` has at the moment: while a root is replaced,
    /// both.
    #[must_use]
    pub fn new(settings: ProxySettings, custody: Arc<Custody>) -> Self {
        let pins = move || {
            let bundle = custody.bundle();
            bundle.roots().iter().map(|root| format!("{}:{}", custody.domain(), RootHash::of(root))).collect()
        };
        Self::pinning(settings, Box::new(pins))
    }

    pub(super) fn pinning(settings: ProxySettings, pins: Box<dyn Fn() -> Vec<String> + Send + Sync>) -> Self {
        let template = Injection {
            image: settings.image,
            pull_policy: settings.pull_policy,
            control_plane: settings.control_plane,
            roots: Vec::new(),
            audience: AUDIENCE.to_owned(),
            redirect: settings.redirect,
            environment: settings.environment,
        };
        Self { template, pins }
    }

    /// What becomes of a pod.
    pub(super) fn judge(&self, review: &Review) -> Verdict {
        // A configuration that sends us something else is mistaken, and nobody's object should suffer for it.
        if review.kind != "Pod" || review.object.is_null() {
            return Verdict::FINE;
        }
        let injection = Injection { roots: (self.pins)(), ..self.template.clone() };
        match inject(&review.object, &injection) {
            Ok(Outcome::Injected(injected)) => {
                let patch = Some(patch(&review.object, &injected));
                Verdict::Taken { patch, warnings: Vec::new() }
            }
            Ok(Outcome::Left(why)) if why.surprises() => {
                Verdict::Taken { patch: None, warnings: vec![format!("weft: this pod has no proxy: {why}")] }
            }
            Ok(Outcome::Left(_)) => Verdict::FINE,
            Err(error) => Verdict::Refused { why: error.to_string(), warnings: Vec::new() },
        }
    }
}

impl fmt::Debug for Pods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pods").field("template", &self.template).finish_non_exhaustive()
    }
}
