//! A control plane of a few lines: it changes its world, tells the difference in any cut and with patches or
//! without, loses streams in the middle, and sends things that cannot be read. Whatever it does, what the proxy
//! holds in the end is what it would hold had it been told everything at once.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weft_policy::endpoint::EndpointSet;
use weft_policy::object::ServicePort;

use super::gone as entombed;
use super::*;
use crate::v1::tombstone::Why;

/// One change of the world and how it is told.
#[derive(Clone, Debug)]
pub(super) struct Step {
    changes: Vec<Edit>,
    /// How many resources go into one update.
    chunk: usize,
    patches: bool,
    /// The stream is lost after this many updates; the next step begins with a new one.
    lost_after: Option<usize>,
    /// Something that cannot be read is sent in the place of the first resource, and then the right one.
    garbage: bool,
}

#[derive(Clone, Debug)]
enum Edit {
    Set(Value),
    Remove(Index),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let edit =
        prop_oneof![3 => small_value().prop_map(Edit::Set), 1 => any::<Index>().prop_map(Edit::Remove)];
    (
        prop::collection::vec(edit, 1..6),
        1usize..5,
        any::<bool>(),
        prop::option::weighted(0.3, 0usize..4),
        any::<bool>(),
    )
        .prop_map(|(changes, chunk, patches, lost_after, garbage)| Step {
            changes,
            chunk,
            patches,
            lost_after,
            garbage,
        })
}

/// Of few names, so that they are changed and not only added.
fn small_value() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(&["a", "b", "c"][..]);
    let some_of = |all: &'static [&'static str]| prop::sample::subsequence(all, 0..=all.len());
    prop_oneof![
        (name(), some_of(&["x", "y", "z"]), some_of(&["10.0.0.1", "10.0.0.2"]))
            .prop_map(|(name, hosts, vips)| service(&format!("shop/{name}"), &hosts, &vips)),
        (name(), arbitrary::endpoints()).prop_map(|(name, set)| {
            Value::Endpoints(
                EndpointSet::new(ServicePort::new("shop", name, 80), set.endpoints().to_vec()).into(),
            )
        }),
        (name(), arbitrary::routes()).prop_map(|(name, mut routes)| {
            routes.service = weft_policy::object::ServiceName::new("shop", name);
            Value::Routes(routes.into())
        }),
        name().prop_map(|name| inbound(&format!("spiffe://td/{name}"))),
        (name(), any::<u8>()).prop_map(|(name, anchor)| {
            let trust = Trust { anchors: vec![vec![anchor]], ..Trust::of(name.parse().unwrap(), 1) };
            Value::Trust(trust.into())
        }),
    ]
}

/// What the control plane knows, and what it believes of the proxy.
#[derive(Default)]
struct World {
    revision: u64,
    nonce: u64,
    values: BTreeMap<Key, Value>,
    told: BTreeMap<Key, Value>,
    told_absent: BTreeSet<Alias>,
}

pub(super) fn run(script: Vec<Step>) -> Result<(), TestCaseError> {
    let mut world = World::default();
    let mut held = a_held();
    for step in script {
        world.change(&step);
        world.tell(&step, &mut held)?;
    }
    // Whatever was lost is told on a last stream that holds.
    let last = Step { changes: vec![], chunk: 100, patches: true, lost_after: None, garbage: false };
    world.reconnect(&mut held)?;
    world.tell(&last, &mut held)?;

    let mut fresh = a_held();
    let mut at_once = World { revision: world.revision, values: world.values.clone(), ..World::default() };
    at_once.tell(&last, &mut fresh)?;
    same(held.snapshot(), fresh.snapshot())?;
    prop_assert_eq!(held.retained(), fresh.retained());
    prop_assert_eq!(held.len(), world.values.len());
    for (key, value) in &world.values {
        if let (Key::Trust(domain), Value::Trust(trust)) = (key, value) {
            prop_assert_eq!(held.trust(domain), Some(trust));
        }
    }
    Ok(())
}

impl World {
    fn change(&mut self, step: &Step) {
        self.revision += 1;
        for edit in &step.changes {
            match edit {
                Edit::Set(value) => drop(self.values.insert(value.key(), value.clone())),
                Edit::Remove(index) if !self.values.is_empty() => {
                    let key = self.values.keys().nth(index.index(self.values.len())).cloned().unwrap();
                    self.values.remove(&key);
                }
                Edit::Remove(_) => {}
            }
        }
    }

    /// Tells the difference between what is so and what the proxy was told, as one transaction.
    fn tell(&mut self, step: &Step, held: &mut Held) -> Result<(), TestCaseError> {
        let before = held.snapshot().clone();
        let retained = held.retained();
        let updates = self.updates(step);
        let count = updates.len();
        for (index, update) in updates.into_iter().enumerate() {
            if step.lost_after.is_some_and(|after| after <= index && after < count) {
                // The proxy has part of it, and shows nothing.
                same(held.snapshot(), &before)?;
                prop_assert_eq!(held.retained(), retained);
                return self.reconnect(held);
            }
            let more = update.more;
            let nonce = update.nonce;
            prop_assert_eq!(held.stage(update), Ok(if more { Progress::More } else { Progress::Complete }));
            same(held.snapshot(), &before)?;
            let committed = held.commit();
            prop_assert_eq!(committed.is_some(), !more);
            if let Some(committed) = committed {
                prop_assert_eq!(committed.ack.nonce, nonce);
                prop_assert_eq!(committed.ack.rejected.len(), usize::from(step.garbage));
                prop_assert_eq!(committed.resync, vec![]);
                same(&committed.snapshot, held.snapshot())?;
            }
        }
        Ok(())
    }

