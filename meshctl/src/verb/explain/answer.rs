//! The explanation: every step of the decision, and the verdict.

use std::sync::Arc;

use serde::Serialize;
use weft_policy::decide::{Forward, Outbound};
use weft_policy::endpoint::Endpoint;
use weft_policy::explain::{self, Step};
use weft_policy::facts::{Destination, Facts, Request, Source};
use weft_policy::live::Nothing;
use weft_policy::moment::Moment;
use weft_policy::refuse::Refusal;
use weft_policy::route::filter::Filter;
use weft_policy::snapshot::Snapshot;

use super::question::Question;
use super::told::Told;
use crate::output::{Page, Table, Tell, Tone};

/// What happens to a request.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Answer {
    from: String,
    from_identity: String,
    request: String,
    /// Whether it reaches an application.
    pub(super) delivered: bool,
    /// In one line.
    verdict: String,
    /// The proxy whose endpoint was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Chosen>,
    /// What the proxy answers, where the request is not delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Refused>,
    /// At the caller's proxy.
    outbound: Vec<Considered>,
    /// At the proxy of the endpoint.
    inbound: Vec<Considered>,
    /// To repeat the very same choices.
    draw: String,
    newest_revision: u64,
    /// The newest that the caller's proxy has acknowledged.
    applied_revision: u64,
    notes: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Chosen {
    backend: String,
    endpoint: String,
    address: String,
    identity: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Refused {
    status: u16,
    error: &'static str,
    by: &'static str,
}

/// A step, as scripts read it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Considered {
    stage: &'static str,
    object: Option<String>,
    outcome: String,
}

impl From<Step> for Considered {
    fn from(step: Step) -> Self {
        Self {
            stage: step.stage,
            object: step.object.map(|object| object.to_string()),
            outcome: step.outcome,
        }
    }
}

/// How one half of the way ends.
enum End {
    /// At an endpoint; `port` is its application's.
    Sent(Chosen),
    Refused(Refusal),
    /// With a redirect, or outside the mesh: the mesh has done its part.
    Done(String),
}

impl Answer {
    /// Decides, and tells how.
    pub(super) fn of(from: &str, question: &Question, told: &Told) -> Self {
        let mut draw = question.draw.clone();
        let facts = question.facts(told.identity.as_ref());
        let explained = explain::outbound(&told.caller, &Nothing, &facts, Moment::START, &mut draw);
        let mut inbound = Vec::new();
        let mut refused_by = "the caller's proxy";
        let end = match (&explained.verdict, explained.pick) {
            (Outbound::Unknown, _) => End::Done(
                "it leads to no service of the mesh: passed through to where it was going".to_owned(),
            ),
            (Outbound::Redirect { to, .. }, _) => {
                let request = facts.request.expect("a question is about a request");
                let location =
                    to.location("http", request.host, question.to.port, request.path, request.query);
                End::Done(format!("answered with a redirect: {} to {location}", to.status.as_u16()))
            }
            (Outbound::Refuse { refusal, .. }, _) => End::Refused(*refusal),
            (Outbound::Forward(_), None) => End::Refused(Refusal::NoEndpoint),
            (Outbound::Forward(_), Some(Err(refusal))) => End::Refused(refusal),
            (Outbound::Forward(forward), Some(Ok(pick))) => {
                let (steps, refusal) = at_endpoint(question, told, forward, &pick.endpoint);
                inbound = steps;
                refused_by = "the endpoint's proxy";
                match refusal {
                    Some(refusal) => End::Refused(refusal),
                    None => End::Sent(Chosen::of(forward, &pick.endpoint)),
                }
            }
        };
        let (delivered, verdict, to, refusal) = match end {
            End::Sent(to) => {
                (true, format!("delivered to {} at {}", to.endpoint, to.address), Some(to), None)
            }
            End::Done(how) => (true, how, None, None),
            End::Refused(refusal) => {
                let answer = refusal.answer();
                let status = answer.status.as_u16();
                let verdict =
                    format!("answered with {status} ({}) by {refused_by}: {}", answer.token, answer.text);
                (false, verdict, None, Some(Refused { status, error: answer.token, by: refused_by }))
            }
        };
        Self {
            from: from.to_owned(),
            from_identity: told.identity.as_ref().map(ToString::to_string).unwrap_or_default(),
            request: request_line(question),
            delivered,
            verdict,
            to,
            refusal,
            outbound: explained.steps.into_iter().map(Considered::from).collect(),
            inbound,
            draw: format!("{:016x}", question.draw.seed()),
            newest_revision: told.newest,
            applied_revision: told.applied,
            notes: notes(from, question, told),
        }
    }
}

