//! A simulated mesh: a control plane and three proxies, on hosts and a network of turmoil's, driven step by step.
//!
//! First anything may go wrong, and what must always hold is asked after every step. Then everything is mended, and the
//! mesh has to come to rest with every proxy holding just what it should.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use turmoil::{Builder, Sim};
use weft_control_plane::attest::{JoinTokens, Wanted};
use weft_control_plane::custody::{Custody, Denial, Init};
use weft_policy::draw::Draw;
use weft_proxy::health::AppHealth;

use crate::clocks::{Clocks, HostClock};
use crate::manifests::{API, CART, Declared, NOWHERE};
use crate::oracle::Oracle;
use crate::plan::{Action, Change, LATENCY, Plan};
use crate::plane::{DOMAIN, Order, Plane};
use crate::scenarios::Scenario;
use crate::sidecar::{Event, Sidecar};
use crate::trace::Trace;

/// Whose proxies there are: where they register themselves, if they do.
pub(crate) const PROXIES: [(&str, &str, Option<&str>); 3] =
    [("shop/web", "web", None), ("shop/api-1", "api", Some("10.1.0.50")), ("bank/teller", "teller", None)];

/// What one run has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Of every decision that was taken, with its time.
    pub(crate) hash: u64,
    pub(crate) decisions: usize,
    /// From the healing until everything was as it should be.
    pub(crate) rest: Duration,
}

/// A promise that was not kept.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) scenario: &'static str,
    pub(crate) seed: u64,
    pub(crate) at: Duration,
    pub(crate) what: String,
    /// The last decisions before it.
    pub(crate) tail: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, seed, at, what, tail } = self;
        writeln!(f, "{scenario}, seed {seed}, after {} ms: {what}", at.as_millis())?;
        for line in tail {
            writeln!(f, "    {line}")?;
        }
        write!(f, "replay it: make sim SCENARIO={scenario} SEED={seed}")
    }
}

/// One run under way.
pub(crate) struct Mesh<'s> {
    sim: Sim<'s>,
    pub(crate) clocks: Clocks,
    pub(crate) plane: Plane,
    pub(crate) proxies: Vec<Sidecar>,
    /// A state directory of some time ago.
    saved: PathBuf,
    pub(crate) plane_is_up: bool,
    /// How long it has been down.
    pub(crate) plane_down_since: Option<Duration>,
    proxy_is_up: Vec<bool>,
    pub(crate) trace: Trace,
    _scratch: TempDir,
}

/// Runs a scenario with a seed.
pub(crate) fn run(scenario: &Scenario, seed: u64) -> Result<Outcome, Violation> {
    let mut draw = Draw::from_seed(seed ^ crate::trace::fnv(scenario.name.as_bytes()));
    let plan = Plan::draw(&mut draw, scenario.proxies, scenario.lasting, scenario.faults, scenario.changes);
    let mut mesh = Mesh::start(scenario, &mut draw);
    let mut oracle = Oracle::default();
    let result = mesh.live(scenario, plan, &mut oracle);
    let at = mesh.sim.elapsed();
    let outcome = result.map(|rest| Outcome { hash: mesh.trace.hash(), decisions: mesh.trace.len(), rest });
    outcome.map_err(|what| Violation { scenario: scenario.name, seed, at, what, tail: mesh.trace.tail() })
}

