//! Every vector of `vectors/requests`, through every lane.
//!
//! What can be expected:
//! - `accept METHOD TARGET [BODY]`: the origin gets this request, and the client its answer. Several: in this order.
//! - `reject STATUS…`: after those, one of these statuses, `Connection: close`, the end of the connection, and not one
//!   byte more at the origin.
//! - `abort`: the head may have been passed on, the request never becomes whole: the origin's connection is closed
//!   within it, and the client gets a 400 or just the end of the connection.
//! - `or reject STATUS…`, `or abort`: refusing it would be right as well.
//! - `has NAME: VALUE`, `lacks TEXT`: what the last request has among its fields, and nowhere (case does not count).
//! - `closes`: the connection ends after the last response. `tunnels TEXT`: it has become a tunnel that echoes this.
//! - `only LANE…`, `not LANE…`.

use std::fmt::Write;

use weft_tests::figures::report;

use crate::client::{Client, Missing, Response};
use crate::corpus::{self, Step, Vector, unescape};
use crate::lab::{Lab, Lane};
use crate::reading::Seen;
use crate::recorder::{Arrival, show};

/// How it may end after what is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// The connection goes on.
    InStep,
    Closes,
    Rejected(Vec<u16>),
    Aborted,
    Tunnel(Vec<u8>),
}

/// One thing that may be expected.
#[derive(Debug)]
struct Outcome {
    accepted: Vec<Seen>,
    end: End,
}

/// What went through, for whoever wants to look at it.
pub(crate) struct Passed {
    pub(crate) id: String,
    pub(crate) seen: Vec<Seen>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_read_in_two_ways_is_refused_and_the_rest_arrives_in_one_form_only() {
    let vectors = corpus::read("requests");
    assert!(vectors.len() >= 300, "{} vectors", vectors.len());
    let lab = Lab::open().await;
    let runs = lab.lanes.iter().map(|lane| run(lane, &vectors));
    let mut table = String::new();
    let mut count = 0;
    for (lane, (faults, _)) in lab.lanes.iter().zip(join(runs).await) {
        for (vector, fault) in faults {
            count += 1;
            let _ = writeln!(table, "{:<11} {:<28} {} | {fault}", lane.name, vector.id, vector.title);
        }
    }
    assert!(count == 0, "{count} faults:\n{table}");
    let refused = vectors.iter().filter(|vector| vector.all("accept").next().is_none()).count();
    let (all, lanes) = (vectors.len(), lab.lanes.len());
    report(
        2,
        format!("{all} vectors on {lanes} ways, 0 of the {refused} that must be refused passed on"),
        true,
    );
}

/// Runs all vectors through one lane, one after the other.
pub(crate) async fn run<'v>(lane: &Lane, vectors: &'v [Vector]) -> (Vec<(&'v Vector, String)>, Vec<Passed>) {
    let (mut faults, mut passed) = (Vec::new(), Vec::new());
    for vector in vectors.iter().filter(|vector| concerns(vector, lane)) {
        match expectations(vector, lane) {
            Err(error) => panic!("{}: {error}", vector.id),
            Ok(expected) => match try_one(lane, vector, &expected).await {
                Ok(seen) => passed.push(Passed { id: vector.id.clone(), seen }),
                Err(fault) => faults.push((vector, fault)),
            },
        }
    }
    (faults, passed)
}

/// All of them at once.
pub(crate) async fn join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in futures.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(output) = future.as_mut().poll(cx) {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

fn concerns(vector: &Vector, lane: &Lane) -> bool {
    let named =
        |word| vector.all(word).flat_map(str::split_whitespace).any(|name| lane.name.starts_with(name));
    let only = vector.all("only").next().is_none() || named("only");
    let long: usize =
        vector.steps.iter().map(|step| if let Step::Send(bytes) = step { bytes.len() } else { 0 }).sum();
    only && !named("not") && !(lane.in_pieces && long > IN_PIECES)
}

/// The first is the rule, another one is as good.
fn expectations(vector: &Vector, lane: &Lane) -> Result<Vec<Outcome>, String> {
    let mut rule = Outcome { accepted: Vec::new(), end: End::InStep };
    let mut other = Vec::new();
    for (word, argument) in &vector.expected {
        let statuses = |text: &str| text.split_whitespace().map(str::parse).collect::<Result<Vec<u16>, _>>();
        let rejected = |text: &str| statuses(text).map(End::Rejected).map_err(|_| "no status".to_owned());
        match (word.as_str(), argument.as_str()) {
            ("accept", request) => rule.accepted.push(wanted(request, lane)?),
            ("reject", text) => rule.end = rejected(text)?,
            ("abort", _) => rule.end = End::Aborted,
            ("closes", _) => rule.end = End::Closes,
            ("tunnels", text) => rule.end = End::Tunnel(unescape(text)?),
            ("or", "abort") => other.push(Outcome { accepted: Vec::new(), end: End::Aborted }),
            ("or", text) => {
                let text = text.strip_prefix("reject ").ok_or("`or reject …` or `or abort`")?;
                other.push(Outcome { accepted: Vec::new(), end: rejected(text)? });
            }
            ("has" | "lacks" | "only" | "not", _) => {}
            (word, _) => return Err(format!("{word} means nothing")),
        }
    }
    other.insert(0, rule);
    Ok(other)
}

fn wanted(text: &str, lane: &Lane) -> Result<Seen, String> {
    let mut words = text.splitn(3, ' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err("METHOD TARGET".into());
    };
    let text = |text: &str| unescape(text).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let body = in_lane(&unescape(words.next().unwrap_or_default())?, lane);
    Ok(Seen { method: text(method)?, target: text(target)?, body, ..Seen::default() })
}

/// In place of the Service that vectors name.
fn in_lane(bytes: &[u8], lane: &Lane) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"api.shop")).collect();
    for at in places {
        bytes[at..at + 8].copy_from_slice(lane.host.as_bytes());
    }
    bytes
}

