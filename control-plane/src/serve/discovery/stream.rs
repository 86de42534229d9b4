//! A stream that is attached: waits for whatever comes first, then says what is to be said.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until};
use tonic::{Status, Streaming};
use weft_certs::bundle::{DenyList, TrustBundle, TrustBundles};
use weft_certs::verify::{Peer, Role, verify_peer};
use weft_policy::draw::Draw;
use weft_proto::name::WorkloadName;
use weft_proto::shared::Frame;
use weft_proto::v1::client_frame::Kind as Said;
use weft_proto::v1::{self, ClientFrame};

use super::super::connection::Caller;
use super::presence::Presence;
use super::service::Discovery;
use super::standing;
use crate::compile::table::{Id, Table};
use crate::publish::hub::Place;
use crate::publish::interest::{Moved, Root};
use crate::publish::session::Session;
use crate::report::{Astray, Attendance};

/// One attached proxy.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) service: Discovery,
    pub(super) caller: Caller,
    pub(super) peer: Peer,
    pub(super) workload: WorkloadName,
    pub(super) session: Session,
    pub(super) place: Place,
    pub(super) attendance: Attendance,
    pub(super) presence: Presence,
    /// Whether it is time to look for changes that went unheard.
    pub(super) look_closely: bool,
    pub(super) from_proxy: Streaming<ClientFrame>,
    pub(super) to_proxy: mpsc::Sender<Result<Frame, Status>>,
}

impl Stream {
    /// Serves until the proxy leaves, or may not stay.
    ///
    /// # Errors
    /// How the stream is to end.
    pub(super) async fn serve(&mut self) -> Result<(), Status> {
        self.watch_own_workload();
        let mut trust = self.service.custody.trust_changes();
        // A proxy that was away while the signer changed is told now.
        self.ask_to_renew().await?;
        let until_expiry = self.peer.not_after.duration_since(self.service.clock.now()).unwrap_or_default();
        let mut expiry = pin!(sleep(until_expiry));
        let mut age = pin!(sleep(spread(self.service.max_age, &mut self.chance())));
        let mut stopping = self.service.stopping.clone();
        let farewell = FAREWELL.min(self.service.max_age / 2);
        let mut asked_to_go = false;
        loop {
            // In this order if several have come: who may not stay hears nothing more, and a proxy that talks without
            // end keeps neither from being seen.
            tokio::select! {
                biased;
                () = ended(&mut stopping) => {
                    return Err(Status::unavailable("the control plane is ending; reconnect"));
                }
                Ok(()) = trust.changed() => {
                    let current = self.service.custody.trust_store().current();
                    verify_peer(&current, &self.caller.chain, Role::Client, self.service.clock.unix())
                        .map_err(|refused| Status::unauthenticated(refused.to_string()))?;
                    self.ask_to_renew().await?;
                }
                () = &mut expiry => return Err(Status::unauthenticated("the certificate of this stream has expired")),
                () = self.presence.removed() => return Err(not_its_own()),
                () = self.to_proxy.closed() => return Ok(()),
                () = &mut age => {
                    if asked_to_go {
                        return Ok(());
                    }
                    asked_to_go = true;
                    self.say_go_away(farewell).await?;
                    age.set(sleep_until(tokio::time::Instant::now() + farewell));
                }
                () = self.place.woken() => {}
                said = self.from_proxy.message() => match said? {
                    Some(frame) => self.hear(frame).await?,
                    None => return Ok(()),
                },
            }
            self.catch_up().await?;
        }
    }

    /// Says everything that is to be said.
    async fn catch_up(&mut self) -> Result<(), Status> {
        loop {
            let mail = self.place.take();
            if mail.changed.iter().any(|id| id.kind == v1::Type::Inbound)
                && !standing::holds(&self.service, &self.workload, &self.peer.id)
            {
                return Err(not_its_own());
            }
            self.session.mark(mail.changed, mail.since);
            let mut moved = self.session.follow(&mail.table);
            if std::mem::take(&mut self.look_closely) {
                moved.then(self.look(&mail.table));
            }
            self.place.follow(&moved, mail.table.revision);
            let said = self.session.next(&mail.table, self.service.hub.frames());
            self.attendance.note(&self.session, false);
            self.place.settled();
            let Some(frames) = said else { return Ok(()) };
            self.service.counts.transaction();
            for frame in frames {
                self.send(frame).await?;
            }
        }
    }

    async fn hear(&mut self, frame: ClientFrame) -> Result<(), Status> {
        match frame.kind {
            Some(Said::Interest(interest)) => self.take_interest(interest),
            Some(Said::Ack(ack)) => {
                for rejection in &ack.rejected {
                    let (name, detail) = (shown(&rejection.name), shown(&rejection.detail));
                    tracing::warn!(workload = %self.workload, name, detail, "a proxy rejected a resource");
                }
                let rejected = ack.rejected.len();
                self.service.counts.acknowledged(rejected, self.session.acknowledge(ack));
                self.attendance.note(&self.session, true);
                Ok(())
            }
            Some(Said::Resync(resync)) => {
                self.service.counts.resync(resync.names.len());
                self.session.resync(&resync.names, self.service.hub.table().revision);
                Ok(())
            }
            Some(Said::Report(mut report)) => {
                let holding = report.holding.take();
                self.presence.report(&report).await;
                self.attendance.report(report);
                self.look_closely = true;
                holding.map_or(Ok(()), |holding| self.compare(&holding))
            }
            Some(Said::Hello(_)) => Err(Status::invalid_argument("a stream has one Hello")),
            // A kind from the future: it cannot matter to us.
            None => Ok(()),
        }
    }

