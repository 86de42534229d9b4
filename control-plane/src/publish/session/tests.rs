//! Sessions against the code that proxies run, over random histories and by hand.

use proptest::prelude::*;
use prost::Message;
use weft_policy::object::ObjectRef;
use weft_proto::held::{Committed, Held as Mirror};
use weft_proto::name::WorkloadName;
use weft_proto::v1::Type;

mod astray;

use super::*;
use crate::compile::Compiler;
use crate::source::memory::Memory;
use crate::trial::{Edit, Written, edit, route, service, workload};
use crate::world::overlay::{Overlay, difference};
use weft_manifests::set::ObjectSet;

const WORKLOAD: &str = "shop/w-0";

/// A world, one session in it, and the proxy at its other end. What is sent lies in between until it is taken.
struct Trial {
    memory: Memory,
    set: ObjectSet,
    declared: BTreeMap<ObjectRef, crate::source::Placed>,
    compiler: Compiler,
    table: Table,
    frames: Frames,
    session: Session,
    sent: VecDeque<Vec<v1::Update>>,
    mirror: Mirror,
    roots: BTreeSet<Root>,
    ever_sent: Vec<(Id, u64)>,
}

impl Trial {
    fn new() -> Self {
        let mut compiler = Compiler::default();
        compiler.trust(weft_proto::trust::Trust::of("weft.local".parse().unwrap(), 0));
        let mut trial = Self {
            memory: Memory::default(),
            set: ObjectSet::default(),
            declared: BTreeMap::new(),
            table: compiler.table_at(1, 0),
            compiler,
            frames: Frames::default(),
            session: Session::new(viewer()),
            sent: VecDeque::new(),
            mirror: Mirror::new(WorkloadName::parse(WORKLOAD).unwrap()),
            roots: BTreeSet::new(),
            ever_sent: Vec::new(),
        };
        trial.ask(&[(Type::Trust, "weft.local"), (Type::Inbound, WORKLOAD)]);
        trial
    }

    fn with(mut self, written: impl IntoIterator<Item = Written>) -> Self {
        written.into_iter().for_each(|written| self.change(Edit::Write(written)));
        self
    }

    fn change(&mut self, edit: Edit) {
        let changed = self.write(edit);
        // As the hub does: only what is of interest is told.
        let of_interest: Vec<_> = changed
            .into_iter()
            .filter(|id| self.session.interests().any(|interest| interest == id))
            .collect();
        self.session.mark(of_interest, self.table.revision);
        self.send();
    }

    /// A change that the session does not hear of.
    fn write(&mut self, edit: Edit) -> BTreeSet<Id> {
        let memory = std::mem::take(&mut self.memory);
        self.memory = match edit {
            Edit::Write(written) => memory.with(&written.file, &written.text),
            Edit::Delete(written) => memory.without(&written.file),
            Edit::Break(written) => memory.with(&written.file, &written.text.replace("spec: {", "spec: [{")),
        };
        let reading = self.memory.reading().keeping(&self.declared);
        let overlay = Overlay::default();
        let changes: Vec<_> = difference(&self.declared, &reading.objects, &overlay).collect();
        self.declared = reading.objects;
        let touched = changes.into_iter().flat_map(|change| self.set.apply(change)).collect();
        let changed = self.compiler.follow(&self.set, &touched);
        let revision = self.table.revision + 1;
        self.table = self.compiler.table_at(revision, 0);
        changed
    }

    fn ask(&mut self, selectors: &[(Type, &str)]) {
        let roots: Vec<_> = selectors.iter().map(|(kind, name)| root(*kind, name)).collect();
        self.roots.extend(roots.iter().cloned());
        self.session.state(roots, &[], &self.table).unwrap();
        self.send();
    }

    fn drop(&mut self, kind: Type, name: &str) {
        let root = root(kind, name);
        self.roots.remove(&root);
        self.session.state(Vec::new(), &[root], &self.table).unwrap();
        self.send();
    }

