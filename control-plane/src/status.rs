//! What the mesh says of objects, written into the objects: conditions in their `status`, and an event where one is
//! refused.
//!
//! What is to be said is a function of the world and of what proxies have acknowledged (`wanted`); what that changes in
//! an object as the API server has it is another one (`merge`); what is due, and what waits because it was refused, is a
//! third (`due`); the rest only fetches and writes (`write`).
//!
//! Invariant: nothing is written by whoever does not hold the Lease or stands back behind another installation, nothing that
//! the object says already, and nothing of what others say in it. Another controller that undoes our part is not fought: it is put right once in
//! [`LOOK_AGAIN`], and whenever there is something new to say.

mod due;
mod event;
mod merge;
mod wanted;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use weft_manifests::cluster::Edition;
use weft_policy::object::ObjectRef;
use weft_proto::v1::Condition;

use crate::lead::{MOMENT, Standing};
use crate::publish::hub::Hub;
use crate::report::{Acknowledged, Others, Proxies, Told};
use crate::source::kubernetes::{Gathered, full};
use crate::webhook::Turn;
use crate::world::{View, WorldHandle};
use due::Said;
use wanted::Wanted;
use write::{Writer, Wrote};

/// Keeps the status of every object.
#[derive(Debug)]
pub struct Keeper {
    /// What there is.
    pub world: WorldHandle,
    /// What is published.
    pub hub: Arc<Hub>,
    /// What has arrived.
    pub proxies: Arc<Proxies>,
    /// In which edition the API server has each object.
    pub gathered: Gathered,
    /// Whether it is us who write.
    pub standing: Standing,
    /// Whether it is our installation whose word counts, should there be another.
    pub turn: Turn,
    /// Who we are, in events.
    pub replica: Arc<str>,
    /// What the other replicas are told of our proxies.
    pub says: watch::Sender<Arc<String>>,
}

impl Keeper {
    /// Judges for as long as there is a world, and writes whenever it is our turn.
    pub async fn run(self, client: Client) {
        let mut writer = Writer::new(client, Arc::clone(&self.replica));
        let mut told = Said::default();
        let mut failures = 0_u32;
        let mut pause = SHORTEST;
        loop {
            sleep(pause).await;
            pause = SHORTEST;
            let began = Instant::now();
            if let Some(judged) = self.judged(told.judged.as_ref()).await {
                told.judged = Some(judged);
                told.is_done = false;
                pause = pause.max(began.elapsed() * THINK);
            }
            let Some(judged) = &told.judged else { continue };
            self.tell(judged);
            if !self.standing.leads() || !self.turn.is_ours() {
                // By the time it is our turn, somebody else has written.
                (told.looked, told.is_done) = (None, false);
                continue;
            }
            if told.is_done && !told.is_old() {
                continue;
            }
            if told.is_old() {
                told.said.clear();
                match within(LOOKING, writer.look_at_all()).await {
                    Ok(()) => told.looked = Some(Instant::now()),
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        pause = pause_after(failures);
                        tracing::warn!(%error, "the status of objects cannot be read; it is tried again");
                        continue;
                    }
                }
            }
            let due = told.due();
            match write_due(&self.standing, &mut writer, due, &mut told).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    pause = pause_after(failures);
                    tracing::warn!(%error, "a status cannot be written; it is tried again");
                }
            }
        }
    }

    /// What is to be said by now; `None` if that is the same as `before`.
    async fn judged(&self, before: Option<&Judged>) -> Option<Judged> {
        let basis = Basis {
            view: self.world.view(),
            acknowledged: Acknowledged::now(&self.hub, &self.proxies),
            others: self.proxies.others(),
        };
        if before.is_some_and(|before| before.basis == basis) {
            return None;
        }
        let gathered = self.gathered.clone();
        let judge = move || {
            let programmed = wanted::programmed(&basis.view, &basis.acknowledged, &gathered.editions());
            let wanted =
                wanted::wanted(&basis.view, &basis.acknowledged, &gathered.editions(), &basis.others);
            Judged { basis, programmed, wanted }
        };
        let judged = tokio::task::spawn_blocking(judge).await;
        judged.inspect_err(|_| tracing::error!("judging objects panicked; a defect")).ok()
    }

    /// Lets the other replicas know what our proxies have.
    fn tell(&self, judged: &Judged) {
        let line = Told::of(&judged.programmed, &self.proxies).line();
        self.says.send_if_modified(|before| {
            let is_new = **before != line;
            if is_new {
                *before = Arc::new(line);
            }
            is_new
        });
    }
}

