//! Whether the validator answers, found out by trying: an object that it must refuse is made by a dry run, where the API
//! server asks it as it would of a real one, and keeps nothing.
//!
//! Only when that has been seen is the API server told to refuse what it could not ask about (`failurePolicy: Fail`); and
//! when it is seen no more, several times over, not to wait for us any longer. So a mistake in a network never locks
//! anybody out of their own routes for longer than it takes to notice.

use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};
use weft_manifests::check::refused_object;
use weft_manifests::crd::{GROUP, VERSION};

use super::asked::{Asked, ask};

/// The webhook that the API server may be told to wait for. One of another name is asked about the mesh's own namespace,
/// and is never waited for: what we need to start must not wait for us. It is by that one that is tried.
const VALIDATOR: &str = "validate.weft.mesh";

/// What a try has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// It was refused, by us.
    Answers,
    /// It was taken: nobody was asked, or nobody answered.
    DoesNot,
    /// Nothing, and why: the API server is away, or does not let us try.
    Nothing(String),
}

/// What is known from tries.
#[derive(Debug, Default)]
pub(super) struct Proof {
    tried: Option<Instant>,
    failures: u32,
    /// As the API server is to be told; `None`: nothing is known yet.
    proven: Option<bool>,
}

impl Proof {
    /// Tries where that is due, and says what is to stand in a configuration; `None`: as it does.
    pub(super) async fn policy(&mut self, client: &Client) -> Option<&'static str> {
        if self.tried.is_none_or(|tried| tried.elapsed() >= self.pause()) {
            self.tried = Some(Instant::now());
            let shown = attempt(client).await;
            self.learn(&shown);
        }
        self.proven.map(|proven| if proven { "Fail" } else { "Ignore" })
    }

    fn learn(&mut self, shown: &Shown) {
        let before = self.proven;
        match shown {
            Shown::Answers => (self.failures, self.proven) = (0, Some(true)),
            Shown::DoesNot => {
                self.failures = self.failures.saturating_add(1);
                if before.is_none() || self.failures >= ENOUGH {
                    self.proven = Some(false);
                }
            }
            Shown::Nothing(why) => tracing::debug!(%why, "whether the validator answers cannot be tried now"),
        }
        match (before, self.proven) {
            (Some(true), Some(false)) => tracing::error!(
                "the API server does not reach the validator any more: it is told not to wait for it. See that it reaches \
                 the webhooks' port"
            ),
            (None | Some(false), Some(true)) => {
                tracing::info!(
                    "the validator answers: the API server is told to take no route and policy without it"
                )
            }
            _ => {}
        }
    }

    /// What is proven is looked at now and then, what is not, soon.
    fn pause(&self) -> Duration {
        if self.proven == Some(true) && self.failures == 0 { SELDOM } else { OFTEN }
    }
}

/// What is changed of a configuration, as JSON Patch, so that this holds for it; `None`: it does.
pub(super) fn change(written: &Value, policy: &str) -> Option<Value> {
    let version = written.pointer("/metadata/resourceVersion")?;
    let (nth, webhook) =
        written.get("webhooks")?.as_array()?.iter().enumerate().find(|(_, it)| it["name"] == VALIDATOR)?;
    (webhook["failurePolicy"] != policy).then(|| {
        json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": format!("/webhooks/{nth}/failurePolicy"), "value": policy}
        ])
    })
}

async fn attempt(client: &Client) -> Shown {
    let namespace = client.default_namespace();
    let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/authorizationpolicies?dryRun=All");
    let tried = refused_object(namespace).to_string().into_bytes();
    match ask(client, "POST", &path, "application/json", tried).await {
        Ok(Asked::Answered(_)) => Shown::DoesNot,
        Ok(Asked::Absent) => Shown::Nothing("the API server does not have the kind".to_owned()),
        Err(why) if why.contains("weft.mesh\" denied the request") => Shown::Answers,
        Err(why) => Shown::Nothing(why),
    }
}

/// So many tries in a row that show nobody.
const ENOUGH: u32 = 3;
const OFTEN: Duration = Duration::from_secs(5);
const SELDOM: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Fault, Server};

    #[test]
    fn the_api_server_waits_once_it_was_proven_and_no_longer_when_it_is_not_several_times_over() {
        use Shown::{Answers, DoesNot};
        let nothing = || Shown::Nothing("429".to_owned());
        let table: [(&str, Vec<Shown>, Option<bool>); 7] = [
            ("nothing was seen", vec![nothing(), nothing()], None),
            ("it answers", vec![nothing(), Answers], Some(true)),
            ("it does not, from the beginning", vec![DoesNot], Some(false)),
            ("it comes to answer", vec![DoesNot, DoesNot, DoesNot, Answers], Some(true)),
            (
                "once it was not reached",
                vec![Answers, DoesNot, nothing(), DoesNot, Answers, DoesNot],
                Some(true),
            ),
            ("it is reached no more", vec![Answers, DoesNot, DoesNot, DoesNot], Some(false)),
            ("the API server is away", vec![Answers, nothing(), nothing(), nothing(), nothing()], Some(true)),
        ];
        for (case, shown, expected) in table {
            let mut proof = Proof::default();
            shown.iter().for_each(|shown| proof.learn(shown));
            assert_eq!(proof.proven, expected, "{case}");
        }
    }

    #[test]
    fn nothing_but_the_validators_own_policy_is_changed_and_only_in_the_version_that_was_read() {
        let written = json!({"metadata": {"resourceVersion": "7"}, "webhooks": [
            {"name": "validate-own.weft.mesh", "failurePolicy": "Ignore"},
            {"name": "validate.weft.mesh", "failurePolicy": "Ignore"}]});
        assert_eq!(change(&written, "Ignore"), None);
        let patch = change(&written, "Fail").unwrap();
        assert_eq!(patch[0]["value"], "7");
        assert_eq!(patch[1]["path"], "/webhooks/1/failurePolicy");
        assert_eq!(change(&json!({"metadata": {"resourceVersion": "7"}, "webhooks": []}), "Fail"), None);
    }

    #[tokio::test]
    async fn what_an_api_server_says_of_a_try_is_told_apart() {
        let server = Server::start().await;
        let client = server.client().await;
        assert_eq!(attempt(&client).await, Shown::DoesNot, "it was taken");
        let denied = "admission webhook \"validate-own.weft.mesh\" denied the request: no such prefix";
        for (fault, expected) in [
            (Fault::Says(422, denied), true),
            (Fault::Says(500, "failed calling webhook \"validate-own.weft.mesh\": timeout"), false),
            (Fault::Says(403, "authorizationpolicies.weft.mesh is forbidden"), false),
            (Fault::Later(3600), false),
            (Fault::HangUp, false),
            (Fault::Status(404), false),
        ] {
            server.fail("POST authorizationpolicies", fault);
            let shown = attempt(&client).await;
            assert_eq!(shown == Shown::Answers, expected, "{fault:?}: {shown:?}");
            assert!(shown != Shown::DoesNot, "{fault:?}");
        }
    }
}