    fn send(&mut self) {
        loop {
            self.session.follow(&self.table);
            let Some(frames) = self.session.next(&self.table, &self.frames) else { return };
            let updates: Vec<_> = frames.iter().map(read).collect();
            for put in updates.iter().flat_map(|update| &update.put) {
                self.ever_sent.push((Id::new(put.r#type(), put.name.as_str()), put.version));
            }
            self.sent.push_back(updates);
        }
    }

    /// The proxy takes the oldest transaction, without a word.
    fn take(&mut self) -> Option<Committed> {
        for update in self.sent.pop_front()? {
            let _progress = self.mirror.stage(update).unwrap();
        }
        Some(self.mirror.commit().expect("a whole transaction"))
    }

    /// The proxy takes the oldest transaction and confirms it.
    fn apply(&mut self) -> bool {
        let Some(committed) = self.take() else { return false };
        self.session.acknowledge(committed.ack);
        self.session.resync(&committed.resync, self.table.revision);
        self.send();
        true
    }

    fn settle(&mut self) {
        while self.apply() {}
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::World(edit) => self.change(edit),
            Step::Ask(name) => self.ask(&[(Type::Service, name)]),
            Step::Drop(name) => self.drop(Type::Service, name),
            Step::Apply => drop(self.apply()),
            Step::LoseCount(name) => {
                let selector = root(Type::Endpoints, name).to_selector();
                self.session.resync(&[selector], self.table.revision);
                self.send();
            }
        }
    }

    /// The proxy attaches to a new session, and is told what it lacks.
    fn come_back(&mut self, remembered: &Remembered) {
        let resume = self.session.resume(&self.mirror.retained(), remembered);
        let wants_detail = resume.iter().filter(|resume| resume.verdict() == v1::resume::Verdict::NeedDetail);
        self.session.detail(wants_detail.map(|resume| self.mirror.detail(resume.r#type())).collect());
        let roots: Vec<_> = self.roots.iter().cloned().collect();
        self.session.state(roots, &[], &self.table).unwrap();
        self.send();
        self.settle();
    }

    /// What the proxy should hold: everything that its roots reach and that it may see.
    fn wanted(&self) -> Vec<(Type, String, u64)> {
        let viewer = viewer();
        let reached: BTreeSet<Id> =
            self.roots.iter().flat_map(|root| root.reach(&self.table, &viewer)).collect();
        let visible = reached.iter().filter(|id| viewer.may_see(id));
        let found = visible.filter_map(|id| Some((id, self.table.resource(id, &viewer.namespace)?)));
        found.map(|(id, compiled)| (id.kind, id.name.to_string(), compiled.version)).collect()
    }

    fn holds(&self) -> Vec<(Type, String, u64)> {
        let kinds = [Type::Trust, Type::Inbound, Type::Endpoints, Type::Service, Type::Routes];
        let held = kinds.into_iter().map(|kind| (kind, self.mirror.detail(kind).held));
        let mut held: Vec<_> = held
            .flat_map(|(kind, held)| held.into_iter().map(move |held| (kind, held.name, held.version)))
            .collect();
        held.sort();
        held
    }
}

/// The very bytes, as a proxy reads them.
fn read(frame: &Frame) -> v1::Update {
    let mut bytes = Vec::new();
    frame.write(&mut bytes);
    match v1::ServerFrame::decode(&*bytes).unwrap().kind {
        Some(v1::server_frame::Kind::Update(update)) => update,
        other => panic!("{other:?}"),
    }
}

fn viewer() -> Viewer {
    Viewer { namespace: "shop".into(), workload: WORKLOAD.into() }
}

fn root(kind: Type, name: &str) -> Root {
    Root { id: Id::new(kind, name), with_deps: kind == Type::Service }
}

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    World(Edit),
    Ask(&'static str),
    Drop(&'static str),
    /// The proxy confirms the oldest transaction.
    Apply,
    /// The proxy loses count of a resource.
    LoseCount(&'static str),
}

const NAMES: [&str; 6] = ["host/api", "host/web", "host/cart.bank", "shop/cart", "ip/192.0.2.7", "bank/api"];

fn step() -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(NAMES.to_vec());
    prop_oneof![
        8 => edit().prop_map(Step::World),
        3 => name().prop_map(Step::Ask),
        1 => name().prop_map(Step::Drop),
        4 => Just(Step::Apply),
        1 => prop::sample::select(vec!["shop/api:80", "shop/web:80"]).prop_map(Step::LoseCount),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn when_all_is_quiet_a_proxy_holds_exactly_what_it_asked_for(steps in prop::collection::vec(step(), 1..40)) {
        let mut trial = Trial::new();
        for step in steps {
            trial.step(step);
            // However fast the world changes, what is on the way is bounded.
            prop_assert!(trial.sent.len() <= Session::SECURITY_WINDOW);
        }
        trial.settle();
        prop_assert_eq!(trial.holds(), trial.wanted());
        prop_assert_eq!(trial.session.behind_since(), None);
        // And every name that leads nowhere is known to.
        for root in trial.roots.iter().filter(|root| root.id.kind == Type::Service) {
            let leads = trial.table.alias(&root.id, "shop").unwrap_or(&root.id);
            if trial.table.resource(leads, "shop").is_none() && root.id.name.contains("st/") {
                let alias = weft_proto::name::alias(&root.id.name).unwrap();
                prop_assert!(trial.mirror.snapshot().absent.contains_key(&alias), "{}", root.id);
            }
        }
    }

    #[test]
    fn a_transaction_never_shows_a_route_without_the_service_and_the_endpoints_behind_it(
        edits in prop::collection::vec(edit(), 1..25),
    ) {
        let mut trial = Trial::new();
        trial.ask(&[(Type::Service, "shop/api")]);
        for edit in edits {
            trial.change(edit);
            while let Some(committed) = trial.take() {
                let snapshot = &committed.snapshot;
                for routes in snapshot.routes.values() {
                    let rules = routes.ports.iter().flat_map(|(_, table)| table.routes()).flat_map(|route| &route.rules);
                    for backend in rules.flat_map(|rule| &rule.backends) {
                        if let weft_policy::route::BackendRef::Service(port) = &backend.to {
                            prop_assert!(snapshot.services.contains_key(&port.service), "{port}");
                            prop_assert!(snapshot.endpoints.contains_key(port), "{port}");
                        }
                    }
                }
                trial.session.acknowledge(committed.ack);
                trial.session.resync(&committed.resync, trial.table.revision);
            }
        }
    }

    #[test]
    fn a_proxy_that_comes_back_is_sent_the_difference_and_no_more(
        before in prop::collection::vec(edit(), 1..15),
        meanwhile in prop::collection::vec(edit(), 0..3),
        remembered in any::<bool>(),
    ) {
        let mut trial = Trial::new();
        let names = [(Type::Service, "host/api"), (Type::Service, "host/web")];
        trial.ask(&names);
        before.into_iter().for_each(|edit| trial.change(edit));
        trial.settle();
        let remembered = if remembered { trial.session.remember().unwrap() } else { Remembered::default() };
        let held = trial.holds();
        // The stream is lost; the world goes on.
        trial.session = Session::new(viewer());
        meanwhile.into_iter().for_each(|edit| trial.change(edit));
        trial.ever_sent.clear();
        trial.come_back(&remembered);
        prop_assert_eq!(trial.holds(), trial.wanted());
        for (id, version) in &trial.ever_sent {
            prop_assert!(!held.contains(&(id.kind, id.name.to_string(), *version)), "{id} was held already");
        }
    }
}

fn shop() -> [Written; 3] {
    [
        service("shop", "api", "api", &[80]),
        workload("shop", "w-0", "web", 1),
        workload("shop", "w-1", "api", 2),
    ]
}

fn pod(number: u8) -> Edit {
    Edit::Write(workload("shop", &format!("p-{number}"), "api", 100 + number))
}

#[test]
fn one_more_pod_among_many_is_a_patch_and_a_lost_count_is_the_whole_set() {
    let mut trial = Trial::new()
        .with(shop())
        .with((0..40).map(|number| workload("shop", &format!("q-{number}"), "api", number + 10)));
    trial.ask(&[(Type::Service, "shop/api")]);
    trial.settle();
    trial.change(pod(1));
    let update = trial.sent[0][0].clone();
    assert_eq!((update.put.len(), update.patch.len()), (0, 1));
    assert!(update.encoded_len() < 150, "{update:?}");
    trial.settle();
    let selector = root(Type::Endpoints, "shop/api:80").to_selector();
    trial.session.resync(&[selector], trial.table.revision);
    trial.send();
    let update = &trial.sent[0][0];
    assert_eq!((update.put.len(), update.patch.len()), (1, 0));
    trial.settle();
    assert_eq!(trial.holds(), trial.wanted());
}

#[test]
fn a_slow_proxy_gets_the_newest_of_each_and_costs_no_more_than_its_window() {
    let mut trial = Trial::new().with(shop());
    trial.ask(&[(Type::Service, "shop/api")]);
    trial.settle();
    for number in 0..100 {
        trial.change(pod(number));
    }
    assert_eq!(trial.sent.len(), Session::WINDOW);
    let mut transactions = 0;
    while trial.apply() {
        transactions += 1;
    }
    assert!(transactions <= Session::WINDOW + 2, "{transactions}");
    assert_eq!(trial.holds(), trial.wanted());
}

#[test]
fn what_tightens_security_waits_neither_behind_the_rest_nor_for_the_window() {
    let mut trial = Trial::new().with(shop());
    trial.ask(&[(Type::Service, "shop/api")]);
    trial.settle();
    for number in 0..20 {
        trial.change(pod(number));
    }
    assert_eq!(trial.sent.len(), Session::WINDOW);
    trial.change(Edit::Write(crate::trial::strict("shop")));
    assert_eq!(trial.sent.len(), Session::WINDOW + 1);
    let update = &trial.sent[Session::WINDOW][0];
    assert_eq!(update.put.iter().map(|put| put.r#type()).collect::<Vec<_>>(), [Type::Inbound]);
}

#[test]
fn a_version_that_was_rejected_is_never_sent_again_on_this_stream() {
    let mut trial = Trial::new().with(shop());
    trial.ask(&[(Type::Service, "shop/api")]);
    trial.settle();
    let good = workload("shop", "w-1", "api", 2);
    let bad = workload("shop", "w-1", "api", 66);
    trial.change(Edit::Write(bad.clone()));
    let committed = trial.take().unwrap();
    let id = Id::new(Type::Endpoints, "shop/api:80");
    let version = trial.table.resource(&id, "shop").unwrap().version;
    let rejection =
        v1::Rejection { r#type: id.kind.into(), name: id.name.to_string(), version, ..Default::default() };
    trial.session.acknowledge(v1::Ack { rejected: vec![rejection], ..committed.ack });
    trial.ever_sent.clear();
    for edit in [Edit::Write(good), Edit::Write(bad)] {
        trial.change(edit);
        let selector = root(Type::Endpoints, "shop/api:80").to_selector();
        trial.session.resync(&[selector], trial.table.revision);
        trial.send();
        while let Some(committed) = trial.take() {
            trial.session.acknowledge(committed.ack);
        }
    }
    let sent = trial.ever_sent.iter().filter(|(sent, _)| *sent == id);
    assert!(
        sent.clone().count() > 0 && sent.clone().all(|(_, sent)| *sent != version),
        "{:?}",
        trial.ever_sent
    );
    assert_eq!(trial.session.rejected().len(), 1, "the proxy does without it, and that is shown");
}

#[test]
fn nothing_is_sent_that_the_certified_identity_may_not_see() {
    let mut trial = Trial::new().with(shop());
    trial.settle();
    trial.ask(&[(Type::Inbound, "shop/w-1"), (Type::Inbound, "bank/w-0")]);
    let gone: Vec<_> = trial.sent.iter().flatten().flat_map(|update| &update.gone).collect();
    assert_eq!(gone.iter().map(|gone| gone.why()).collect::<Vec<_>>(), [Why::Forbidden; 2]);
    trial.settle();
    assert!(trial.holds().iter().all(|(kind, name, _)| *kind != Type::Inbound || name == WORKLOAD));
}

#[test]
fn a_backend_that_a_route_gains_is_sent_with_the_route_and_one_that_it_loses_goes_with_it() {
    let split = |backends: &[&str]| Edit::Write(route("shop", "r-0", ("shop", "api"), backends));
    let backends = ["cart", "web"].map(|name| service("shop", name, name, &[80]));
    let mut trial = Trial::new().with(shop()).with(backends);
    trial.ask(&[(Type::Service, "shop/api")]);
    trial.settle();
    let names = |trial: &Trial| {
        let services = trial.holds().into_iter().filter(|(kind, _, _)| *kind == Type::Service);
        services.map(|(_, name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names(&trial), ["shop/api"]);
    trial.change(split(&["cart", "web"]));
    trial.settle();
    assert_eq!(names(&trial), ["shop/api", "shop/cart", "shop/web"]);
    trial.change(split(&["web"]));
    trial.settle();
    assert_eq!(names(&trial), ["shop/api", "shop/web"]);
    // Another root that needs it keeps it.
    trial.ask(&[(Type::Service, "shop/web")]);
    trial.drop(Type::Service, "shop/api");
    trial.settle();
    assert_eq!(names(&trial), ["shop/web"]);
}

/// Frames that no proxy of ours would send.
fn selectors() -> impl Strategy<Value = Vec<v1::Selector>> {
    let name = prop_oneof![
        Just("shop/api".to_owned()),
        Just("host/api".to_owned()),
        Just("shop/api:80".to_owned()),
        Just(WORKLOAD.to_owned()),
        ".{0,20}",
    ];
    let selector = (-1i32..8, name, any::<bool>());
    let selector =
        selector.prop_map(|(kind, name, with_deps)| v1::Selector { r#type: kind, name, with_deps });
    prop::collection::vec(selector, 0..6)
}

proptest! {
    #[test]
    fn nothing_that_a_proxy_says_upsets_its_session_or_lets_it_see_more(
        frames in prop::collection::vec((selectors(), selectors(), any::<u64>(), any::<u64>(), 0u8..5), 1..30),
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        let mut trial = Trial::new().with(shop());
        edits.into_iter().for_each(|edit| trial.change(edit));
        for (some, others, nonce, version, what) in frames {
            match what {
                0 => {
                    let roots = some.iter().filter_map(|selector| Root::read(selector).ok()).collect();
                    let dropped: Vec<_> = others.iter().filter_map(|selector| Root::read(selector).ok()).collect();
                    trial.session.state(roots, &dropped, &trial.table).unwrap();
                    others.into_iter().for_each(|selector| trial.session.refuse(selector));
                }
                1 => trial.session.resync(&some, version),
                2 => {
                    let held = others.iter().map(|other| v1::Held { name: other.name.clone(), version }).collect();
                    let kind = some.first().map_or(4, |selector| selector.r#type);
                    let retained = v1::Retained { r#type: kind, digest: nonce.to_be_bytes().to_vec(), held };
                    let _verdicts = trial.session.resume(std::slice::from_ref(&retained), &Remembered::default());
                    trial.session.detail(vec![retained]);
                }
                _ => {
                    let rejection = |selector: v1::Selector| v1::Rejection {
                        r#type: selector.r#type,
                        name: selector.name,
                        version,
                        ..v1::Rejection::default()
                    };
                    let rejected = some.into_iter().map(rejection).collect();
                    trial.session.acknowledge(v1::Ack { nonce: nonce % 40, rejected, ..v1::Ack::default() });
                }
            }
            trial.send();
            prop_assert!(trial.sent.len() <= 200);
        }
        let inbound = trial.ever_sent.iter().filter(|(id, _)| id.kind == Type::Inbound);
        prop_assert!(inbound.clone().all(|(id, _)| &*id.name == WORKLOAD));
    }

    #[test]
    fn what_is_rejected_is_never_offered_again_and_keeps_nothing_else_back(
        steps in prop::collection::vec((edit(), prop::sample::select(vec![0u8, 1, 2])), 1..25),
    ) {
        let mut trial = Trial::new().with(shop());
        trial.ask(&[(Type::Service, "shop/api")]);
        trial.settle();
        let mut refused: BTreeSet<(Id, u64)> = BTreeSet::new();
        for (edit, every) in steps {
            trial.ever_sent.clear();
            trial.change(edit);
            for offered in &trial.ever_sent {
                prop_assert!(!refused.contains(offered), "{} again", offered.0);
            }
            while let Some(updates) = trial.sent.pop_front() {
                // The proxy finds fault with every other resource, and has nothing to patch.
                let mut rejected = Vec::new();
                for (nth, put) in updates.iter().flat_map(|update| &update.put).enumerate() {
                    if every > 0 && nth % usize::from(every) == 0 {
                        let (kind, name) = (put.r#type(), put.name.clone());
                        refused.insert((Id::new(kind, name.as_str()), put.version));
                        rejected.push(v1::Rejection { r#type: kind.into(), name, version: put.version, ..Default::default() });
                    }
                }
                let patched = updates.iter().flat_map(|update| &update.patch);
                let resync: Vec<_> = patched.map(|patch| root(Type::Endpoints, &patch.name).to_selector()).collect();
                let nonce = updates.last().map_or(0, |update| update.nonce);
                trial.session.acknowledge(v1::Ack { nonce, rejected, ..v1::Ack::default() });
                trial.session.resync(&resync, trial.table.revision);
                trial.ever_sent.clear();
                trial.send();
                for offered in &trial.ever_sent {
                    prop_assert!(!refused.contains(offered), "{} again", offered.0);
                }
            }
            prop_assert_eq!(trial.session.behind_since(), None);
        }
    }
}