/// Writes what is due, until there is something else to think of. One object that cannot be written holds up no other:
/// it is put aside for a while. Where one after the other cannot, it is the API server, and it is asked less often.
async fn write_due(
    standing: &Standing,
    writer: &mut Writer,
    due: Vec<(ObjectRef, Wanted)>,
    told: &mut Said,
) -> Result<(), Trouble> {
    let (mut requests, mut left_out, mut in_a_row) = (0, false, 0);
    let all = due.len();
    for (nth, (key, wanted)) in due.into_iter().enumerate() {
        if requests >= AT_ONCE {
            // What comes first may be another by now.
            tracing::debug!(left = all - nth, "more statuses are to be written than at once");
            return Ok(());
        }
        if !standing.leads() {
            return Ok(());
        }
        match within(MOMENT, writer.write(&key, &wanted)).await {
            Ok(Wrote::Nothing | Wrote::Gone) => in_a_row = 0,
            Ok(Wrote::Status) => {
                in_a_row = 0;
                requests += 1;
                sleep(BETWEEN).await;
            }
            Ok(Wrote::NotNow) => {
                left_out = true;
                continue;
            }
            Err(trouble) => {
                left_out = true;
                requests += 1;
                in_a_row += 1;
                let until = trouble.aside();
                tracing::warn!(object = %key, error = %trouble, again_in = ?until, "its status cannot be written");
                told.put_aside(key, wanted, Instant::now() + until);
                if in_a_row >= TOO_MANY {
                    return Err(trouble);
                }
                continue;
            }
        }
        told.said.insert(key, wanted);
    }
    told.is_done = !left_out;
    Ok(())
}

/// What is to be said, and what that follows from.
#[derive(Debug)]
struct Judged {
    basis: Basis,
    /// Of each object, whether the proxies that are attached to us have it.
    programmed: Vec<(ObjectRef, Edition, Condition)>,
    wanted: BTreeMap<ObjectRef, Wanted>,
}

#[derive(Clone, Debug)]
struct Basis {
    view: Arc<View>,
    acknowledged: Acknowledged,
    others: Arc<Others>,
}

impl PartialEq for Basis {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.view, &other.view)
            && Arc::ptr_eq(&self.others, &other.others)
            && self.acknowledged == other.acknowledged
    }
}

/// Why something is not written now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// It was asked and said no, or could not be asked.
    #[error("{}", full(.0))]
    Api(kube::Error),
    /// It is given up, since somebody else may be writing soon.
    #[error("the API server does not answer in time")]
    Slow,
}

impl Trouble {
    /// For how long the object is left alone: what the API server refuses now it refuses then, and what has failed may
    /// go well soon.
    fn aside(&self) -> Duration {
        match self {
            Self::Api(kube::Error::Api(status))
                if matches!(status.code, 400 | 403 | 405 | 413 | 415 | 422) =>
            {
                LOOK_AGAIN
            }
            Self::Api(_) | Self::Slow => ASIDE,
        }
    }
}

async fn within<T>(
    time: Duration,
    asked: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Trouble> {
    timeout(time, asked).await.map_err(|_| Trouble::Slow)?.map_err(Trouble::Api)
}

/// The editions of all objects.
type Editions = BTreeMap<ObjectRef, Edition>;

fn pause_after(failures: u32) -> Duration {
    (SHORTEST * 2_u32.saturating_pow(failures.min(6))).min(LONGEST)
}

/// Between two looks at what there is to say.
const SHORTEST: Duration = Duration::from_millis(500);
/// After failures.
const LONGEST: Duration = Duration::from_secs(30);
/// Judging takes at most one part in so many of a processor.
const THINK: u32 = 10;
/// For reading all objects.
const LOOKING: Duration = Duration::from_secs(60);
/// Between two writes: twenty a second.
const BETWEEN: Duration = Duration::from_millis(50);
/// Writes before what there is to say is judged anew.
const AT_ONCE: usize = 100;
/// Failures one after the other that say more of the API server than of the objects.
const TOO_MANY: u32 = 3;
/// How long an object waits whose status could not be written.
const ASIDE: Duration = Duration::from_secs(30);
/// How often what others may have done to our part is put right.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