    fn updates(&mut self, step: &Step) -> Vec<v1::Update> {
        let mut put = Vec::new();
        let mut patches = Vec::new();
        for (key, value) in &self.values {
            match (self.told.get(key), value) {
                (Some(told), value) if told == value => {}
                (Some(Value::Endpoints(base)), Value::Endpoints(next)) if step.patches => {
                    patches.push(patch::diff(base, patch::version_of(base), next, patch::version_of(next)));
                }
                _ => put.push(encode::resource(value)),
            }
        }
        let mut gone: Vec<_> = self
            .told
            .keys()
            .filter(|key| !self.values.contains_key(*key))
            .map(|key| entombed(key.kind(), &key.to_string(), Why::NotFound))
            .collect();
        for host in ["x", "y", "z"] {
            let alias = Alias::host(host);
            let leads = self.values.values().any(|value| match value {
                Value::Service(service) => service.hosts.iter().any(|own| &**own == host),
                _ => false,
            });
            if leads {
                self.told_absent.remove(&alias);
            } else if self.told_absent.insert(alias.clone()) {
                gone.push(entombed(v1::Type::Service, &alias.to_string(), Why::NotFound));
            }
        }
        self.told = self.values.clone();

        let mut updates = Vec::new();
        if step.garbage {
            let key = Key::parse(v1::Type::Service, "shop/a").unwrap();
            updates.push(v1::Update {
                put: vec![encode::named(&key, vec![0xff; 3].into())],
                ..Default::default()
            });
        }
        updates
            .extend(put.chunks(step.chunk).map(|put| v1::Update { put: put.to_vec(), ..Default::default() }));
        updates.extend(
            patches
                .chunks(step.chunk)
                .map(|patch| v1::Update { patch: patch.to_vec(), ..Default::default() }),
        );
        updates.extend(
            gone.chunks(step.chunk).map(|gone| v1::Update { gone: gone.to_vec(), ..Default::default() }),
        );
        updates.push(v1::Update::default());
        let last = updates.len() - 1;
        for (index, update) in updates.iter_mut().enumerate() {
            self.nonce += 1;
            (update.revision, update.nonce, update.more) = (self.revision, self.nonce, index < last);
        }
        updates
    }

    /// A new stream: the proxy says what it holds, and only that is believed.
    fn reconnect(&mut self, held: &mut Held) -> Result<(), TestCaseError> {
        let now = v1::Seen { epoch: vec![1], revision: self.revision };
        held.welcome(&v1::Welcome { now: Some(now), ..Default::default() }).unwrap();
        let kinds =
            [v1::Type::Trust, v1::Type::Inbound, v1::Type::Endpoints, v1::Type::Service, v1::Type::Routes];
        let versions: BTreeMap<_, _> = kinds
            .into_iter()
            .flat_map(|kind| {
                held.detail(kind).held.into_iter().map(move |one| ((kind, one.name), one.version))
            })
            .collect();
        self.told = versions
            .keys()
            .map(|(kind, name)| Key::parse(*kind, name).unwrap())
            .filter_map(|key| Some((key.clone(), current(held, &key)?)))
            .collect();
        for ((kind, name), version) in versions {
            let key = Key::parse(kind, &name).unwrap();
            prop_assert_eq!(encode::resource(&self.told[&key]).version, version);
        }
        // What leads nowhere is told again: it is cheap and has no version.
        self.told_absent.clear();
        Ok(())
    }
}

/// What is held under a key, as a value.
fn current(held: &Held, key: &Key) -> Option<Value> {
    let snapshot = held.snapshot();
    Some(match key {
        Key::Trust(domain) => Value::Trust(Arc::clone(held.trust(domain)?)),
        Key::Inbound(_) => Value::Inbound(Arc::clone(held.enforced.as_ref()?)),
        Key::Endpoints(of) => Value::Endpoints(Arc::clone(snapshot.endpoints.get(of)?)),
        Key::Service(name) => Value::Service(Arc::clone(snapshot.services.get(name)?)),
        Key::Routes(name) => Value::Routes(Arc::clone(snapshot.routes.get(name)?)),
    })
}

fn same(a: &Snapshot, b: &Snapshot) -> Result<(), TestCaseError> {
    prop_assert_eq!(a.revision, b.revision);
    prop_assert_eq!(&a.inbound, &b.inbound);
    prop_assert_eq!(&a.services, &b.services);
    prop_assert_eq!(&a.hosts, &b.hosts);
    prop_assert_eq!(&a.vips, &b.vips);
    prop_assert_eq!(&a.routes, &b.routes);
    prop_assert_eq!(&a.endpoints, &b.endpoints);
    prop_assert_eq!(&a.absent, &b.absent);
    Ok(())
}
