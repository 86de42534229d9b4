//! A simulated host with a proxy's control side on it: the real one, over a network that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use weft_policy::draw::Draw;
use weft_policy::facts::Destination;
use weft_proxy::config::Config;
use weft_proxy::control::{Control, Means};
use weft_proxy::drain::Drainer;
use weft_proxy::health::AppHealth;
use weft_proxy::observe::metrics::{Metrics, SeriesLimit};

use crate::clocks::HostClock;
use crate::wire::{Asserted, PORT};

/// What happens at a proxy.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The application calls a host for the first time.
    Call(&'static str),
    /// What its checks say now.
    Application(AppHealth),
    /// SIGTERM.
    Drain,
}

/// One proxy, running or not. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Sidecar {
    /// `namespace/name`
    pub(crate) workload: &'static str,
    pub(crate) clock: HostClock,
    pub(crate) token: String,
    /// Where it keeps what it is and knows between two lives, if anywhere.
    pub(crate) state_dir: Option<PathBuf>,
    /// Where it registers its workload; `None`: a manifest says it.
    pub(crate) registers_at: Option<&'static str>,
    seeds: Arc<Mutex<Draw>>,
    now: Arc<Mutex<Now>>,
}

#[derive(Default)]
struct Now {
    control: Option<Control>,
    events: Option<mpsc::UnboundedSender<Event>>,
    called: BTreeSet<&'static str>,
    /// Grows with every start.
    life: u32,
}

impl Sidecar {
    pub(crate) fn new(
        workload: &'static str,
        clock: HostClock,
        token: String,
        state_dir: Option<PathBuf>,
        registers_at: Option<&'static str>,
        seed: u64,
    ) -> Self {
        let seeds = Arc::new(Mutex::new(Draw::from_seed(seed)));
        Self { workload, clock, token, state_dir, registers_at, seeds, now: Arc::default() }
    }

    /// The name of its host.
    pub(crate) fn host(&self) -> &'static str {
        self.workload.split_once('/').map_or(self.workload, |(_, name)| name)
    }

    /// `None` while it is nobody.
    pub(crate) fn control(&self) -> Option<Control> {
        self.now().control.clone()
    }

    /// In which of its lives it is.
    pub(crate) fn life(&self) -> u32 {
        self.now().life
    }

    /// What its application has called in this life.
    pub(crate) fn called(&self) -> BTreeSet<&'static str> {
        self.now().called.clone()
    }

    /// Has been cut off.
    pub(crate) fn has_crashed(&self) {
        let mut now = self.now();
        now.control = None;
        now.events = None;
    }

    /// Makes it happen, if the proxy is there.
    pub(crate) fn happen(&self, event: Event) {
        if let Some(events) = &self.now().events {
            let _gone = events.send(event);
        }
    }

    fn config(&self) -> Config {
        let mut settings: BTreeMap<&str, String> = [
            ("WEFT_WORKLOAD", self.workload.to_owned()),
            ("WEFT_CONTROL_PLANE", format!("plane:{PORT}")),
            ("WEFT_TOKEN", self.token.clone()),
            ("WEFT_INBOUND", "10.9.0.1:4143".to_owned()),
        ]
        .into();
        if let Some(dir) = &self.state_dir {
            settings.insert("WEFT_IDENTITY_DIR", dir.display().to_string());
        }
        if let Some(address) = self.registers_at {
            settings.insert("WEFT_REGISTER_ADDRESS", address.to_owned());
            settings.insert("WEFT_REGISTER_PORTS", "http=8080".to_owned());
            settings.insert("WEFT_REGISTER_LABELS", "app=api".to_owned());
        }
        Config::read(|name| settings.get(name).cloned()).expect("good settings")
    }

    /// Lives until it is cut off.
    pub(crate) async fn live(self) -> turmoil::Result {
        self.has_crashed();
        self.now().called.clear();
        self.now().life += 1;
        let mut draw = Draw::from_seed(self.seeds.lock().unwrap_or_else(PoisonError::into_inner).bits());
        let mut tasks = JoinSet::new();
        let mut drainer = Some(Drainer::new());
        let (told, health) = watch::channel(AppHealth::Well);
        let (checks, _checks) = watch::channel(Vec::new());
        let config = self.config();
        let control = loop {
            let means = Means {
                transport: Asserted { clock: self.clock.clock() },
                clock: self.clock.clock(),
                metrics: Metrics::new(SeriesLimit::default(), &[]),
                health: health.clone(),
                checks: checks.clone(),
                drain: drainer.as_ref().expect("nothing drains yet").drain(),
            };
            match Control::start(&config, means, &mut tasks, &mut draw).await {
                Ok(control) => break control,
                // The process ends, and whoever looks after it starts it again.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        };
        let (send, mut events) = mpsc::unbounded_channel();
        {
            let mut now = self.now();
            now.control = Some(control.clone());
            now.events = Some(send);
        }
        // What an application calls every time.
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => match event {
                    Event::Call(host) => {
                        self.now().called.insert(host);
                        let control = control.clone();
                        calls.spawn(async move {
                            // Its application asks again until there is an answer.
                            while control.answering(&Destination::Name { host, port: 80 }).await.is_err() {}
                        });
                    }
                    Event::Application(health) => drop(told.send_replace(health)),
                    Event::Drain => if let Some(drainer) = drainer.take() {
                        calls.spawn(async move {
                            let _all_gone = drainer.drain_within(Duration::from_secs(1)).await;
                        });
                    },
                },
                Some(ended) = tasks.join_next() => {
                    return Err(format!("a part of {} ended: {ended:?}", self.workload).into());
                }
                Some(_) = calls.join_next() => {}
            }
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
