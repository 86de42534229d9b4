//! `TrafficPolicy`: how clients send to a Service. What it leaves out keeps the default of the policy type.

use std::time::Duration;

use http::HeaderName;
use weft_policy::breaker::BreakerConfig;
use weft_policy::deadline::Timeouts;
use weft_policy::endpoint::{Balance, HashKey, Limits};
use weft_policy::retry::{BudgetConfig, Retry};

use crate::duration;
use crate::meta::Metadata;
use crate::node::Value;
use crate::reader::{At, Fields};

use super::target::{self, TargetKind, TargetRef};

/// A `TrafficPolicy`.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficPolicy {
    /// `metadata`
    pub meta: Metadata,
    /// Services of its namespace, or single ports of them.
    pub targets: Vec<TargetRef>,
    /// `loadBalancing`
    pub balance: Balance,
    /// `retries`
    pub retry: Retry,
    /// `retries.budget`
    pub budget: BudgetConfig,
    /// `timeouts`
    pub timeouts: Timeouts,
    /// `circuitBreaking`
    pub breaker: BreakerConfig,
    /// `limits`
    pub limits: Limits,
}

/// Reads `spec`.
pub(crate) fn read(meta: Metadata, spec: Option<&At<'_>>) -> Option<TrafficPolicy> {
    let mut fields = spec?.fields()?;
    let targets = target::read(&mut fields, &[TargetKind::Service]);
    if targets.is_none() {
        fields.at().bad("`targetRefs` is missing", "name the Service whose traffic this is about");
    }
    let balance = part(&mut fields, "loadBalancing", balance);
    let retries = part(&mut fields, "retries", retries);
    let timeouts = part(&mut fields, "timeouts", |fields| {
        Some(Timeouts { request: time(fields, "request"), backend_request: time(fields, "backendRequest") })
    });
    let breaker = part(&mut fields, "circuitBreaking", |fields| Some(breaker(fields)));
    let limits = part(&mut fields, "limits", |fields| {
        let mut limit = |name| number(fields, name).unwrap_or(0);
        Some(Limits {
            max_connections: limit("maxConnections"),
            max_pending: limit("maxPending"),
            max_requests: limit("maxRequests"),
        })
    });
    fields.finish();
    let (retry, budget) = retries.unwrap_or_default();
    Some(TrafficPolicy {
        meta,
        targets: targets?,
        balance: balance.unwrap_or_default(),
        retry,
        budget,
        timeouts: timeouts.unwrap_or_default(),
        breaker: breaker.unwrap_or_default(),
        limits: limits.unwrap_or_default(),
    })
}

/// Reads a part that may be absent.
fn part<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Option<T> {
    let mut inner = fields.get(name)?.fields()?;
    let value = read(&mut inner);
    inner.finish();
    value
}

fn balance(fields: &mut Fields<'_>) -> Option<Balance> {
    #[derive(Clone, Copy)]
    enum Type {
        PeakEwma,
        LeastRequest,
        RoundRobin,
        Random,
        RingHash,
    }
    let kind = fields.need("type")?.one_of(&[
        ("PeakEwma", Type::PeakEwma),
        ("LeastRequest", Type::LeastRequest),
        ("RoundRobin", Type::RoundRobin),
        ("Random", Type::Random),
        ("RingHash", Type::RingHash),
    ])?;
    let hash_on = fields.get("hashOn");
    if let Some(at) = hash_on.as_ref().filter(|_| !matches!(kind, Type::RingHash)) {
        at.bad("only RingHash has `hashOn`", "take it out, or write type: RingHash");
    }
    Some(match kind {
        Type::PeakEwma => Balance::PeakEwma,
        Type::LeastRequest => Balance::LeastRequest,
        Type::RoundRobin => Balance::RoundRobin,
        Type::Random => Balance::Random,
        Type::RingHash => {
            let Some(at) = hash_on else {
                fields
                    .at()
                    .bad("`hashOn` is missing", "say what to hash: header: x-user, or sourceAddress: true");
                return None;
            };
            Balance::RingHash(hash_key(&at)?)
        }
    })
}

/// `hashOn: {header: x-user}`, `hashOn: {sourceAddress: true}` or `hashOn: sourceAddress`.
fn hash_key(at: &At<'_>) -> Option<HashKey> {
    if !at.is_map() {
        return at.one_of(&[("sourceAddress", ())]).map(|()| HashKey::SourceAddr);
    }
    let mut fields = at.fields()?;
    let header = fields.get("header");
    let address = fields.get("sourceAddress").and_then(|at| at.flag()).unwrap_or(false);
    fields.finish();
    match (header, address) {
        (Some(at), false) => at.parse(str::parse::<HeaderName>, "write a header's name").map(HashKey::Header),
        (None, true) => Some(HashKey::SourceAddr),
        _ => {
            at.bad("a hash is taken over exactly one thing", "write header: x-user, or sourceAddress: true");
            None
        }
    }
}

