//! What RFC 9113 and RFC 7541 demand of a server, section by section, on every way to the application.
//!
//! A case is data: what is sent on a connection of its own, and the reactions of which one must come. Where an RFC
//! leaves a choice, the case lists what it allows. A PING after the last frame tells when all of it has been read.

mod fields;
mod framing;
mod frames;
mod hpack;
mod messages;
mod streams;

use std::collections::HashMap;
use std::net::SocketAddr;

use weft_tests::figures;
use weft_tests::origin::Origin;

use crate::client::{Client, Heard, MARK};
use crate::lab::Lab;
use crate::wire::{END_HEADERS, END_STREAM, PREFACE, block, headers, settings};

/// What is sent, and what must come of it.
pub(crate) struct Case {
    section: &'static str,
    what: &'static str,
    /// Whether the preface and SETTINGS go before.
    greets: bool,
    say: Vec<Say>,
    want: Vec<Want>,
}

/// A step of a case.
pub(crate) enum Say {
    /// These bytes, in one write.
    Bytes(Vec<u8>),
    /// These bytes, each in a write of its own.
    ByteByByte(Vec<u8>),
    /// Nothing, until the response on this stream has ended.
    AfterAnswer(u32),
    /// Nothing, until this stream is reset.
    AfterReset(u32),
}

/// A reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// The response on this stream, whole, with this status.
    Answer(u32, u16),
    /// A response that refuses: 4xx or 501, whole.
    Refusal(u32),
    /// RST_STREAM with this code.
    Reset(u32, u32),
    /// GOAWAY with this code, and then the end.
    GoAway(u32),
    /// The end, without a word.
    Close,
    /// Nothing but the answer to the PING that came after: it was ignored.
    Ignored,
    /// So many bytes of DATA on a stream, in one frame.
    Data(u32, usize),
    /// The ACK of the SETTINGS that were sent last.
    SettingsAck(usize),
    /// This PING's answer.
    Pong([u8; 8]),
    /// SETTINGS before anything else.
    SettingsFirst,
}

pub(crate) use Want::*;

fn case(
    section: &'static str,
    what: &'static str,
    say: impl IntoIterator<Item = impl Into<Say>>,
    want: impl IntoIterator<Item = Want>,
) -> Case {
    let say = say.into_iter().map(Into::into).collect();
    Case { section, what, greets: true, say, want: want.into_iter().collect() }
}

impl Case {
    /// It says the preface itself, or something else.
    fn raw(mut self) -> Self {
        self.greets = false;
        self
    }
}

impl From<Vec<u8>> for Say {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// The fields of a request, without anything that could be wrong.
pub(crate) fn request<'f>(method: &'f str, path: &'f str) -> Vec<(&'f [u8], &'f [u8])> {
    vec![
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"api.shop"),
        (b":path", path.as_bytes()),
    ]
}

/// `GET /`, complete.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    headers(END_HEADERS | END_STREAM, stream, block(&request("GET", "/")))
}

/// `POST /`, whose body is to follow.
pub(crate) fn post(stream: u32) -> Vec<u8> {
    headers(END_HEADERS, stream, block(&request("POST", "/")))
}

/// As `post`, with more fields.
pub(crate) fn post_with(stream: u32, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    headers(END_HEADERS, stream, block(&[&request("POST", "/"), fields].concat()))
}

/// As `get`, with more fields.
pub(crate) fn get_with(stream: u32, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    headers(END_HEADERS | END_STREAM, stream, block(&[&request("GET", "/"), fields].concat()))
}

/// What a server has done so far.
#[derive(Default)]
struct Seen {
    settings_first: Option<bool>,
    statuses: HashMap<u32, u16>,
    ended: Vec<u32>,
    resets: Vec<(u32, u32)>,
    data: Vec<(u32, usize)>,
    goaway: Option<u32>,
    pongs: Vec<[u8; 8]>,
    settings_acks: usize,
    closed: bool,
}

