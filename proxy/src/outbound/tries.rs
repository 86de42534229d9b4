//! Tries until one brings a response, or policy has had enough. When to try again, and whether at all, is decided
//! in `policy::retry`; here it is done.

use std::rc::Rc;

use http_body::Body as _;
use hyper::body::Incoming;
use weft_policy::decide::Forward;
use weft_policy::draw::Draw;
use weft_policy::refuse::Refusal;
use weft_policy::retry::{self, Attempt, Failure, Next, Replay};

use super::attempt::{Answered, Tries, Unanswered};
use crate::exchange::{Upward, grpc_status};
use crate::message::Body;
use crate::message::replay::Kept;

/// Tries until there is a response, or nothing more to try.
pub(super) async fn until_answered(
    tries: &Tries<'_>,
    forward: &Forward<'_>,
    parts: &http::request::Parts,
    body: Incoming,
    draw: &mut Draw,
) -> Result<Answered, Refusal> {
    let (worker, exchange) = (tries.worker, tries.exchange);
    let budget = &tries.backend.budget;
    let idempotent = retry::is_idempotent(&parts.method);
    let kept = (!body.is_end_stream()).then(|| Kept::new(body));
    let mut now = worker.now();
    budget.record_request(&forward.traffic.budget, now);
    let deadline = forward.timeouts.deadline(exchange.started);
    let mut asked = Vec::new();
    for number in 1.. {
        let body = kept.as_ref().map_or_else(Body::empty, |kept| Body::replay(kept.replay()));
        let body = body.watched(Box::new(Upward(Rc::clone(exchange))));
        let try_deadline = forward.timeouts.try_deadline(exchange.started, now);
        let (failure, answered) = match tries.make(parts, body, &mut asked, try_deadline, now, draw).await {
            Ok(mut answered) => {
                let status = answered.response.status().as_u16();
                let code = if exchange.grpc { grpc_status(answered.response.headers()) } else { None };
                answered.tried.head(status, code, draw);
                match worth_another(status, code) {
                    None => return Ok(answered),
                    Some(failure) => (failure, Some(answered)),
                }
            }
            Err(Unanswered::Nobody(refusal)) => return Err(refusal),
            Err(Unanswered::NotHttp) => return Err(Refusal::BadResponse),
            Err(Unanswered::Failed(failure)) => (failure, None),
        };
        if exchange.is_broken() {
            return answered.ok_or(Refusal::BadRequest);
        }
        let body_replayable = kept.as_ref().is_none_or(Kept::is_replayable);
        let replay = Replay { idempotent, body_replayable };
        let attempt = Attempt { number, failure, replay, deadline };
        match retry::next(forward.retry, budget, &forward.traffic.budget, &attempt, worker.now(), draw) {
            Next::TryAgain { at, .. } => {
                drop(answered);
                exchange.retried();
                worker.sleep_until(at).await;
                now = worker.now();
            }
            Next::GiveUp(because) => {
                if answered.is_none() {
                    tracing::debug!(?failure, ?because, number, "gave up");
                }
                return answered
                    .ok_or_else(|| refusal(failure, deadline.is_some_and(|at| worker.now() >= at)));
            }
        }
    }
    unreachable!("a retry policy has a highest number of attempts")
}

/// A response that a policy may name as worth another try.
const fn worth_another(status: u16, grpc_status: Option<u16>) -> Option<Failure> {
    match grpc_status {
        Some(0) => None,
        Some(code) if code <= 16 => Some(Failure::Grpc(code as u8)),
        Some(_) => Some(Failure::Grpc(2)),
        None if status >= 400 => Some(Failure::Status(status)),
        None => None,
    }
}

/// What the client hears when the last try brought no response.
const fn refusal(failure: Failure, time_is_up: bool) -> Refusal {
    match failure {
        Failure::TryTimeout if time_is_up => Refusal::RequestTimeout,
        Failure::TryTimeout => Refusal::TryTimeout,
        Failure::WrongIdentity => Refusal::WrongIdentity,
        Failure::ConnectFailed | Failure::NotSent => Refusal::ConnectFailed,
        Failure::RefusedStream | Failure::ResetBeforeResponse | Failure::Status(_) | Failure::Grpc(_) => {
            Refusal::UpstreamReset
        }
    }
}
