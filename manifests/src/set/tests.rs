//! Laws of the set: order does not matter, and what a change touches is all that it changes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weft_policy::endpoint::Health;
use weft_policy::object::{Kind, ObjectRef};

use super::*;
use crate::core::{Backing, ClusterIps, Listed};
use crate::crd::workload::{Origin, Sidecar};
use crate::load::load;
use crate::lower::{Lowered, Resource, resource};

/// Every object that a test history can contain. Few names, so that they meet; several versions of each.
fn universe() -> Vec<Object> {
    let mut yaml = String::new();
    let mut add = |text: String| {
        yaml.push_str("---\n");
        yaml.push_str(&text);
    };
    for (namespace, name, version) in places() {
        let meta = format!(
            "metadata: {{name: {name}, namespace: {namespace}, generation: {version}, labels: {{app: {}}}}}",
            label(version)
        );
        let port = 80 + version % 2;
        add(format!(
            "apiVersion: v1\nkind: Service\n{meta}\nspec: {{selector: {{app: {}}}, ports: [{{name: http, port: {port}, targetPort: p}}]}}\n",
            label(version + 1)
        ));
        add(format!(
            "apiVersion: weft.mesh/v1alpha1\nkind: Workload\n{meta}\nspec: {{address: 10.0.{version}.1, ports: [{{name: p, port: 8{port}}}]}}\n"
        ));
        for kind in ["HTTPRoute", "GRPCRoute"] {
            let parent = if version == 0 { "shop" } else { "bank" };
            let backend = if version == 2 { "shop" } else { namespace };
            add(format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\n{meta}\nspec: {{parentRefs: [{{group: '', kind: Service, name: a, namespace: {parent}}}, \
                 {{group: '', kind: Service, name: b, namespace: shop, port: 80}}], rules: [{{backendRefs: [{{name: {name}, namespace: {backend}, port: {port}}}]}}]}}\n"
            ));
        }
        let targets = [
            "",
            ", targetRefs: [{kind: Service, name: a}]",
            ", targetRefs: [{kind: Workload, name: b, sectionName: p}]",
        ][version];
        add(format!(
            "apiVersion: weft.mesh/v1alpha1\nkind: AuthorizationPolicy\n{meta}\nspec: {{action: Allow, rules: [{{}}]{targets}}}\n"
        ));
        add(format!(
            "apiVersion: weft.mesh/v1alpha1\nkind: AuthenticationPolicy\n{meta}\nspec: {{mtls: {{mode: Strict}}{targets}}}\n"
        ));
        let section = if version == 1 { ", sectionName: http" } else { "" };
        add(format!(
            "apiVersion: weft.mesh/v1alpha1\nkind: TrafficPolicy\n{meta}\nspec: {{targetRefs: [{{kind: Service, name: a{section}}}], limits: {{maxRequests: {version}}}}}\n"
        ));
    }
    // One document a file, or the versions of an object would count as one object defined twice.
    let documents = yaml.split("---\n").filter(|text| !text.is_empty());
    let written = documents.flat_map(|text| {
        let loaded = load(&[("universe.yaml", text)]);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        loaded.accepted().collect::<Vec<_>>()
    });
    written
        .flat_map(|object| listing_too(&object).chain(as_pod(&object)).chain([object]).collect::<Vec<_>>())
        .collect()
}

/// A workload as a cluster has it, which is called by its own address too.
fn as_pod(object: &Object) -> Option<Object> {
    let Object::Workload(workload) = object else { return None };
    let (origin, sidecar) = (Origin::Pod, Sidecar::Transparent);
    Some(Object::Workload(Arc::new(Workload { origin, sidecar, ..(**workload).clone() })))
}

/// A Service as a cluster has it: headless, with nothing listed, and with a workload that its selector may not pick.
fn listing_too(object: &Object) -> impl Iterator<Item = Object> + use<> {
    let Object::Service(service) = object else { return Vec::new().into_iter() };
    let listed = |name: &str| Listed {
        address: "10.0.1.1".parse().unwrap(),
        workload: Some(name.into()),
        ports: [("http".into(), 8080)].into(),
        health: Health::Healthy,
        zone: None,
    };
    let versions = [vec![], vec![listed("a")], vec![listed("a"), listed("b")]].map(|listed| {
        let backing = Backing::Listed(listed.into());
        let cluster_ips = ClusterIps::Headless;
        Object::Service(Arc::new(Service { backing, cluster_ips, ..(**service).clone() }))
    });
    Vec::from(versions).into_iter()
}

fn places() -> impl Iterator<Item = (&'static str, &'static str, usize)> {
    let namespaces = ["shop", "bank", "weft-system"].into_iter();
    namespaces.flat_map(|namespace| {
        ["a", "b"].into_iter().flat_map(move |name| (0..3).map(move |version| (namespace, name, version)))
    })
}