fn retries(fields: &mut Fields<'_>) -> Option<(Retry, BudgetConfig)> {
    let default = Retry::default();
    let mut statuses: Vec<u16> = fields.items("statuses", 200).iter().flat_map(statuses_of).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let mut grpc_codes: Vec<u8> = fields.items("grpcCodes", 17).iter().filter_map(grpc_code).collect();
    grpc_codes.sort_unstable();
    grpc_codes.dedup();
    let mut flag = |name, default| fields.get(name).and_then(|at| at.flag()).unwrap_or(default);
    let (on_timeout, on_reset, non_idempotent) = (
        flag("onTimeout", default.on_timeout),
        flag("onReset", default.on_reset),
        flag("nonIdempotent", default.non_idempotent),
    );
    let attempts = fields.get("attempts").map_or(Some(default.attempts), |at| at.number(0, 100))?;
    let backoff = time(fields, "backoff").unwrap_or(default.backoff);
    let max_backoff = time(fields, "maxBackoff").unwrap_or(default.max_backoff).max(backoff);
    let budget = part(fields, "budget", |fields| {
        let default = BudgetConfig::default();
        Some(BudgetConfig {
            percent: fields.get("percent").map_or(Some(default.percent), |at| at.number(0, 100))?,
            min_per_second: number(fields, "minPerSecond").unwrap_or(default.min_per_second),
            window: window(fields, "window", default.window),
        })
    });
    let retry =
        Retry { attempts, statuses, grpc_codes, on_timeout, on_reset, non_idempotent, backoff, max_backoff };
    Some((retry, budget.unwrap_or_default()))
}

/// `503`, or `"5xx"` for all of a class.
fn statuses_of(at: &At<'_>) -> Vec<u16> {
    match at.value() {
        Value::String(text) => match &**text {
            "4xx" => (400..=499).collect(),
            "5xx" => (500..=599).collect(),
            _ => at
                .parse(
                    |text| {
                        text.parse::<u16>()
                            .ok()
                            .filter(|code| (400..600).contains(code))
                            .ok_or("not a status")
                    },
                    "write a number from 400 to 599, or 5xx",
                )
                .into_iter()
                .collect(),
        },
        _ => at.number(400, 599).into_iter().collect(),
    }
}

/// A code of gRPC by number or by name, in the spelling of its specification.
fn grpc_code(at: &At<'_>) -> Option<u8> {
    match at.value() {
        Value::String(text) => {
            let words: Vec<(&str, u8)> =
                GRPC_CODES.iter().zip(1..).map(|(name, code)| (*name, code)).collect();
            let upper = text.replace('-', "_").to_uppercase();
            words.iter().find(|(word, _)| *word == upper).map(|(_, code)| *code).or_else(|| at.one_of(&words))
        }
        _ => at.number(1, 16),
    }
}

fn breaker(fields: &mut Fields<'_>) -> BreakerConfig {
    let default = BreakerConfig::default();
    let open_for = window(fields, "openFor", default.open_for);
    BreakerConfig {
        consecutive_failures: number(fields, "consecutiveFailures").unwrap_or(default.consecutive_failures),
        min_success_rate: fields
            .get("minSuccessRate")
            .and_then(|at| rate(&at))
            .unwrap_or(default.min_success_rate),
        window: window(fields, "window", default.window),
        min_requests: number(fields, "minRequests").unwrap_or(default.min_requests),
        open_for,
        max_open_for: window(fields, "maxOpenFor", default.max_open_for).max(open_for),
    }
}

/// A share: `0.9`, or `"90%"`.
fn rate(at: &At<'_>) -> Option<f64> {
    let share = match at.value() {
        Value::Int(whole @ 0..=1) => Some(f64::from(u8::try_from(*whole).unwrap_or(0))),
        Value::Float(share) => Some(*share),
        Value::String(text) => text
            .strip_suffix('%')
            .and_then(|percent| percent.trim().parse::<f64>().ok())
            .map(|percent| percent / 100.0),
        _ => None,
    };
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    if share.is_none() {
        at.bad("this is not a share", "write a number from 0 to 1, or \"90%\"");
    }
    share
}

fn number(fields: &mut Fields<'_>, name: &'static str) -> Option<u32> {
    fields.get(name)?.number(0, i64::from(u32::MAX))
}

fn time(fields: &mut Fields<'_>, name: &'static str) -> Option<Duration> {
    fields.get(name)?.parse(duration::parse, duration::HELP)
}

/// A span that cannot be nothing.
fn window(fields: &mut Fields<'_>, name: &'static str, default: Duration) -> Duration {
    let Some(at) = fields.get(name) else { return default };
    let span = at.parse(duration::parse, duration::HELP).unwrap_or(default);
    if span.is_zero() {
        at.bad("this cannot be zero", duration::HELP);
    }
    span
}

/// From 1 (gRPC core, "Status codes and their use in gRPC").
const GRPC_CODES: [&str; 16] = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
