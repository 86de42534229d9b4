//! Which of several control planes acts for all: writes statuses, changes the authority. One `coordination.k8s.io/v1`
//! Lease says it.
//!
//! The holder renews the Lease all the time, and stops acting by its own clock [`term::ACTS`] after the beginning of the
//! last renewal that succeeded. Somebody else takes the Lease [`term::LASTS`] after it last saw it change: also by its
//! own clock. No two clocks are ever compared, and what the holder began in its last moment is over by then.
//!
//! Invariant: of all who agree on a Lease, at most one [`leads`](Standing::leads) at a time.

pub mod members;
mod term;

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::source::kubernetes::full;
use term::{Candidate, Move, Seat};

/// Whether it is us who act for all. Cloning it shares it.
#[derive(Clone, Debug)]
pub struct Standing(watch::Receiver<Option<Instant>>);

impl Standing {
    /// Whether we may act now. Whoever does something that takes time asks again between its steps, each of which is
    /// shorter than [`MOMENT`].
    #[must_use]
    pub fn leads(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// For tests: a turn that lasts while the sender is held.
    #[cfg(test)]
    pub(crate) fn of_one() -> (watch::Sender<Option<Instant>>, Self) {
        let (turn, is) = watch::channel(Some(Instant::now() + Duration::from_secs(3600)));
        (turn, Self(is))
    }

    /// Waits until we may.
    pub async fn turn(&self) {
        let mut until = self.0.clone();
        let nobody_asks =
            until.wait_for(|until| until.is_some_and(|until| Instant::now() < until)).await.is_err();
        if nobody_asks {
            std::future::pending::<()>().await;
        }
    }
}

/// Says what a Lease is to remember.
pub type Mark = Box<dyn Fn() -> String + Send + Sync>;

/// Takes part in the agreement on one Lease.
pub struct Contest {
    leases: Api<Lease>,
    name: String,
    candidate: Candidate,
    standing: watch::Sender<Option<Instant>>,
    /// What the Lease is to remember, should everything else be lost.
    mark: Option<Mark>,
    leads: Gauge<i64, AtomicI64>,
    failing: bool,
}

impl Contest {
    /// For the Lease of that name in the client's own namespace. `replica` names this control plane.
    #[must_use]
    pub fn new(client: &Client, name: &str, replica: &str) -> (Self, Standing) {
        // A process that is started again in the same pod is another one.
        let mut random = [0; 4];
        let drawn = aws_lc_rs::rand::fill(&mut random).is_ok();
        let process = if drawn { u32::from_le_bytes(random) } else { std::process::id() };
        let (standing, is) = watch::channel(None);
        let contest = Self {
            leases: Api::default_namespaced(client.clone()),
            name: name.to_owned(),
            candidate: Candidate::new(&format!("{replica}_{process:08x}")),
            standing,
            mark: None,
            leads: Gauge::default(),
            failing: false,
        };
        (contest, Standing(is))
    }

    /// Makes whether it leads part of `/metrics`: of all replicas one should say 1.
    pub fn register(&self, registry: &mut Registry) {
        let help =
            "Whether this replica holds the Lease, and so writes statuses and changes the mesh's identity";
        registry.register("weft_control_plane_leads", help, self.leads.clone());
    }

    /// Makes the Lease remember this from now on; [`mark`] tells it to whoever starts.
    pub fn remember(&mut self, mark: Mark) {
        self.mark = Some(mark);
    }

    /// Takes part until `stopped`.
    pub async fn run(&mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = self.round() => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            tokio::select! {
                () = sleep(term::EVERY) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
        }
    }

    /// Lets go of the Lease, so that another need not wait. Whatever acts has to have ended.
    pub async fn leave(self) {
        if self.standing.send_replace(None).is_some() {
            let _late = timeout(MOMENT, self.let_go()).await;
        }
    }