async fn try_one(lane: &Lane, vector: &Vector, expected: &[Outcome]) -> Result<Vec<Seen>, String> {
    lane.origin.mark();
    let mut client = Client::connect(lane.addr).await;
    say(lane, vector, &mut client).await?;
    let mut faults = Vec::new();
    let (responses, end) = hear(lane, &mut client, &expected[0]).await;
    let (mut seen, tunnelled) = arrived(lane).await?;
    for outcome in expected {
        match judge(lane, vector, outcome, &responses, &end, &seen, &tunnelled) {
            Ok(()) => {
                faults.clear();
                break;
            }
            Err(fault) => faults.push(fault),
        }
    }
    // Nobody else has suffered.
    lane.origin.mark();
    let sentinel = format!("GET /sentinel HTTP/1.1\r\nHost: {}\r\n\r\n", lane.host);
    let mut other = Client::connect(lane.addr).await;
    other.send(sentinel.as_bytes()).await;
    match other.response("GET", None).await {
        Ok(response) if response.body == b"GET /sentinel" => {}
        other => faults.push(format!("the next client gets {other:?}")),
    }
    drop(other);
    let (after, _) = arrived(lane).await?;
    // What is broken off may arrive when its client knows already.
    let late = expected.iter().any(|outcome| outcome.end == End::Aborted);
    let after: Vec<_> = after.into_iter().filter(|arrived| !late || arrived.is_ok()).collect();
    if after.iter().map(|arrived| arrived.as_ref().map(|seen| &*seen.target)).ne([Ok("/sentinel")]) {
        faults.push(format!("and after it the origin gets {}", brief(&after)));
    }
    if faults.is_empty() { Ok(seen.drain(..).flatten().collect()) } else { Err(faults.join("; ")) }
}