impl Seen {
    fn note(&mut self, heard: &Heard) {
        if self.settings_first.is_none() {
            self.settings_first = Some(*heard == Heard::Settings { ack: false });
        }
        match *heard {
            Heard::Head { stream, status, .. } => _ = self.statuses.entry(stream).or_insert(status),
            Heard::Data { stream, len, .. } => self.data.push((stream, len)),
            Heard::Reset { stream, code } => self.resets.push((stream, code)),
            Heard::GoAway { code, .. } => self.goaway = Some(code),
            Heard::Pong(said) => self.pongs.push(said),
            Heard::Settings { ack: true } => self.settings_acks += 1,
            Heard::Closed => self.closed = true,
            Heard::Settings { .. } | Heard::Frame(..) | Heard::Silence => {}
        }
        if let Heard::Head { stream, last: true, .. } | Heard::Data { stream, last: true, .. } = *heard {
            self.ended.push(stream);
        }
    }

    fn has(&self, want: Want) -> bool {
        let answered = |id: u32, fits: &dyn Fn(u16) -> bool| {
            self.ended.contains(&id) && self.statuses.get(&id).is_some_and(|status| fits(*status))
        };
        let quiet = self.goaway.is_none() && self.resets.is_empty() && !self.closed;
        match want {
            Answer(id, status) => answered(id, &|got| got == status),
            Refusal(id) => answered(id, &|got| (400..500).contains(&got) || got == 501),
            Reset(id, code) => self.resets.contains(&(id, code)),
            GoAway(code) => self.goaway == Some(code) && self.closed,
            Close => self.goaway.is_none() && self.closed,
            Ignored => quiet && self.pongs.contains(&MARK),
            Data(id, len) => self.data.contains(&(id, len)),
            SettingsAck(count) => self.settings_acks == count,
            Pong(said) => self.pongs.contains(&said),
            SettingsFirst => self.settings_first == Some(true),
        }
    }
}

/// Runs one case: what it wanted and did not get.
async fn run(case: &Case, addr: SocketAddr) -> Result<(), String> {
    let mut client = Client::connect(addr).await;
    if case.greets {
        client.say(&[PREFACE, &settings(&[])].concat()).await;
    }
    let mut seen = Seen::default();
    for say in &case.say {
        match say {
            Say::Bytes(bytes) => _ = client.say(bytes).await,
            Say::ByteByByte(bytes) => {
                for byte in bytes {
                    client.say(&[*byte]).await;
                }
            }
            Say::AfterAnswer(id) => _ = client.hear_until(|heard| heard.ends(*id)).await,
            Say::AfterReset(id) => {
                let reset = |heard: &Heard| matches!(heard, Heard::Reset { stream, .. } if stream == id);
                client.hear_until(reset).await;
            }
        }
    }
    client.mark().await;
    let before = std::mem::take(&mut client.heard);
    before.iter().for_each(|heard| seen.note(heard));
    loop {
        if case.want.iter().any(|want| seen.has(*want)) {
            return Ok(());
        }
        if seen.closed {
            break;
        }
        let heard = client.hear().await;
        seen.note(&heard);
        if heard == Heard::Silence {
            break;
        }
    }
    Err(format!("wants one of {:?}, heard {before:?}, then {:?}", case.want, client.heard))
}

fn all() -> Vec<Case> {
    let suites =
        [framing::cases, streams::cases, frames::cases, messages::cases, fields::cases, hpack::cases];
    suites.into_iter().chain([streams::how_many as fn() -> _]).flat_map(|cases| cases()).collect()
}

#[tokio::test]
async fn every_rule_of_http2_is_kept_on_every_way() {
    let mut failures = Vec::new();
    let mut runs = 0;
    for speaks in ["h2c", "http"] {
        let origin = Origin::start("api-1").await;
        let lab = Lab::before(origin.addr, speaks).await;
        for (way, addr) in lab.ways() {
            let mut nth = HashMap::new();
            for case in all() {
                let number = nth.entry(case.section).and_modify(|n| *n += 1).or_insert(1);
                runs += 1;
                if let Err(why) = run(&case, addr).await {
                    failures.push(format!(
                        "§{} no. {number}, {} ({way}, to an application on {speaks}): {why}",
                        case.section, case.what
                    ));
                }
            }
        }
    }
    let cases = all().len();
    let passed = runs - failures.len();
    figures::report(
        1,
        format!("{cases} own cases on {} ways: {passed}/{runs}", runs / cases),
        failures.is_empty(),
    );
    assert!(failures.is_empty(), "{} of {runs} failed:\n{}", failures.len(), failures.join("\n"));
}