    /// Looks at the Lease, and takes or renews it where it is our turn.
    async fn round(&mut self) {
        match timeout(MOMENT, self.look_and_move()).await {
            Ok(Ok(())) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(lease = self.name, "the Lease is heard of again");
                }
            }
            Ok(Err(error)) => self.trouble(&full(&error)),
            Err(_) => self.trouble("the API server does not answer in time"),
        }
        let until = self.candidate.acts_until();
        let acted = self.standing.borrow().is_some();
        if acted != until.is_some() {
            let holder = self.candidate.holder().unwrap_or("nobody").to_owned();
            tracing::info!(lease = self.name, leads = until.is_some(), %holder, "the Lease has changed hands");
        }
        let leads = until.is_some_and(|until| Instant::now() < until);
        self.leads.set(i64::from(leads));
        self.standing.send_replace(until);
    }

    fn trouble(&mut self, why: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(lease = self.name, %why, "the Lease cannot be looked at; it is tried again");
        }
    }

    async fn look_and_move(&mut self) -> Result<(), Error> {
        let found = self.leases.get_opt(&self.name).await?;
        self.candidate.sees(found.as_ref().map(seat), Instant::now());
        // Counted from before the request: it holds from some time after.
        let began = Instant::now();
        let turns = match self.candidate.next_move(began) {
            Move::Wait => return Ok(()),
            Move::Take { turns } | Move::Renew { turns } => turns,
        };
        let mut lease = found.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            ..Lease::default()
        });
        if let Some(mark) = &self.mark {
            lease.metadata.annotations.get_or_insert_default().insert(MARK.to_owned(), mark());
        }
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if spec.holder_identity.as_deref() != Some(self.candidate.name()) {
            spec.acquire_time = Some(now.clone());
        }
        spec.holder_identity = Some(self.candidate.name().to_owned());
        spec.renew_time = Some(now);
        spec.lease_duration_seconds = i32::try_from(term::LASTS.as_secs()).ok();
        spec.lease_transitions = i32::try_from(turns).ok();
        let params = PostParams::default();
        let written = if lease.metadata.resource_version.is_some() {
            self.leases.replace(&self.name, &params, &lease).await
        } else {
            self.leases.create(&params, &lease).await
        };
        match written {
            Ok(lease) => {
                self.candidate.holds(seat(&lease), began);
                Ok(())
            }
            // Somebody else was faster; the next look says who.
            Err(Error::Api(status)) if status.code == 409 => {
                self.candidate.is_beaten();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn let_go(&self) {
        let Ok(Some(mut lease)) = self.leases.get_opt(&self.name).await else { return };
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        if spec.holder_identity.as_deref() != Some(self.candidate.name()) {
            return;
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        if let Err(error) = self.leases.replace(&self.name, &PostParams::default(), &lease).await {
            tracing::info!(%error, lease = self.name, "the Lease was not let go of; it runs out by itself");
        }
    }
}

impl std::fmt::Debug for Contest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contest")
            .field("lease", &self.name)
            .field("is", &self.candidate)
            .finish_non_exhaustive()
    }
}

fn seat(lease: &Lease) -> Seat {
    let spec = lease.spec.clone().unwrap_or_default();
    Seat {
        holder: spec.holder_identity.unwrap_or_default(),
        renewed: spec.renew_time.map(|time| time.0.to_string()).unwrap_or_default(),
        turns: spec.lease_transitions.and_then(|turns| u32::try_from(turns).ok()).unwrap_or_default(),
    }
}

/// What the Lease of that name in the client's own namespace remembers.
///
/// # Errors
/// What the API server says.
pub async fn mark(client: &Client, name: &str) -> Result<Option<String>, Error> {
    let leases: Api<Lease> = Api::default_namespaced(client.clone());
    let annotations = leases.get_opt(name).await?.and_then(|lease| lease.metadata.annotations);
    Ok(annotations.and_then(|mut annotations| annotations.remove(MARK)))
}

/// The annotation with the root of the mesh.
const MARK: &str = "weft.mesh/root";

/// What somebody does who [`leads`](Standing::leads) is over after this time, or is given up.
pub const MOMENT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
