//! Who may call, told: what the caller has proven, and what every policy that applies makes of it.

use crate::authorize::{Action, MtlsMode, PortPolicy, consider};
use crate::decide::{self, Inbound};
use crate::facts::Facts;
use crate::snapshot::Snapshot;

use super::{Step, Steps};

/// What happens to a call into the proxy's own application, and how that came about.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundExplanation<'s> {
    /// In the order of the decision. Every policy is shown, also those that the decision did not get to.
    pub steps: Vec<Step>,
    /// What [`decide::inbound`] says.
    pub verdict: Inbound<'s>,
}

/// Tells who may call this proxy's own application on `port`. Takes the arguments of [`decide::inbound`].
pub fn inbound<'s>(snapshot: &'s Snapshot, facts: &Facts<'_>, port: u16) -> InboundExplanation<'s> {
    let verdict = decide::inbound(snapshot, facts, port);
    let mut steps = Steps::default();
    match &snapshot.inbound {
        None => steps.push("policy", None, "has not arrived at this proxy yet"),
        Some(inbound) => {
            let declared = inbound.ports.iter().any(|declared| declared.number == port);
            let known =
                if declared { "is declared" } else { "is not declared: what holds for all others applies" };
            steps.push("policy", Some(&inbound.workload), format!("port {port} {known}"));
            steps.judged(inbound.policy(port), facts);
        }
    }
    if let Some(verdict) = verdict.verdict() {
        steps.push("authorize", None, verdict.to_string()); // it names its object itself
    }
    if let Some(refusal) = verdict.refusal() {
        steps.answer(refusal, facts.request.as_ref());
    }
    InboundExplanation { steps: steps.0, verdict }
}

impl Steps {
    fn judged(&mut self, policy: &PortPolicy, facts: &Facts<'_>) {
        let mode = match policy.mtls {
            MtlsMode::Strict => "strict: mutual TLS is required",
            MtlsMode::Permissive => "permissive: plaintext is let in too",
        };
        self.push("mtls", policy.mtls_origin.as_ref(), mode);
        let from = facts.source.addr.map_or_else(String::new, |addr| format!(", from {addr}"));
        let caller = match facts.source.identity {
            Some(identity) if identity.trust_domain() == policy.trust_domain.as_str() => {
                format!("{identity}, proven{from}")
            }
            Some(identity) => format!("{identity}, proven, of another trust domain than ours{from}"),
            None => format!("plaintext, nothing proven{from}"),
        };
        self.push("caller", None, caller);
        for (candidate, rule) in consider(policy, facts) {
            let outcome = match (&candidate.not_understood, rule) {
                (Some(what), _) => format!("{what} is not understood: denies all it applies to"),
                (None, Some(rule)) => format!("{}: rule {rule} matches", candidate.action.as_str()),
                (None, None) => format!("{}: no rule matches", candidate.action.as_str()),
            };
            let stage = if candidate.action == Action::Audit { "audit" } else { "policy" };
            self.push(stage, Some(&candidate.origin), outcome);
        }
    }
}