const fn label(version: usize) -> &'static str {
    ["x", "y", "x", "y"][version]
}

/// A step of a history, by numbers that index into the universe.
#[derive(Clone, Copy, Debug)]
enum Step {
    Upsert(usize),
    Delete(usize),
    Health(usize, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<usize>().prop_map(Step::Upsert),
        2 => any::<usize>().prop_map(Step::Delete),
        1 => (any::<usize>(), 0..4_usize).prop_map(|(workload, health)| Step::Health(workload, health)),
    ];
    proptest::collection::vec(step, 1..60)
}

fn change(universe: &[Object], step: Step) -> Change {
    let object = |index: usize| &universe[index % universe.len()];
    match step {
        Step::Upsert(index) => Change::Upsert(object(index).clone()),
        Step::Delete(index) => Change::Delete(object(index).key()),
        Step::Health(index, health) => {
            let key = object(index).key();
            let workload = ObjectRef { kind: Kind::Workload, ..key };
            Change::Health { workload, health: Health::ALL[health] }
        }
    }
}

type Everything = BTreeMap<ResourceKey, Lowered<Resource>>;

/// Everything a set is lowered to; what there is nothing to say about is left out.
fn everything(set: &ObjectSet) -> Everything {
    let all = set.keys().into_iter().map(|key| (key.clone(), resource(set, &key)));
    all.filter(|(_, lowered)| !is_nothing(lowered)).collect()
}

fn is_nothing(lowered: &Lowered<Resource>) -> bool {
    lowered.value.is_none() && lowered.conditions.is_empty()
}

/// What is left of a history: the last version of each object, and the last word on each workload.
fn outcome(history: &[Change]) -> (BTreeMap<ObjectRef, Object>, BTreeMap<ObjectRef, Health>) {
    let (mut objects, mut healths) = (BTreeMap::new(), BTreeMap::new());
    for change in history {
        match change {
            Change::Upsert(object) => drop(objects.insert(object.key(), object.clone())),
            Change::Delete(key) => drop(objects.remove(key)),
            Change::Health { workload, health } => drop(healths.insert(workload.clone(), *health)),
        }
    }
    (objects, healths)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn lowering_only_what_is_touched_is_the_same_as_lowering_everything(steps in steps()) {
        let universe = universe();
        let mut set = ObjectSet::default();
        let mut incremental = Everything::new();
        for step in steps {
            for key in set.apply(change(&universe, step)) {
                let lowered = resource(&set, &key);
                if is_nothing(&lowered) { incremental.remove(&key); } else { incremental.insert(key, lowered); }
            }
            prop_assert_eq!(&incremental, &everything(&set), "after {:?}", step);
        }
    }

    #[test]
    fn any_history_with_the_same_outcome_makes_the_same_set(steps in steps(), backwards in any::<bool>()) {
        let universe = universe();
        let history: Vec<Change> = steps.into_iter().map(|step| change(&universe, step)).collect();
        let mut set = ObjectSet::default();
        for change in &history {
            set.apply(change.clone());
        }
        let (objects, healths) = outcome(&history);
        let mut changes: Vec<Change> = objects.into_values().map(Change::Upsert).collect();
        changes.extend(healths.into_iter().map(|(workload, health)| Change::Health { workload, health }));
        if backwards {
            changes.reverse();
        }
        let mut fresh = ObjectSet::default();
        for change in changes {
            fresh.apply(change);
        }
        prop_assert_eq!(&set, &fresh);
        prop_assert_eq!(everything(&set), everything(&fresh));
    }

    #[test]
    fn a_copy_does_not_change_with_its_original(steps in steps(), at in 0..40_usize) {
        let universe = universe();
        let mut set = ObjectSet::default();
        let mut copy = None;
        for (index, step) in steps.into_iter().enumerate() {
            if index == at {
                copy = Some((set.clone(), everything(&set)));
            }
            set.apply(change(&universe, step));
        }
        if let Some((copy, before)) = copy {
            prop_assert_eq!(everything(&copy), before);
        }
    }
}

#[test]
fn what_has_not_changed_touches_nothing() {
    let universe = universe();
    let mut set = ObjectSet::default();
    for object in &universe {
        set.apply(Change::Upsert(object.clone()));
        assert!(set.apply(Change::Upsert(object.clone())).is_empty());
    }
    let all: Vec<ObjectRef> = universe.iter().map(Object::key).collect();
    for key in &all {
        set.apply(Change::Delete(key.clone()));
        assert!(set.apply(Change::Delete(key.clone())).is_empty());
    }
    assert_eq!(set, ObjectSet::default(), "nothing of what was is left in an index");
}