/// Sends what the vector sends.
async fn say(lane: &Lane, vector: &Vector, client: &mut Client) -> Result<(), String> {
    for step in &vector.steps {
        match step {
            Step::Send(bytes) if lane.in_pieces => client.send_in_pieces(&in_lane(bytes, lane)).await,
            Step::Send(bytes) => client.send(&in_lane(bytes, lane)).await,
            Step::End => client.end().await,
            Step::Await(status) => {
                let interim = client.response("GET", Some(*status)).await;
                interim.map_err(|missing| format!("no {status}: {missing:?}"))?;
            }
            Step::Until(text) => lane.origin.until(text).await?,
        }
    }
    Ok(())
}

/// What a client hears in the end.
#[derive(Debug)]
enum Heard {
    Closed,
    /// Another request on the same connection is answered.
    InStep,
    Tunnel,
    /// Something else.
    #[expect(dead_code, reason = "it is shown in the table of faults")]
    Fault(String),
}

/// Reads responses until the connection ends, or as many as are expected have come.
async fn hear(lane: &Lane, client: &mut Client, rule: &Outcome) -> (Vec<Response>, Heard) {
    let mut responses = Vec::new();
    let wanted = rule.accepted.len() + usize::from(matches!(rule.end, End::Rejected(_) | End::Aborted));
    while responses.len() < wanted {
        let method = rule.accepted.get(responses.len()).map_or("GET", |request| request.method.as_str());
        match client.response(method, None).await {
            Ok(response) => {
                let last = response.says_close();
                responses.push(response);
                if last {
                    break;
                }
            }
            Err(Missing::Closed) => return (responses, Heard::Closed),
            // Where HTTP/2 is declared, what is no HTTP/1 either is answered in HTTP/2.
            Err(Missing::Cut(frames)) if lane.name == "inbound-h2" && frames.starts_with("\\x00\\x00") => {
                return (responses, Heard::Closed);
            }
            Err(missing) => return (responses, Heard::Fault(format!("{missing:?}"))),
        }
    }
    let ends = responses.last().is_none_or(Response::says_close)
        || !matches!(rule.end, End::InStep | End::Tunnel(_));
    if ends {
        return match client.closed().await {
            Ok(()) => (responses, Heard::Closed),
            Err(fault) => (responses, Heard::Fault(fault)),
        };
    }
    if let End::Tunnel(text) = &rule.end {
        return match client.echo(text).await {
            Ok(()) => (responses, Heard::Tunnel),
            Err(fault) => (responses, Heard::Fault(format!("no echo: {fault:?}"))),
        };
    }
    let next = format!("GET /in-step HTTP/1.1\r\nHost: {}\r\n\r\n", lane.host);
    client.send(next.as_bytes()).await;
    match client.response("GET", None).await {
        Ok(response) if response.body == b"GET /in-step" => (responses, Heard::InStep),
        other => (responses, Heard::Fault(format!("the connection is out of step: {other:?}"))),
    }
}

/// Requests, or what is broken, in the order in which they came; and what was tunnelled.
type Arrived = (Vec<Result<Seen, String>>, Vec<u8>);

async fn arrived(lane: &Lane) -> Result<Arrived, String> {
    let (mut seen, mut tunnelled) = (Vec::new(), Vec::new());
    for arrival in lane.origin.arrivals().await? {
        match arrival {
            Arrival::Whole(request) => seen.push(Ok(request)),
            Arrival::Broken { raw, why } => seen.push(Err(format!("{why}: {}", show(&raw)))),
            Arrival::Tunnelled(bytes) => tunnelled.extend(bytes),
        }
    }
    if seen.is_empty() && lane.origin.bytes() > 0 {
        seen.push(Err(format!("{} bytes of a request", lane.origin.bytes())));
    }
    Ok((seen, tunnelled))
}