impl Chosen {
    fn of(forward: &Forward<'_>, endpoint: &Endpoint) -> Self {
        Self {
            backend: forward.to.to_string(),
            endpoint: endpoint.name.to_string(),
            address: endpoint.addr.to_string(),
            identity: endpoint.identity.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// What the proxy of the endpoint says, of the request as it arrives there: with the filters applied, and with
/// the caller's identity where the way is mTLS.
fn at_endpoint(
    question: &Question,
    told: &Told,
    forward: &Forward<'_>,
    endpoint: &Endpoint,
) -> (Vec<Considered>, Option<Refusal>) {
    if endpoint.identity.is_none() {
        let outcome = "has no sidecar: plaintext to the application itself, and nobody asks who is calling";
        let step = Considered { stage: "mtls", object: None, outcome: outcome.to_owned() };
        return (vec![step], None);
    }
    let mut headers = question.headers.clone();
    let mut path = question.path.clone();
    let mut host = question.to.host.clone();
    for filter in forward.filters() {
        match filter {
            Filter::RequestHeaders(edit) => edit.apply(&mut headers),
            Filter::Rewrite(rewrite) => {
                if let Some(to) = &rewrite.path {
                    path = to.apply(&path).into_owned();
                }
                if let Some(to) = &rewrite.host {
                    host = to.to_string();
                }
            }
            Filter::ResponseHeaders(_) | Filter::Redirect(_) | Filter::Unsupported(_) => {}
        }
    }
    let facts = Facts {
        // The caller's address is not known here; policies on addresses are told as such by their step.
        source: Source { identity: told.identity.as_ref(), addr: None },
        destination: Destination::Addr((endpoint.addr.ip(), endpoint.target_port).into()),
        request: Some(Request {
            method: &question.method,
            host: &host,
            path: &path,
            query: question.query.as_deref(),
            headers: &headers,
            grpc: question.is_grpc(),
        }),
    };
    let snapshot = Snapshot { inbound: told.callee(&endpoint.name).map(Arc::clone), ..Snapshot::default() };
    let explained = explain::inbound(&snapshot, &facts, endpoint.target_port);
    (explained.steps.into_iter().map(Considered::from).collect(), explained.verdict.refusal())
}

fn request_line(question: &Question) -> String {
    let query = question.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let Question { method, to, path, .. } = question;
    format!("{method} http://{}:{}{path}{query}", to.host, to.port)
}

fn notes(from: &str, question: &Question, told: &Told) -> Vec<String> {
    let mut notes = Vec::new();
    match (told.applied, told.newest) {
        (0, _) => notes.push(format!("{from}'s proxy is not attached: this is what it will be told")),
        (applied, newest) if applied < newest => notes.push(format!(
            "{from}'s proxy last applied revision {applied}; changes up to {newest} that concern it may be on the way"
        )),
        _ => {}
    }
    notes.push(
        "what proxies learn by themselves (breakers, latencies, limits in use) is not known here: endpoints are \
         picked as by a proxy that has just started"
            .to_owned(),
    );
    if !question.drawn_by_operator {
        notes.push("the draw was ours: another request may draw another backend".to_owned());
    }
    notes
}

impl Tell for Answer {
    fn tell(&self, page: &mut Page) {
        let from = if self.from_identity.is_empty() { "identity not known" } else { &self.from_identity };
        page.line(format!("{}  from {} ({from})", page.paint(Tone::Strong, &self.request), self.from));
        page.gap();
        let mut table = Table::of_words(&["WHERE", "STEP", "OBJECT", "OUTCOME"]);
        for (place, steps) in [("caller", &self.outbound), ("endpoint", &self.inbound)] {
            for (nth, step) in steps.iter().enumerate() {
                let tone = if step.stage == "answer" { Tone::Warn } else { Tone::Plain };
                table.row([
                    (Tone::Faint, if nth == 0 { place.to_owned() } else { String::new() }),
                    (Tone::Strong, step.stage.to_owned()),
                    (Tone::Plain, step.object.clone().unwrap_or_default()),
                    (tone, step.outcome.clone()),
                ]);
            }
        }
        page.table(&table);
        page.gap();
        page.toned(if self.delivered { Tone::Good } else { Tone::Bad }, &self.verdict);
        if let Some(to) = &self.to {
            let over = if to.identity.is_empty() {
                "in plaintext".to_owned()
            } else {
                format!("over mTLS, as {}", to.identity)
            };
            page.line(format!("backend {}, {over}", to.backend));
        }
        page.toned(
            Tone::Faint,
            format!(
                "draw {}, revision {} (applied {})",
                self.draw, self.newest_revision, self.applied_revision
            ),
        );
        for note in &self.notes {
            page.toned(Tone::Faint, format!("- {note}"));
        }
    }
}

#[cfg(test)]
mod tests;
