//! `AuthenticationPolicy`: whether a port takes plaintext. A security kind: what is not understood is `Strict`.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_policy::authorize::MtlsMode;

use crate::meta::Metadata;
use crate::reader::{At, Log};

use super::authorization::{Scope, scope};

/// An `AuthenticationPolicy`.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthenticationPolicy {
    /// `metadata`
    pub meta: Metadata,
    /// Where it applies.
    pub scope: Scope,
    /// `mtls.mode`; `None` where only ports are said.
    pub mode: Option<MtlsMode>,
    /// `portLevel`, by the application's own port.
    pub ports: BTreeMap<u16, MtlsMode>,
    /// What in it nobody understands: then it is strict, whatever else it says.
    pub not_understood: Option<Arc<str>>,
}

/// Reads `spec`.
pub(crate) fn read(meta: Metadata, spec: Option<&At<'_>>, log: &Log) -> AuthenticationPolicy {
    let mut policy = AuthenticationPolicy {
        meta,
        scope: Scope::Everything,
        mode: None,
        ports: BTreeMap::new(),
        not_understood: None,
    };
    match spec.and_then(At::fields) {
        Some(mut fields) => {
            policy.scope = scope(&mut fields);
            policy.mode = fields.get("mtls").and_then(|at| mode(&at));
            for at in fields.items("portLevel", MAX_PORTS) {
                let Some(mut fields) = at.fields() else { continue };
                let port = fields.need("port").and_then(|at| at.port());
                let mode = fields.need("mode").and_then(|at| at.one_of(&MODES));
                fields.finish();
                if let (Some(port), Some(mode)) = (port, mode)
                    && policy.ports.insert(port, mode).is_some()
                {
                    at.bad(format!("port {port} stands twice"), "keep one of the two");
                }
            }
            if policy.mode.is_none() && policy.ports.is_empty() {
                fields.at().bad("it says no mode", "write mtls: {mode: Strict} or mtls: {mode: Permissive}");
            }
            fields.finish();
        }
        None if spec.is_some() => policy.scope = Scope::Namespace,
        None => {}
    }
    if let Some(reason) = log.first_problem() {
        policy.mode = Some(MtlsMode::Strict);
        policy.ports.clear();
        policy.not_understood = Some(reason.into());
    }
    policy
}

fn mode(at: &At<'_>) -> Option<MtlsMode> {
    let mut fields = at.fields()?;
    let mode = fields.need("mode").and_then(|at| at.one_of(&MODES));
    fields.finish();
    mode
}

const MODES: [(&str, MtlsMode); 2] = [("Strict", MtlsMode::Strict), ("Permissive", MtlsMode::Permissive)];
pub(super) const MAX_PORTS: usize = 1000;
