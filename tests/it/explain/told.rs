//! An explanation, made of what the control plane tells the proxies, and a record of the log in the same words.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use serde_json::Value as Json;
use weft_policy::canonical;
use weft_policy::decide::{Forward, Outbound};
use weft_policy::draw::Draw;
use weft_policy::endpoint::Endpoint;
use weft_policy::explain;
use weft_policy::facts::{Destination, Facts, Request, Source};
use weft_policy::identity::SpiffeId;
use weft_policy::live::Nothing;
use weft_policy::moment::Moment;
use weft_policy::refuse::Refusal;
use weft_policy::route::filter::Filter;
use weft_policy::snapshot::{Inbound, Snapshot};
use weft_proto::decode;
use weft_proto::v1::ExplainReply;
use weft_proto::value::Value;

use super::asked::Asked;

/// What the control plane would tell the proxies concerned.
pub(super) struct Told {
    caller: Snapshot,
    callees: BTreeMap<String, Arc<Inbound>>,
    identity: SpiffeId,
}

/// What the caller's proxy does, by the names that its log has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    route: Option<String>,
    rule: Option<String>,
    backend: Option<String>,
    endpoint: Option<String>,
    refusal: Option<String>,
    pub(super) status: Option<u64>,
}

/// What the endpoint's proxy does, by the names that its log has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) policy: Option<String>,
    refusal: Option<String>,
    peer: Option<String>,
    status: Option<u64>,
}

impl Told {
    pub(super) fn read(reply: &ExplainReply) -> Self {
        let mut caller = Snapshot::default();
        let mut callees = BTreeMap::new();
        for resource in reply.outbound.iter().chain(&reply.inbound) {
            match decode::resource(resource).unwrap().value {
                Value::Trust(_) => {}
                Value::Inbound(enforced) => {
                    callees.insert(resource.name.clone(), Arc::clone(&enforced.inbound));
                }
                Value::Endpoints(set) => drop(caller.endpoints.insert(set.of.clone(), set)),
                Value::Routes(routes) => drop(caller.routes.insert(routes.service.clone(), routes)),
                Value::Service(service) => {
                    for host in &service.hosts {
                        caller.hosts.insert(Arc::clone(host), service.name.clone());
                    }
                    caller.services.insert(service.name.clone(), service);
                }
            }
        }
        Self { caller, callees, identity: reply.from_identity.parse().unwrap() }
    }

    /// What both proxies do; nothing at the endpoint's, where it does not get there.
    pub(super) fn explain(&self, asked: &Asked, draw: u64) -> (Done, Option<Judged>) {
        let Ok(path) = canonical::path(asked.path) else {
            return (Done::refused(Refusal::BadRequest), None);
        };
        let facts = Facts {
            source: Source { identity: Some(&self.identity), addr: Some([127, 0, 0, 1].into()) },
            destination: Destination::Name { host: asked.host, port: 80 },
            request: Some(Request {
                method: &asked.method,
                host: asked.host,
                path: &path,
                query: Some(asked.query).filter(|query| !query.is_empty()),
                headers: &asked.headers,
                grpc: false,
            }),
        };
        let mut draw = Draw::from_seed(draw);
        let explained = explain::outbound(&self.caller, &Nothing, &facts, Moment::START, &mut draw);
        let (matched, mut done, judged) = match &explained.verdict {
            Outbound::Forward(forward) => {
                // Each backend has one endpoint, so which one was picked needs no experience to tell.
                let (endpoint, judged) = match explained.pick.as_ref().unwrap() {
                    Ok(pick) => (Some(&pick.endpoint), Some(self.judge(&facts, forward, &pick.endpoint))),
                    Err(_) => (None, None),
                };
                let done = Done {
                    backend: Some(forward.to.to_string()),
                    endpoint: endpoint.map(|endpoint| endpoint.addr.to_string()),
                    status: judged.as_ref().and_then(|judged| judged.status),
                    ..Done::default()
                };
                (forward.matched, done, judged)
            }
            Outbound::Redirect { matched, to } => (Some(*matched), Done::answered(to.status), None),
            Outbound::Refuse { refusal, matched, .. } => (*matched, Done::refused(*refusal), None),
            Outbound::Unknown => (None, Done::default(), None),
        };
        done.route = matched.map(|matched| matched.route.origin.to_string());
        done.rule = matched.map(|matched| match &matched.rule.name {
            Some(name) => name.to_string(),
            None => matched.rule_index.to_string(),
        });
        (done, judged)
    }

    /// What the endpoint's proxy says of the request as it gets there: with the rule's filters applied.
    fn judge(&self, facts: &Facts<'_>, forward: &Forward<'_>, endpoint: &Endpoint) -> Judged {
        let asked = facts.request.unwrap();
        let (mut path, mut headers) = (asked.path.to_owned(), asked.headers.clone());
        for filter in forward.filters() {
            match filter {
                Filter::Rewrite(rewrite) => {
                    if let Some(to) = &rewrite.path {
                        path = to.apply(&path).into_owned();
                    }
                }
                Filter::RequestHeaders(edit) => edit.apply(&mut headers),
                _ => {}
            }
        }
        let facts = Facts { request: Some(Request { path: &path, headers: &headers, ..asked }), ..*facts };
        let inbound = Arc::clone(&self.callees[&format!("shop/{}", endpoint.name)]);
        let snapshot = Snapshot { inbound: Some(inbound), ..Snapshot::default() };
        let verdict = explain::inbound(&snapshot, &facts, endpoint.target_port).verdict;
        let refusal = verdict.refusal();
        Judged {
            policy: verdict.verdict().and_then(|verdict| verdict.by()).map(ToString::to_string),
            refusal: refusal.map(|refusal| refusal.answer().token.to_owned()),
            peer: Some(self.identity.to_string()),
            status: Some(refusal.map_or(200, |refusal| refusal.answer().status.as_u16().into())),
        }
    }
}

impl Done {
    fn answered(status: StatusCode) -> Self {
        Self { status: Some(status.as_u16().into()), ..Self::default() }
    }

    fn refused(refusal: Refusal) -> Self {
        let answer = refusal.answer();
        Self { refusal: Some(answer.token.to_owned()), ..Self::answered(answer.status) }
    }

    pub(super) fn recorded(line: &Json) -> Self {
        Self {
            route: text(line, "route"),
            rule: text(line, "rule"),
            backend: text(line, "backend"),
            endpoint: text(line, "endpoint"),
            refusal: text(line, "refusal"),
            status: line["status"].as_u64(),
        }
    }
}

impl Judged {
    pub(super) fn recorded(line: &Json) -> Self {
        Self {
            policy: text(line, "policy"),
            refusal: text(line, "refusal"),
            peer: text(line, "peer"),
            status: line["status"].as_u64(),
        }
    }
}

fn text(line: &Json, name: &str) -> Option<String> {
    line[name].as_str().map(str::to_owned)
}
