//! The law of incremental compilation, and what the forms of a resource are.

use proptest::prelude::*;
use weft_manifests::set::Change;
use weft_policy::endpoint::Health;
use weft_policy::object::Kind;

use super::*;
use crate::source::memory::Memory;
use crate::trial::{Edit, edit, route, service, workload};
use crate::world::overlay::{Overlay, difference};

/// Files, the set they make, and a compiler that follows it.
#[derive(Default)]
struct Trial {
    memory: Memory,
    set: ObjectSet,
    declared: BTreeMap<ObjectRef, crate::source::Placed>,
    compiler: Compiler,
}

impl Trial {
    fn make(&mut self, edit: Edit) -> BTreeSet<Id> {
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
        self.apply(changes)
    }

    fn apply(&mut self, changes: Vec<Change>) -> BTreeSet<Id> {
        let touched = changes.into_iter().flat_map(|change| self.set.apply(change)).collect();
        self.compiler.follow(&self.set, &touched)
    }
}

fn health() -> impl Strategy<Value = (String, Health)> {
    (0u8..4, prop::sample::select(Health::ALL.to_vec()))
        .prop_map(|(number, health)| (format!("w-{number}"), health))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn compiling_what_was_touched_gives_what_compiling_everything_would(
        steps in prop::collection::vec(prop_oneof![4 => edit().prop_map(Ok), 1 => health().prop_map(Err)], 1..25)
    ) {
        let mut trial = Trial::default();
        for step in steps {
            let before = trial.compiler.table().clone();
            let changed = match step {
                Ok(edit) => trial.make(edit),
                Err((workload, health)) => {
                    let workload = ObjectRef::new(Kind::Workload, "shop", &workload);
                    trial.apply(vec![Change::Health { workload, health }])
                }
            };
            let defects = trial.compiler.defects(&trial.set);
            prop_assert!(defects.is_empty(), "out of date: {defects:?}");
            // And who is told is exactly who sees something else.
            prop_assert_eq!(changed, trial.compiler.table().difference(&before));
        }
    }

    #[test]
    fn equal_files_are_equal_bytes_whatever_came_before_and_in_whatever_order(
        last in prop::collection::vec(crate::trial::written(), 1..12),
        before in prop::collection::vec(edit(), 0..10),
    ) {
        let mut one = Trial::default();
        for edit in before.clone() {
            one.make(edit);
        }
        for edit in before {
            let (Edit::Write(written) | Edit::Delete(written) | Edit::Break(written)) = edit;
            one.make(Edit::Delete(written));
        }
        let mut names = BTreeSet::new();
        let distinct: Vec<_> = last.into_iter().filter(|written| names.insert(written.file.clone())).collect();
        let mut other = Trial::default();
        distinct.iter().cloned().for_each(|written| drop(one.make(Edit::Write(written))));
        distinct.into_iter().rev().for_each(|written| drop(other.make(Edit::Write(written))));
        prop_assert!(one.compiler.table().difference(other.compiler.table()).is_empty());
    }
}

#[test]
fn a_bare_name_leads_to_the_service_of_the_callers_own_namespace() {
    let mut trial = Trial::default();
    trial.make(Edit::Write(service("shop", "api", "api", &[80])));
    trial.make(Edit::Write(service("bank", "api", "api", &[80])));
    let table = trial.compiler.table();
    let leads = |alias: &str, from: &str| {
        table.alias(&Id::new(v1::Type::Service, alias), from).map(|id| id.name.to_string())
    };
    for (alias, from, to) in [
        ("host/api", "shop", Some("shop/api")),
        ("host/api", "bank", Some("bank/api")),
        ("host/api", "elsewhere", None),
        ("host/api.shop", "bank", Some("shop/api")),
        ("host/api.shop.svc.cluster.local", "elsewhere", Some("shop/api")),
        ("host/api.nowhere", "shop", None),
    ] {
        assert_eq!(leads(alias, from).as_deref(), to, "{alias} from {from}");
    }
}

#[test]
fn a_consumer_route_is_for_its_own_namespace_only_and_its_backends_go_with_it() {
    let mut trial = Trial::default();
    for written in [
        service("shop", "api", "api", &[80]),
        service("shop", "cart", "cart", &[80]),
        workload("shop", "w-0", "api", 1),
        route("bank", "r-0", ("shop", "api"), &["cart"]),
    ] {
        trial.make(Edit::Write(written));
    }
    let routes = Id::new(v1::Type::Routes, "shop/api");
    let links = |from: &str| {
        let table = trial.compiler.table();
        let found = table.resource(&routes, from).map(|compiled| compiled.links.clone()).unwrap_or_default();
        found.into_iter().map(|id| id.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(links("bank"), ["shop/cart:80", "shop/cart"]);
    assert_eq!(links("shop"), Vec::<String>::new());
}
