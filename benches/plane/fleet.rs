//! All of them: enrolled, run, ordered about and listened to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::enrol::{Channels, Trust, enrol};
use crate::pipe::Gate;
use crate::proxy::{Event, Order, Proxy, Shared, What};
use crate::world::{self, Shape};

/// Every proxy. Dropping it ends them.
#[derive(Debug)]
pub(crate) struct Fleet {
    members: Vec<Member>,
    events: mpsc::UnboundedReceiver<Event>,
    shape: Shape,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Member {
    orders: mpsc::UnboundedSender<Order>,
    gate: Arc<Gate>,
    /// Since when it holds all that it asks for; `None`: it does not.
    settled: Option<Instant>,
    /// Who of those that everybody calls is well, as it was told last.
    saw: u64,
}

impl Fleet {
    /// Enrols all of them, each by a token that `token` makes for a workload and a service account, and has them attach. The
    /// last `stoppable` can be stopped.
    ///
    /// # Errors
    /// If one is refused.
    pub(crate) async fn enrol<F>(
        shape: Shape,
        at: SocketAddr,
        stoppable: usize,
        token: impl Fn(String, String) -> F + Clone + Send + 'static,
    ) -> anyhow::Result<Self>
    where
        F: Future<Output = anyhow::Result<String>> + Send,
    {
        let (tell, events) = mpsc::unbounded_channel();
        let well = (0..shape.proxies).map(|_| AtomicBool::new(true)).collect();
        let shared = Arc::new(Shared { shape, events: tell, well });
        let (trust, room) = (Trust::nobody(), Arc::new(Semaphore::new(AT_ONCE)));
        let asking = Arc::new(Semaphore::new(ASKING));
        let mut enrolling = JoinSet::new();
        let mut members = Vec::with_capacity(shape.proxies);
        for number in 0..shape.proxies {
            let (orders, ordered) = mpsc::unbounded_channel();
            let gate = Arc::<Gate>::default();
            members.push(Member { orders, gate: Arc::clone(&gate), settled: None, saw: 0 });
            let (trust, room, token, shared) =
                (trust.clone(), Arc::clone(&room), token.clone(), Arc::clone(&shared));
            let asking = Arc::clone(&asking);
            enrolling.spawn(async move {
                let _place = room.acquire().await.expect("it is never closed");
                let workload = world::workload(number);
                let asks = asking.acquire().await.expect("it is never closed");
                let token = token(workload.clone(), world::app(shape.app_of(number))).await?;
                drop(asks);
                let somebody = enrol(number, &workload, &token, at, &trust).await?;
                let asks_for_life = number < shape.proxies - stoppable;
                let channels = Channels { proxy: number, at, gate };
                Ok::<_, anyhow::Error>(Proxy::new(channels, somebody, asks_for_life, shared, ordered))
            });
        }
        let mut tasks = JoinSet::new();
        while let Some(enrolled) = enrolling.join_next().await {
            let proxy = enrolled.context("enrolling panicked")?.context("a proxy could not enrol")?;
            tasks.spawn(proxy.run());
        }
        Ok(Self { members, events, shape, _tasks: tasks })
    }

    /// Waits until each has acknowledged the answer to all that it asks for, on a stream that it still has. Says when the
    /// last one had.
    ///
    /// # Errors
    /// If that takes longer than `limit`.
    pub(crate) async fn settled(&mut self, limit: Duration) -> anyhow::Result<Instant> {
        let end = Instant::now() + limit;
        loop {
            while let Ok(event) = self.events.try_recv() {
                self.hear(event);
            }
            let last = self
                .members
                .iter()
                .map(|one| one.settled)
                .try_fold(None, |last, one| Some(last.max(Some(one?))));
            if let Some(Some(last)) = last {
                return Ok(last);
            }
            let Ok(Some(event)) = timeout_at(end, self.events.recv()).await else {
                let behind = self.members.iter().filter(|one| one.settled.is_none()).count();
                bail!(
                    "{behind} of {} proxies have not what they asked for after {limit:?}",
                    self.members.len()
                );
            };
            self.hear(event);
        }
    }

