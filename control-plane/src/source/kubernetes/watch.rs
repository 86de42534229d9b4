//! The watch of one kind: it begins with everything there is, goes on with what changes, and begins again whenever it
//! cannot go on. What was known stays in force meanwhile: an API server that is away empties nothing.
//!
//! kube's watcher keeps its place over most troubles. Four it leaves to its caller: a place that the server has
//! forgotten by the time the watch is renewed (it would ask for the same place for ever), a server that does not stream
//! lists, a kind that is no more, and a server that takes the question and says nothing.

use std::time::Duration;

use kube::core::{ApiResource, Status};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;
use weft_manifests::cluster::pod::Pod;
use weft_manifests::cluster::slice::{EndpointSlice, Node};
use weft_manifests::cluster::{Id, Item};

use super::kinds::{Served, Shape, Watchable};
use super::lite::{Body, Watched};

/// What a watch has to say.
#[derive(Debug)]
pub(super) enum Heard {
    /// This is all there is of the kind.
    All(Vec<Item>),
    /// This is new or different.
    Put(Item),
    /// This is gone.
    Gone(Id),
    /// There is no such kind (any more).
    Absent {
        /// It was said twice.
        sure: bool,
    },
    /// There is such a kind, in these versions, none of which is read.
    Elsewhere(String),
    /// Nothing is heard now, and why.
    Trouble(String),
    /// Nothing has gone wrong for a while.
    Well,
}

/// What is heard, and of which kind.
pub(super) type Sender = mpsc::Sender<(Watchable, Heard)>;

/// Watches a kind for as long as somebody listens.
pub(super) async fn watch(kind: Watchable, client: Client, pace: Pace, heard: Sender) {
    let mut pause = Pause::new(pace);
    // Beginning with a stream is cheaper for the server, and not every one can.
    let mut begin = Begin::Streaming;
    let mut absences = 0_u32;
    loop {
        match timeout(pace.patience, kind.served(&client)).await {
            Ok(Ok(Served::Here(api))) => {
                absences = 0;
                let ended = match kind.shape {
                    Shape::Pod => follow::<Pod>(&kind, &client, api, begin, &heard, &mut pause).await,
                    Shape::Slice => {
                        follow::<EndpointSlice>(&kind, &client, api, begin, &heard, &mut pause).await
                    }
                    Shape::Node => follow::<Node>(&kind, &client, api, begin, &heard, &mut pause).await,
                    Shape::Written => follow::<Value>(&kind, &client, api, begin, &heard, &mut pause).await,
                };
                match ended {
                    Ended::NobodyListens => return,
                    Ended::CannotStream => begin = Begin::Listing,
                    Ended::LookAgain => pause.wait().await,
                }
            }
            Ok(Ok(Served::Nowhere)) => {
                // At a start that is an answer. Later it has to be heard twice: whoever deletes a CRD deletes its
                // objects first, and a server that has just come back may not know all of its kinds yet.
                absences = absences.saturating_add(1);
                let absent = Heard::Absent { sure: absences > 1 };
                if absences <= 2 && heard.send((kind, absent)).await.is_err() {
                    return;
                }
                sleep(pace.look_again).await;
            }
            Ok(Ok(Served::Elsewhere(versions))) => {
                if heard.send((kind, Heard::Elsewhere(versions))).await.is_err() {
                    return;
                }
                sleep(pace.look_again).await;
            }
            Ok(Err(error)) => {
                let status = if let kube::Error::Api(status) = &error { Some(&**status) } else { None };
                let why = Heard::Trouble(words(status, &error));
                if heard.send((kind, why)).await.is_err() {
                    return;
                }
                pause.heed(status);
                pause.wait().await;
            }
            Err(_) => {
                if heard.send((kind, silence(pace.patience))).await.is_err() {
                    return;
                }
                pause.wait().await;
            }
        }
        if heard.is_closed() {
            return;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Streaming,
    Listing,
}

enum Ended {
    NobodyListens,
    CannotStream,
    LookAgain,
}

/// Follows a kind that is served, until its watch has to be begun anew.
async fn follow<B: Body>(
    kind: &Watchable,
    client: &Client,
    api: ApiResource,
    begin: Begin,
    heard: &Sender,
    pause: &mut Pause,
) -> Ended {
    let all: Api<Watched<B>> = Api::all_with(client.clone(), &api);
    let config = match begin {
        Begin::Streaming => watcher::Config::default().streaming_lists(),
        Begin::Listing => watcher::Config::default(),
    };
    let mut events = std::pin::pin!(watcher(all, config));
    // What a list has brought so far, and of which objects.
    let mut listing: Option<Vec<Item>> = None;
    // A watch that is taken up again says nothing before something happens.
    let mut in_trouble = false;
    let mut has_begun = false;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = sleep(pause.pace.well_after), if in_trouble && has_begun && listing.is_none() => {
                in_trouble = false;
                if heard.send((*kind, Heard::Well)).await.is_err() {
                    return Ended::NobodyListens;
                }
                continue;
            }
            // Later, that nothing is said means that nothing happens; the connection's own limit finds one that is dead.
            () = sleep(pause.pace.patience), if !has_begun || listing.is_some() => {
                let gone = heard.send((*kind, silence(pause.pace.patience))).await.is_err();
                return if gone { Ended::NobodyListens } else { Ended::LookAgain };
            }
        };
        let Some(event) = event else { return Ended::LookAgain };
        let said = match event {
            Ok(Event::Init) => {
                listing = Some(Vec::new());
                continue;
            }
            Ok(Event::InitApply(object)) => {
                let item = object.item(&api);
                listing.get_or_insert_default().extend(item);
                continue;
            }
            Ok(Event::InitDone) => {
                has_begun = true;
                Heard::All(listing.take().unwrap_or_default())
            }
            Ok(Event::Apply(object)) => match object.item(&api) {
                Some(item) => Heard::Put(item),
                None => continue,
            },
            Ok(Event::Delete(object)) => match object.item(&api) {
                Some(item) => Heard::Gone(item.id()),
                None => continue,
            },
            Err(error) => {
                if begin == Begin::Streaming && does_not_stream(&error) {
                    return Ended::CannotStream;
                }
                let why = Heard::Trouble(words(status_of(&error), &error));
                if heard.send((*kind, why)).await.is_err() {
                    return Ended::NobodyListens;
                }
                in_trouble = true;
                pause.heed(status_of(&error));
                if needs_a_look(&error) {
                    return Ended::LookAgain;
                }
                pause.wait().await;
                continue;
            }
        };
        pause.reset();
        in_trouble = false;
        if heard.send((*kind, said)).await.is_err() {
            return Ended::NobodyListens;
        }
    }
}