impl Mesh<'_> {
    fn start(scenario: &Scenario, draw: &mut Draw) -> Self {
        let scratch = scratch();
        let clocks = Clocks::default();
        let dir = scratch.path().join("plane");
        let domain = DOMAIN.parse().unwrap();
        let beginning = clocks.host().now();
        let custody = Custody::open(&dir, Init::Yes, &domain, beginning).unwrap();
        let tokens = JoinTokens::new(Arc::clone(custody.ledger()), domain);
        let mut sim = Builder::new()
            .simulation_duration(Duration::from_secs(1_000_000))
            .tick_duration(TICK)
            .min_message_latency(LATENCY)
            .max_message_latency(LATENCY)
            .tcp_capacity(4096)
            .epoch(SystemTime::UNIX_EPOCH)
            .rng_seed(draw.bits())
            .build();
        let mut proxies = Vec::new();
        for (workload, account, registers_at) in PROXIES.into_iter().take(scenario.proxies) {
            let wanted = Wanted {
                workload: workload.to_owned(),
                service_account: account.to_owned(),
                lifetime: Duration::from_secs(7 * 24 * 3600),
                uses: 1000,
            };
            let token = tokens.create(&wanted, custody.presented_root(), beginning).unwrap().token;
            let state_dir = scenario.keeps.then(|| scratch.path().join(account));
            let clock = clocks.host();
            proxies.push(Sidecar::new(
                workload,
                clock,
                token.to_string(),
                state_dir,
                registers_at,
                draw.bits(),
            ));
        }
        drop((tokens, custody));
        // A backup may be as old as the mesh.
        let saved = scratch.path().join("saved");
        copy(&dir, &saved);
        let plane = Plane::new(dir, clocks.host(), Declared::first(), scenario.max_age, draw.bits());
        let of_host = plane.clone();
        sim.host("plane", move || of_host.clone().live());
        for proxy in &proxies {
            let of_host = proxy.clone();
            sim.host(proxy.host(), move || of_host.clone().live());
        }
        let proxy_is_up = vec![true; proxies.len()];
        Self {
            sim,
            clocks,
            plane,
            proxies,
            saved,
            plane_is_up: true,
            plane_down_since: None,
            proxy_is_up,
            trace: Trace::default(),
            _scratch: scratch,
        }
    }

    fn live(&mut self, scenario: &Scenario, plan: Plan, oracle: &mut Oracle) -> Result<Duration, String> {
        // Everybody comes up, and calls.
        self.until("everybody is attached", oracle, REST, |mesh| mesh.all_attached())?;
        for proxy in &self.proxies {
            proxy.happen(Event::Call(API));
        }
        self.rest(oracle)?;
        let begun = self.sim.elapsed();
        let mut actions = plan.actions.into_iter().peekable();
        while self.sim.elapsed() < begun + plan.healed {
            while let Some((_, action)) = actions.next_if(|(at, _)| begun + *at <= self.sim.elapsed()) {
                self.act(&action);
            }
            self.step(oracle)?;
        }
        (scenario.special)(self, oracle)?;
        self.heal();
        self.plane.declare(|declared| {
            declared.mark += 1;
            declared.broken = false;
        });
        self.rest(oracle)
    }

    /// One step of everything, after which everything that must hold is asked.
    pub(crate) fn step(&mut self, oracle: &mut Oracle) -> Result<(), String> {
        self.sim.step().map_err(|error| error.to_string())?;
        self.clocks.advance_to(self.sim.elapsed());
        for refused in self.plane.refused() {
            self.trace.note(self.sim.elapsed(), || refused);
        }
        oracle.look(self)
    }

    /// Since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// Steps until it is so, for no longer than `bound`.
    pub(crate) fn until(
        &mut self,
        what: &str,
        oracle: &mut Oracle,
        bound: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> Result<Duration, String> {
        let begun = self.sim.elapsed();
        while !is_so(self) {
            if self.sim.elapsed() > begun + bound {
                return Err(format!("not within {} s: {what}", bound.as_secs()));
            }
            for _ in 0..2 {
                self.step(oracle)?;
            }
        }
        Ok(self.sim.elapsed().saturating_sub(begun))
    }

    /// Steps for so long.
    pub(crate) fn pass(&mut self, oracle: &mut Oracle, by: Duration) -> Result<(), String> {
        let until = self.sim.elapsed() + by;
        while self.sim.elapsed() < until {
            self.step(oracle)?;
        }
        Ok(())
    }

    /// Steps until every proxy holds what it should, and then asks what must hold of a mesh at rest.
    pub(crate) fn rest(&mut self, oracle: &mut Oracle) -> Result<Duration, String> {
        let begun = self.sim.elapsed();
        loop {
            let lacking = Oracle::lacking(self);
            if lacking.is_none() {
                break;
            }
            if self.sim.elapsed() > begun + REST {
                let findings = self.plane.core().map(|core| core.world.view().findings.clone());
                let (bound, lacking) = (REST.as_secs(), lacking.unwrap_or_default());
                return Err(format!("not at rest within {bound} s: {lacking}; findings: {findings:?}"));
            }
            // Whoever waits for half a minute is not asked ten times a second.
            let steps = if self.sim.elapsed() < begun + Duration::from_secs(2) { 4 } else { 20 };
            for _ in 0..steps {
                self.step(oracle)?;
            }
        }
        Oracle::at_rest(self)?;
        let took = self.sim.elapsed().saturating_sub(begun);
        self.trace.note(self.sim.elapsed(), || format!("at rest after {} ms", took.as_millis()));
        Ok(took)
    }

    /// Whether every proxy has a stream.
    pub(crate) fn all_attached(&self) -> bool {
        self.plane.core().is_some_and(|core| {
            self.proxies
                .iter()
                .all(|proxy| proxy.control().is_some() && core.proxies.is_attached(proxy.workload))
        })
    }

    /// Mends everything.
    pub(crate) fn heal(&mut self) {
        for proxy in 0..self.proxies.len() {
            self.act(&Action::Mend { proxy });
            self.act(&Action::Latency { proxy, by: LATENCY });
            self.act(&Action::StartProxy { proxy });
            self.proxies[proxy].happen(Event::Application(AppHealth::Well));
        }
        self.act(&Action::StartPlane);
        self.trace.note(self.sim.elapsed(), || "healed".to_owned());
    }

    /// Makes one thing happen.
    pub(crate) fn act(&mut self, action: &Action) {
        self.trace.note(self.sim.elapsed(), || format!("{action:?}"));
        let host = |proxy: &usize| self.proxies[*proxy].host();
        match action {
            Action::Cut { proxy } => self.sim.partition(host(proxy), "plane"),
            Action::CutFrom { proxy } => self.sim.partition_oneway(host(proxy), "plane"),
            Action::CutTo { proxy } => self.sim.partition_oneway("plane", host(proxy)),
            Action::Hold { proxy } => self.sim.hold(host(proxy), "plane"),
            Action::Mend { proxy } => self.sim.release(host(proxy), "plane"),
            Action::Latency { proxy, by } => self.sim.set_link_latency(host(proxy), "plane", *by),
            Action::CrashPlane => self.crash_plane(),
            Action::PowerOff => {
                for proxy in &self.proxies {
                    self.sim.partition(proxy.host(), "plane");
                }
                self.crash_plane();
                for proxy in &self.proxies {
                    self.sim.release(proxy.host(), "plane");
                }
            }
            Action::StopPlane => {
                if self.plane_is_up {
                    self.plane.order(Order::Stop);
                    self.plane_is_up = false;
                    self.plane_down_since = Some(self.sim.elapsed());
                }
            }
            Action::StartPlane => {
                if !self.plane_is_up {
                    self.plane.has_crashed();
                    self.sim.bounce("plane");
                    self.plane_is_up = true;
                    self.plane_down_since = None;
                }
            }
            Action::SaveState => {
                copy(&self.plane.dir, &self.saved);
            }
            Action::RestoreState => {
                if !self.plane_is_up {
                    copy(&self.saved, &self.plane.dir);
                }
            }
            Action::CrashProxy { proxy } => {
                if self.proxy_is_up[*proxy] {
                    self.sim.crash(host(proxy));
                    self.proxies[*proxy].has_crashed();
                    self.proxy_is_up[*proxy] = false;
                }
            }
            Action::StartProxy { proxy } => {
                if !self.proxy_is_up[*proxy] {
                    self.sim.bounce(host(proxy));
                    self.proxy_is_up[*proxy] = true;
                }
            }
            Action::Clock { host, seconds } => self.clock(*host).set(*seconds),
            Action::Do(change, draw) => self.change(*change, *draw),
            Action::Rotate(step) => self.plane.order(Order::Rotate(*step)),
        }
    }

    fn crash_plane(&mut self) {
        if self.plane_is_up {
            self.plane.has_crashed();
            self.sim.crash("plane");
            self.plane_is_up = false;
            self.plane_down_since = Some(self.sim.elapsed());
        }
    }

    /// Of a host: the proxies as they are counted, then the control plane.
    pub(crate) fn clock(&self, host: usize) -> HostClock {
        self.proxies.get(host).map_or_else(|| self.plane.clock.clone(), |proxy| proxy.clock.clone())
    }

    fn change(&mut self, change: Change, draw: u64) {
        let one = usize::try_from(draw).unwrap() % self.proxies.len();
        match change {
            Change::Publish => self.plane.declare(|declared| declared.mark += 1),
            Change::Churn => self.plane.declare(|declared| {
                let number = u8::try_from(draw % 4).unwrap();
                if !declared.statics.remove(&number) {
                    declared.statics.insert(number);
                }
            }),
            Change::Cart => self.plane.declare(|declared| {
                declared.mark += 1;
                declared.has_cart = !declared.has_cart;
            }),
            Change::Authorize => {
                self.plane.declare(|declared| declared.web_may_call = !declared.web_may_call);
            }
            Change::Break => self.plane.declare(|declared| declared.broken = !declared.broken),
            Change::Health => {
                let health = match draw % 2 {
                    0 => AppHealth::Well,
                    _ => AppHealth::Sick { why: "port 8080: refused".to_owned() },
                };
                self.proxies[1].happen(Event::Application(health));
            }
            Change::Call => {
                self.proxies[one].happen(Event::Call([API, CART, NOWHERE][(draw >> 8) as usize % 3]))
            }
            Change::Deny => {
                let denial =
                    Denial::Identity(format!("spiffe://{DOMAIN}/ns/shop/sa/mallory").parse().unwrap());
                self.plane.order(if draw.is_multiple_of(2) {
                    Order::Deny(denial)
                } else {
                    Order::Allow(denial)
                });
            }
            Change::Rotate => {}
        }
    }

    /// Whether these proxies have streams.
    pub(crate) fn attached(&self, proxies: &[usize]) -> bool {
        let core = self.plane.core();
        proxies.iter().all(|proxy| {
            let workload = self.proxies[*proxy].workload;
            core.as_ref().is_some_and(|core| core.proxies.is_attached(workload))
        })
    }

    /// Messages that wait in the network.
    pub(crate) fn under_way(&self) -> usize {
        let mut count = 0;
        self.sim.links(|links| count = links.map(Iterator::count).sum());
        count
    }
}

/// In memory where there is such a place: nothing here is about a disk's speed.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn copy(from: &Path, to: &Path) {
    let _none = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &name);
        } else {
            fs::copy(entry.path(), name).unwrap();
        }
    }
}

/// How finely time passes.
const TICK: Duration = Duration::from_millis(50);
/// Within so long of its healing a mesh is at rest: half a minute until a connection that is gone without a word is noticed,
/// and the longest pause before another is tried.
const REST: Duration = Duration::from_secs(60);