    /// How many streams there are now that hold all that they ask for.
    pub(crate) fn attached(&mut self) -> usize {
        while let Ok(event) = self.events.try_recv() {
            self.hear(event);
        }
        self.members.iter().filter(|one| one.settled.is_some()).count()
    }

    /// Has the application of one that everybody calls become well, or ill, and waits until all but the last `stopped` hold
    /// that. Says how long each took, from the report on.
    ///
    /// # Errors
    /// If one of them has not heard of it in time.
    pub(crate) async fn change(
        &mut self,
        whose: usize,
        well: bool,
        stopped: usize,
    ) -> anyhow::Result<Vec<Duration>> {
        while let Ok(event) = self.events.try_recv() {
            self.hear(event);
        }
        let bit = 1u64 << whose;
        let listens = self.members.len() - stopped;
        let mut missing =
            self.members.iter().take(listens).filter(|one| (one.saw & bit != 0) != well).count();
        let mut took = Vec::with_capacity(missing);
        let begun = Instant::now();
        self.report(whose, well);
        while missing > 0 {
            let event = timeout(PATIENCE, self.events.recv()).await;
            let Ok(Some(event)) = event else {
                bail!("{missing} of {listens} proxies have not heard of a change after {PATIENCE:?}");
            };
            if let What::Saw(saw) = event.what
                && event.proxy < listens
                && let Some(before) = self.members.get(event.proxy).map(|one| one.saw)
            {
                let (knew, knows) = ((before & bit != 0) == well, (saw & bit != 0) == well);
                match (knew, knows) {
                    (false, true) => {
                        missing -= 1;
                        took.push(event.at - begun);
                    }
                    (true, false) => missing += 1,
                    _ => {}
                }
            }
            self.hear(event);
        }
        Ok(took)
    }

    /// Has one's application become well, or ill.
    pub(crate) fn report(&self, whose: usize, well: bool) {
        if let Some(member) = self.members.get(whose) {
            // Its task lives as long as we do.
            let _gone = member.orders.send(Order::Report(well));
        }
    }

    /// A way to have applications become ill or well beside what else is done.
    pub(crate) fn reporters(&self) -> Vec<impl Fn(bool) + Send + 'static> {
        let reporter = |member: &Member| {
            let orders = member.orders.clone();
            move |well| drop(orders.send(Order::Report(well)))
        };
        self.members.iter().map(reporter).collect()
    }

    /// In how many things all of them together differ from what everybody has said, once that is nothing, or after `limit`.
    ///
    /// # Errors
    /// If one does not answer.
    pub(crate) async fn differences(&mut self, limit: Duration) -> anyhow::Result<usize> {
        let end = Instant::now() + limit;
        loop {
            let mut asked = Vec::with_capacity(self.members.len());
            for member in &self.members {
                let (answer, answered) = oneshot::channel();
                let _gone = member.orders.send(Order::Compare(answer));
                asked.push(answered);
            }
            let mut differences = 0;
            for answered in asked {
                differences += timeout(PATIENCE, answered).await.context("a proxy has no stream")??;
            }
            if differences == 0 || Instant::now() >= end {
                return Ok(differences);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops the last so many: they neither read nor write nor close.
    pub(crate) fn stop(&self, count: usize) {
        self.members.iter().rev().take(count).for_each(|one| one.gate.shut());
    }

    /// They go on.
    pub(crate) fn go_on(&self, count: usize) {
        self.members.iter().rev().take(count).for_each(|one| one.gate.open());
    }

    /// How large the mesh is.
    pub(crate) const fn shape(&self) -> Shape {
        self.shape
    }

    fn hear(&mut self, event: Event) {
        let Some(member) = self.members.get_mut(event.proxy) else { return };
        match event.what {
            What::Settled => member.settled = Some(event.at),
            What::Lost => member.settled = None,
            What::Saw(saw) => member.saw = saw,
        }
    }
}

/// Proxies that enrol at one time: the control plane signs a thousand a second.
const AT_ONCE: usize = 64;
/// Calls of the operator at one time: a connection takes 16, and refuses more.
const ASKING: usize = 8;
/// Longer than anything takes that goes well.
const PATIENCE: Duration = Duration::from_secs(60);