    /// Compares what the proxy holds with what it was told. It comes back at once and says what it holds in detail; that is
    /// how every other difference is mended too.
    fn compare(&self, holding: &v1::Holding) -> Result<(), Status> {
        let differing = self.session.differing(&holding.types);
        let Some(first) = differing.first() else { return Ok(()) };
        self.service.counts.astray(Astray::InProxy, differing.len());
        tracing::error!(workload = %self.workload, types = ?differing,
            "a proxy does not hold what it was told; it is told again. A defect: please report it");
        Err(Status::aborted(format!(
            "what is held of {} is not what was told; reconnect",
            first.as_str_name()
        )))
    }

    /// Looks for what nobody has said has changed.
    fn look(&mut self, table: &Table) -> Moved {
        let unheard = self.session.unheard(table);
        if let Some(first) = unheard.first() {
            self.service.counts.astray(Astray::Unheard, unheard.len());
            tracing::error!(workload = %self.workload, changes = unheard.len(), first = %first.name,
                "a proxy had not been told of changes; it is now. A defect: please report it");
        }
        self.session.mark(unheard, table.revision);
        self.session.follow(table)
    }

    fn take_interest(&mut self, interest: v1::Interest) -> Result<(), Status> {
        self.session.detail(interest.detail);
        let mut add = Vec::with_capacity(interest.add.len());
        for selector in interest.add {
            match Root::read(&selector) {
                Ok(root) => add.push(root),
                // An application may try to connect to anything; that must not end its proxy's stream.
                Err(_) => self.session.refuse(selector),
            }
        }
        let drop: Vec<_> = interest.drop.iter().filter_map(|selector| Root::read(selector).ok()).collect();
        let mail = self.place.take();
        self.session.mark(mail.changed, mail.since);
        let moved = self.session.state(add, &drop, &mail.table);
        let moved = moved.map_err(|too_much| Status::resource_exhausted(too_much.to_string()))?;
        self.place.follow(&moved, mail.table.revision);
        Ok(())
    }

    /// Has the hub say when the workload itself changes, whether or not the proxy asks.
    fn watch_own_workload(&self) {
        let own = Id::new(v1::Type::Inbound, self.workload.to_string());
        self.place.follow(&Moved { gained: [own].into(), ..Moved::default() }, 0);
    }

    /// Another one for every stream.
    fn chance(&self) -> Draw {
        Draw::from_seed(self.service.seed ^ self.place.number())
    }

    async fn say_go_away(&self, farewell: Duration) -> Result<(), Status> {
        let notice = v1::Notice {
            kind: v1::notice::Kind::GoAway.into(),
            within: farewell.try_into().ok(),
            text: "this stream is old; reconnect, to another replica if there is one".to_owned(),
        };
        self.send(Frame::from(notice)).await
    }

    /// Says so to a proxy whose certificate comes from a root that is going away.
    async fn ask_to_renew(&self) -> Result<(), Status> {
        let (custody, signer) = (&self.service.custody, self.service.custody.signer());
        // There is no other root that it could come from: it has been judged by this one.
        if let [only] = custody.bundle().roots()
            && only == signer.root()
        {
            return Ok(());
        }
        let root = [signer.root().clone()];
        let Ok(staying) = TrustBundle::new(custody.domain().clone(), 0, root, DenyList::default()) else {
            return Ok(());
        };
        let staying = TrustBundles::default().with(staying);
        if verify_peer(&staying, &self.caller.chain, Role::Client, self.service.clock.unix()).is_ok() {
            return Ok(());
        }
        let notice = v1::Notice {
            kind: v1::notice::Kind::RenewNow.into(),
            text: "the root that this certificate comes from is going away".to_owned(),
            ..v1::Notice::default()
        };
        self.send(Frame::from(notice)).await
    }

    async fn send(&self, frame: Frame) -> Result<(), Status> {
        self.to_proxy.send(Ok(frame)).await.map_err(|_| Status::cancelled("the proxy has hung up"))
    }
}

fn not_its_own() -> Status {
    Status::permission_denied("the workload of this stream is gone, or somebody else's now")
}

/// Waits until the control plane is ending. A sender that is gone has ended too.
async fn ended(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// Half to one and a half of `age`, so that streams which began together do not end together.
fn spread(age: Duration, chance: &mut Draw) -> Duration {
    age / 2 + age.mul_f64(chance.unit())
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The most between asking a proxy to go and ending its stream; no more than half of what the stream has lived.
const FAREWELL: Duration = Duration::from_secs(30);