fn judge(
    lane: &Lane,
    vector: &Vector,
    outcome: &Outcome,
    responses: &[Response],
    heard: &Heard,
    seen: &[Result<Seen, String>],
    tunnelled: &[u8],
) -> Result<(), String> {
    let statuses: Vec<_> = responses.iter().map(|response| response.status).collect();
    let told = format!("client: {statuses:?} {heard:?}; origin: {}", brief(seen));
    let count = outcome.accepted.len();
    // What is accepted.
    let in_step = Seen { method: "GET".to_owned(), target: "/in-step".to_owned(), ..Seen::default() };
    let probe = matches!(heard, Heard::InStep).then_some(in_step);
    let wanted: Vec<_> = outcome.accepted.iter().chain(&probe).collect();
    let whole: Vec<_> = seen.iter().take_while(|seen| seen.is_ok()).flatten().collect();
    let same = |have: &Seen, want: &Seen| {
        have.method == want.method && have.target == want.target && have.body == want.body
    };
    let arrived =
        whole.len() == wanted.len() && whole.iter().zip(&wanted).all(|(have, want)| same(have, want));
    let broken_is_right = outcome.end == End::Aborted;
    if !arrived || (whole.len() < seen.len() && !broken_is_right) {
        return Err(format!(
            "wanted {:?}; {told}",
            wanted.iter().map(|want| &want.target).collect::<Vec<_>>()
        ));
    }
    for (response, want) in responses.iter().zip(&outcome.accepted) {
        let switched = response.status == 101 && matches!(outcome.end, End::Tunnel(_));
        let body =
            if want.method == "HEAD" { String::new() } else { format!("{} {}", want.method, want.target) };
        if !switched && (response.status != 200 || response.body != body.as_bytes()) {
            return Err(format!("no answer to {}; {told}", want.target));
        }
    }
    // And how it ends.
    let last = responses.get(count);
    let right = match (&outcome.end, heard) {
        (End::InStep, Heard::InStep) | (End::Closes, Heard::Closed) => responses.len() == count,
        // RFC 9112 §9.6: a server may close when it has said so.
        (End::InStep, Heard::Closed) => {
            responses.len() == count && responses.last().is_some_and(Response::says_close)
        }
        (End::Rejected(statuses), Heard::Closed) => match last {
            Some(last) => statuses.contains(&last.status) && last.says_close(),
            // To a port where another protocol may be spoken, what is not HTTP/1 is nothing to answer to in HTTP/1.
            None => lane.name.ends_with("-h2"),
        },
        (End::Aborted, Heard::Closed) => last.is_none_or(|last| {
            // To a client that ended its request itself any answer will do.
            let ended = vector.steps.iter().any(|step| matches!(step, Step::End));
            last.says_close() && (matches!(last.status, 400 | 431) || (ended && last.status > 400))
        }),
        (End::Tunnel(text), Heard::Tunnel) => tunnelled == text,
        _ => false,
    };
    if !right {
        return Err(format!("wanted {:?}; {told}", outcome.end));
    }
    let Some(request) = count.checked_sub(1).and_then(|last| whole.get(last)) else { return Ok(()) };
    look(vector, lane, request).map_err(|fault| format!("{fault}; {told}"))
}

/// What the last accepted request must have, and must not.
fn look(vector: &Vector, lane: &Lane, request: &Seen) -> Result<(), String> {
    for line in vector.all("has") {
        let line = String::from_utf8_lossy(&in_lane(line.as_bytes(), lane)).into_owned();
        let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
        if request.field(name) != Some(value) {
            return Err(format!("{name}: {value} is not in {:?}", request.fields));
        }
    }
    for text in vector.all("lacks") {
        let text = text.to_ascii_lowercase();
        let line = |(name, value): &(String, String)| format!("{name}: {value}").to_ascii_lowercase();
        if let Some(line) = request.fields.iter().map(line).find(|line| line.contains(&text)) {
            return Err(format!("the origin got {line}"));
        }
    }
    Ok(())
}

fn brief(seen: &[Result<Seen, String>]) -> String {
    let one = |seen: &Result<Seen, String>| match seen {
        Ok(seen) => format!("{} {} [{}]", seen.method, seen.target, show(&seen.body)),
        Err(why) => format!("broken({why})"),
    };
    if seen.is_empty() { "nothing".to_owned() } else { seen.iter().map(one).collect::<Vec<_>>().join(", ") }
}

/// Longer ones are not sent byte by byte: it would only take time.
const IN_PIECES: usize = 2000;
