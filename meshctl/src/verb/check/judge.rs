//! What follows from what a cluster has answered: for each check whether its claim holds. No I/O.

use serde_json::Value;
use weft_manifests::crd::{GROUP, VERSION};
use weft_proto::v1;

use super::catalogue::{CHECKS, Check, check};
use super::facts::{Answer, Facts, labelled};
use super::pods;
use super::verdict::{Verdict, holds, some};
use crate::cluster::{ApiError, is_ready, items, name, namespace_of, others};
use crate::verb::status::Answer as Standing;

/// Every check of this time, in order.
pub(super) fn judge(facts: &Facts, before: bool) -> Vec<(&'static Check, Verdict)> {
    let asked = CHECKS.iter().filter(|check| if before { check.before } else { check.after });
    let judged = asked.map(|row| (check(row.id), of(row.id, facts, before)));
    let mut all: Vec<(&'static Check, Verdict)> = Vec::new();
    for (check, verdict) in judged {
        // Of an API server that is away there is one thing to say.
        let is_away = all.first().is_some_and(|(_, first)| matches!(first, Verdict::Fails(_)));
        all.push((
            check,
            if is_away { Verdict::Unknown("the API server does not answer".to_owned()) } else { verdict },
        ));
    }
    all
}

fn of(id: &str, facts: &Facts, before: bool) -> Verdict {
    match id {
        "api-reachable" => match &facts.version {
            Ok(version) => holds(version["gitVersion"].as_str().unwrap_or("of an unknown version")),
            Err(error) => Verdict::Fails(error.to_string()),
        },
        "api-version" => seen(&facts.version, version),
        "install-rights" => match &facts.forbidden {
            Ok(forbidden) if forbidden.is_empty() => holds("all of them"),
            Ok(forbidden) => Verdict::Fails(format!("you may not {}", forbidden.join(", "))),
            Err(error) => Verdict::Unknown(error.to_string()),
        },
        "one-installation" => match (&facts.mutating, &facts.validating) {
            (Ok(mutating), Ok(validating)) => match others([mutating, validating], &facts.mesh).as_slice() {
                [] => holds("none"),
                others => Verdict::Fails(format!("there is one in {}", some(others))),
            },
            (Err(error), _) | (_, Err(error)) => Verdict::Unknown(error.to_string()),
        },
        "gateway-kinds" => {
            seen(&facts.kinds, |all| match served(all, "httproutes.gateway.networking.k8s.io") {
                None => Verdict::Doubtful("there are none: no route can be written".to_owned()),
                Some(versions) if versions.iter().any(|it| ["v1", "v1beta1"].contains(&it.as_str())) => {
                    holds(&versions.join(", "))
                }
                Some(versions) => {
                    Verdict::Doubtful(format!("served as {} only, which is not read", versions.join(", ")))
                }
            })
        }
        "weft-kinds" => seen(&facts.kinds, |all| ours(all, before)),
        "control-plane-runs" => seen(&facts.deployments, |all| deployed(all, &facts.mesh)),
        "control-plane-answers" => match &facts.status {
            Ok(status) => holds(&status.replica),
            Err(why) => Verdict::Fails(why.clone()),
        },
        "same-version" => told(&facts.status, |status| {
            let ours = env!("CARGO_PKG_VERSION");
            match status.build.rsplit(' ').next() {
                Some(theirs) if theirs == ours => holds(ours),
                theirs => {
                    Verdict::Doubtful(format!("meshctl is {ours}, it is {}", theirs.unwrap_or("unknown")))
                }
            }
        }),
        "lease-held" => seen(&facts.leases, |leases| held(leases, &facts.control_planes)),
        "identity-kept" => match &facts.identity {
            Ok(_) => holds("weft-identity"),
            Err(error) if error.is_absent() => {
                Verdict::Fails(format!("there is no Secret weft-identity in {}", facts.mesh))
            }
            Err(error) => Verdict::Unknown(error.to_string()),
        },
        "roots-live" => told(&facts.status, |status| roots(status, crate::clock::unix_now())),
        "webhooks-trusted" => match (&facts.mutating, &facts.validating) {
            (Ok(mutating), Ok(validating)) => trusted(mutating, validating, &facts.mesh),
            (Err(error), _) | (_, Err(error)) => Verdict::Unknown(error.to_string()),
        },
        "injector-answers" => injects(facts),
        "validator-answers" => match &facts.validated {
            Err(ApiError::Refused { message, .. }) if message.contains("validate-own.weft.mesh") => {
                let failed = message.contains("failed calling webhook");
                if failed { Verdict::Fails(message.clone()) } else { holds("it refuses what it should") }
            }
            Err(error) => Verdict::Unknown(error.to_string()),
            Ok(_) => Verdict::Doubtful(
                "it was taken: nobody validates, and what is wrong shows in its status".to_owned(),
            ),
        },
        "pods-allowed" => seen(&facts.namespaces, |all| pods::allowed(all, facts)),
        "pods-meshed" => pods::meshed(&facts.pods),
        "proxies-attached" => told(&facts.status, |status| pods::attached(&facts.pods, status)),
        "strict-ready" => told(&facts.status, |status| pods::strict(status, &facts.callers)),
        "proxies-current" => told(&facts.status, |status| {
            let all = Standing::read(status.clone(), false);
            let wrong: Vec<&str> =
                all.proxies.iter().filter(|it| it.has_problem()).map(|it| it.workload.as_str()).collect();
            if wrong.is_empty() {
                holds(&format!("{} proxies", all.proxies.len()))
            } else {
                Verdict::Fails(some(&wrong))
            }
        }),
        "objects-hold" => told(&facts.status, |status| {
            let all = Standing::read(status.clone(), false);
            let wrong: Vec<&str> =
                all.objects.iter().filter(|it| it.has_problem()).map(|it| it.object.as_str()).collect();
            if wrong.is_empty() {
                holds(&format!("{} objects", all.objects.len()))
            } else {
                Verdict::Doubtful(some(&wrong))
            }
        }),
        // A row of the table without a judgement would be seen by whoever runs it, and by the test of this file.
        _ => Verdict::Unknown("this meshctl does not know how; a defect".to_owned()),
    }
}

fn seen(answer: &Answer, judge: impl FnOnce(&Value) -> Verdict) -> Verdict {
    match answer {
        Ok(answer) => judge(answer),
        Err(error) => Verdict::Unknown(error.to_string()),
    }
}

fn told(
    status: &Result<v1::StatusReply, String>,
    judge: impl FnOnce(&v1::StatusReply) -> Verdict,
) -> Verdict {
    match status {
        Ok(status) => judge(status),
        Err(_) => Verdict::Unknown("the control plane does not answer".to_owned()),
    }
}

/// Some vendors write `29+`.
fn version(version: &Value) -> Verdict {
    let number = |field: &str| -> Option<u32> {
        let text = version[field].as_str()?;
        text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
    };
    match (number("major"), number("minor")) {
        (Some(1), Some(minor)) if minor < OLDEST => Verdict::Fails(format!("it is 1.{minor}")),
        (Some(major), Some(minor)) => holds(&format!("{major}.{minor}")),
        _ => Verdict::Unknown("the API server does not say its version".to_owned()),
    }
}

/// In which versions a kind is served; `None`: there is no such kind.
fn served(kinds: &Value, of: &str) -> Option<Vec<String>> {
    let kind = items(kinds).find(|kind| name(kind) == Some(of))?;
    let versions = kind.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let served = versions.filter(|version| version["served"] == true);
    Some(served.filter_map(|version| version["name"].as_str().map(str::to_owned)).collect())
}

fn ours(kinds: &Value, before: bool) -> Verdict {
    let plurals = ["authenticationpolicies", "authorizationpolicies", "trafficpolicies", "workloads"];
    let (mut missing, mut other) = (Vec::new(), Vec::new());
    for plural in plurals {
        match served(kinds, &format!("{plural}.{GROUP}")) {
            None => missing.push(plural),
            Some(versions) if !versions.iter().any(|it| it == VERSION) => other.push(plural),
            Some(_) => {}
        }
    }
    match (missing.as_slice(), other.as_slice()) {
        ([], []) => holds(VERSION),
        (_, [_, ..]) => Verdict::Fails(format!("not in {VERSION}: {}", some(&other))),
        (_, []) if before => holds("not there yet, as before a first installation"),
        (missing, []) => Verdict::Fails(format!("there is no {}", some(missing))),
    }
}

fn deployed(deployments: &Value, mesh: &str) -> Verdict {
    let number = |it: &Value, pointer: &str| it.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let Some(one) = items(deployments).next() else {
        return Verdict::Fails(format!(
            "there is no Deployment of it in {mesh}: meshctl install, or --mesh-namespace"
        ));
    };
    let (wanted, ready) = (number(one, "/spec/replicas"), number(one, "/status/readyReplicas"));
    let said = format!("{ready} of {wanted} ready");
    if ready == 0 {
        Verdict::Fails(said)
    } else if ready < wanted {
        Verdict::Doubtful(said)
    } else {
        holds(&said)
    }
}

fn held(leases: &Value, control_planes: &Answer) -> Verdict {
    let Some(lease) = items(leases).find(|it| it.pointer("/metadata/annotations/weft.mesh~1root").is_some())
    else {
        return Verdict::Fails("there is no Lease that remembers the mesh".to_owned());
    };
    let holder = lease.pointer("/spec/holderIdentity").and_then(Value::as_str).unwrap_or_default();
    // The name of a pod, and of its process.
    let pod = holder.rsplit_once('_').map_or(holder, |(pod, _)| pod);
    let is_there = match control_planes {
        Ok(pods) => items(pods).filter(|it| is_ready(it)).any(|it| name(it) == Some(pod)),
        Err(error) => return Verdict::Unknown(error.to_string()),
    };
    if pod.is_empty() {
        Verdict::Fails("nobody does".to_owned())
    } else if is_there {
        holds(pod)
    } else {
        Verdict::Doubtful(format!("{pod} does, which is gone; another takes it within 15 s"))
    }
}

fn roots(status: &v1::StatusReply, now: u64) -> Verdict {
    let ended = status.roots.iter().filter(|root| root.not_after_unix <= now).count();
    let soon = status.roots.iter().filter(|root| root.not_after_unix <= now.saturating_add(SOON)).count();
    match (status.roots.len(), ended, soon) {
        (0, ..) => Verdict::Fails("there is no root".to_owned()),
        (_, 0, 0) => holds(&format!("{} of {}", status.roots.len(), status.trust_domain)),
        (_, 0, _) => Verdict::Doubtful("one ends within 30 days".to_owned()),
        _ => Verdict::Fails("one has ended".to_owned()),
    }
}

fn trusted(mutating: &Value, validating: &Value, mesh: &str) -> Verdict {
    let ours: Vec<&Value> =
        items(mutating).chain(items(validating)).filter(|it| namespace_of(it) == Some(mesh)).collect();
    let webhooks = ours.iter().filter_map(|it| it["webhooks"].as_array()).flatten();
    let has_none = |webhook: &&Value| {
        webhook.pointer("/clientConfig/caBundle").and_then(Value::as_str).is_none_or(str::is_empty)
    };
    let without: Vec<&str> = webhooks.filter(has_none).filter_map(|it| it["name"].as_str()).collect();
    if ours.is_empty() {
        Verdict::Doubtful("there are no webhooks: nothing is injected, and nothing validated".to_owned())
    } else if without.is_empty() {
        holds(&format!("{} configurations", ours.len()))
    } else {
        Verdict::Fails(format!("no caBundle yet: {}", some(&without)))
    }
}

fn injects(facts: &Facts) -> Verdict {
    match (&facts.injected, facts.namespaces.as_ref().map(|all| labelled(all, &facts.mesh))) {
        (Some(Ok(pod)), _) if pods::has_proxy(pod) => holds("it was"),
        (Some(Ok(_)), _) => Verdict::Fails("it was made without one".to_owned()),
        (Some(Err(error)), _) => Verdict::Fails(error.to_string()),
        (None, Err(error)) => Verdict::Unknown(error.to_string()),
        (None, Ok(_)) => Verdict::Unknown("no namespace has the label weft.mesh/inject=enabled".to_owned()),
    }
}

const OLDEST: u32 = 29;
const SOON: u64 = 30 * 86_400;

#[cfg(test)]
mod tests;