/// An error with its causes: the first line of kube's says only what was tried.
pub(crate) fn full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

/// What an API server answered, if it was one.
fn status_of(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    }
}

fn silence(waited: Duration) -> Heard {
    Heard::Trouble(format!("nothing came within {waited:?}"))
}

fn words(status: Option<&Status>, error: &dyn std::error::Error) -> String {
    status.map_or_else(
        || full(error),
        |status| format!("it answered {} {}: {}", status.code, status.reason, status.message),
    )
}

/// Servers before 1.32 say that `sendInitialEvents` is forbidden (422); older ones do not know it (400).
fn does_not_stream(error: &watcher::Error) -> bool {
    let code = status_of(error).map(|status| status.code);
    matches!(error, watcher::Error::WatchStartFailed(_)) && matches!(code, Some(400 | 422))
}

/// The kind may be gone (404), or the place in the watch is (410).
fn needs_a_look(error: &watcher::Error) -> bool {
    matches!(status_of(error).map(|status| status.code), Some(404 | 410))
}

/// When a watch tries again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// After a first failure; after further ones up to 32 times as long.
    pub(super) after_failure: Duration,
    /// For a kind that is not there.
    pub(super) look_again: Duration,
    /// When nothing has gone wrong for so long, nothing is wrong; longer than a connection may take to fail.
    pub(super) well_after: Duration,
    /// For an answer to begin, and for each further part of a list.
    pub(super) patience: Duration,
    /// After an answer of 429 that does not say when to come again.
    pub(super) too_many: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            after_failure: Duration::from_millis(200),
            look_again: Duration::from_secs(10),
            well_after: Duration::from_secs(10),
            patience: Duration::from_secs(30),
            too_many: Duration::from_secs(1),
        }
    }
}

/// Longer after each failure, short again after a success.
#[derive(Debug)]
pub(super) struct Pause {
    pace: Pace,
    failures: u32,
    /// What the API server wants the next one to be at least.
    asked_for: Duration,
}

impl Pause {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, failures: 0, asked_for: Duration::ZERO }
    }

    pub(super) async fn wait(&mut self) {
        let pause = self.length();
        sleep(pause).await;
    }

    /// How long the next one is.
    pub(super) fn length(&mut self) -> Duration {
        let longest = self.pace.after_failure.saturating_mul(1 << self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        // All watches fail at once and must not all come back at once.
        let mut byte = [0];
        let share = if aws_lc_rs::rand::fill(&mut byte).is_ok() { u32::from(byte[0]) } else { 128 };
        let pause = longest / 2 + longest.saturating_mul(share) / 512;
        // It may ask for a while, and not for a day: what is not heard of is not in force.
        pause.max(std::mem::take(&mut self.asked_for).min(LONGEST_ASKED))
    }

    /// Takes note of when an API server that has too much to do wants to be asked again.
    pub(super) fn heed(&mut self, status: Option<&Status>) {
        let Some(status) = status.filter(|status| status.code == 429) else { return };
        let said = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        self.asked_for = if said > 0 { Duration::from_secs(said.into()) } else { self.pace.too_many };
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

const LONGEST_ASKED: Duration = Duration::from_secs(30);
