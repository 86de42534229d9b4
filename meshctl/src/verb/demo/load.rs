//! The demo's client: so many requests a second to web, from a few tasks that each wait for their answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::mesh::Mesh;
use super::tally::Tally;
use crate::http1::Http1;
use crate::verb::demo_service::Greeting;

/// Traffic under way. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Load {
    counts: Arc<Mutex<Counts>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Everything so far, and the last seconds one by one.
#[derive(Debug)]
struct Counts {
    all: Tally,
    recent: VecDeque<(Instant, Tally)>,
}

impl Load {
    /// Starts `rate` requests a second.
    pub(super) fn start(mesh: &Mesh, rate: u32) -> Self {
        let counts = Arc::new(Mutex::new(Counts { all: Tally::default(), recent: VecDeque::new() }));
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let client = Arc::new(client(mesh));
        let period = Duration::from_secs(1) * TASKS / rate.max(1);
        for nth in 0..TASKS {
            let first = Instant::now() + period * nth / TASKS;
            tasks.spawn(send(Arc::clone(&client), first, period, Arc::clone(&counts), stopped.clone()));
        }
        Self { counts, stop, tasks }
    }

    /// Since the start.
    pub(super) fn so_far(&self) -> Tally {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).all.clone()
    }

    /// Over the last few seconds.
    pub(super) fn recently(&self) -> Tally {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = Tally::default();
        counts.recent.iter().for_each(|(_, tally)| sum.add(tally));
        sum
    }

    /// Sends no more, waits for the answers that are still to come, and says what there was.
    pub(super) async fn end(mut self) -> Tally {
        // Nobody listens any more only if all have ended.
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        self.so_far()
    }
}

/// Sends one request after another until it is answered: then the whole way is open. These are not counted.
///
/// # Errors
/// The last reason, if there is none in time.
pub(super) async fn first_answer(mesh: &Mesh) -> anyhow::Result<Greeting> {
    let client = client(mesh);
    let deadline = Instant::now() + FIRST_ANSWER;
    loop {
        match ask(&client).await {
            Ok(greeting) => return Ok(greeting),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("no request reached api within {FIRST_ANSWER:?}"));
            }
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// web, through its sidecar.
fn client(mesh: &Mesh) -> Http1 {
    let web = mesh.members.iter().find(|member| member.name == "web-1");
    Http1::new(web.map_or_else(|| ([127, 0, 0, 1], 0).into(), |member| member.sidecar.inbound))
}

async fn send(
    client: Arc<Http1>,
    first: Instant,
    period: Duration,
    counts: Arc<Mutex<Counts>>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut ticks = interval_at(first, period);
    // A slow answer delays what follows; it is not made up for with a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.changed() => return,
        }
        let begun = Instant::now();
        let answer = ask(&client).await;
        let took = begun.elapsed();
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.take(begun, |tally| match &answer {
            Ok(greeting) => tally.answered(&greeting.version, &greeting.caller, took),
            Err(error) => tally.failed(format!("{error:#}"), took),
        });
    }
}

impl Counts {
    fn take(&mut self, at: Instant, count: impl Fn(&mut Tally)) {
        count(&mut self.all);
        let is_new = self.recent.back().is_none_or(|(begun, _)| at.duration_since(*begun) >= SLOT);
        if is_new {
            self.recent.push_back((at, Tally::default()));
            if self.recent.len() > SLOTS {
                self.recent.pop_front();
            }
        }
        if let Some((_, tally)) = self.recent.back_mut() {
            count(tally);
        }
    }
}

async fn ask(client: &Http1) -> anyhow::Result<Greeting> {
    let answer = client.get("web.demo", "/", PATIENCE).await?;
    if !answer.status.is_success() {
        let error =
            answer.headers.get("weft-error").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let body = String::from_utf8_lossy(&answer.body);
        bail!("{} {error} {}", answer.status, body.trim());
    }
    serde_json::from_slice(&answer.body).context("the answer is not api's")
}

const TASKS: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_ANSWER: Duration = Duration::from_secs(15);
const SLOT: Duration = Duration::from_secs(1);
const SLOTS: usize = 10;
