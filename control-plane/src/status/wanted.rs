//! What the status of every object is to say, from what there is and what proxies have acknowledged: a function, and no
//! memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_manifests::cluster::Edition;
use weft_manifests::gateway_api::parent::ParentRef;
use weft_manifests::set::ObjectSet;
use weft_policy::object::{Kind, ObjectRef};
use weft_proto::v1::Condition;

use super::Editions;
use crate::report::{Acknowledged, Judge, Others};
use crate::world::View;

/// What the status of an object is to say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    /// Of which life of the name.
    pub(super) uid: Arc<str>,
    /// Of which generation.
    pub(super) generation: u64,
    pub(super) says: Says,
}

/// Where it says it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Says {
    /// A route, towards each Service that it names.
    Towards(BTreeMap<ParentRef, Vec<Condition>>),
    /// A route that cannot be read, towards every Service that it may be seen to name.
    TowardsAll(Vec<Condition>),
    /// Anything else.
    Itself(Vec<Condition>),
}

/// What is to be said of each of these editions. Of an object that the world has in another edition than the API server,
/// nothing: it is about to hear of it.
pub(super) fn wanted(
    view: &View,
    acknowledged: &Acknowledged,
    editions: &Editions,
    others: &Others,
) -> BTreeMap<ObjectRef, Wanted> {
    let judge = Judge::new(view, acknowledged.clone());
    let said = editions.iter().filter_map(|(key, edition)| {
        let says = if is_known(view, key, edition) {
            says(view, &judge, key, &others.with(key, edition, judge.programmed(key)))
        } else {
            // What is in force is an older edition, or none: the newer one cannot be read.
            let refused = vec![judge.refusal(key)?];
            if is_route(key) { Says::TowardsAll(refused) } else { Says::Itself(refused) }
        };
        let (uid, generation) = (Arc::clone(&edition.uid), edition.generation);
        Some((key.clone(), Wanted { uid, generation, says }))
    });
    said.collect()
}

/// Of each of these editions that the world has, whether the proxies that are attached to us have it.
pub(super) fn programmed(
    view: &View,
    acknowledged: &Acknowledged,
    editions: &Editions,
) -> Vec<(ObjectRef, Edition, Condition)> {
    let judge = Judge::new(view, acknowledged.clone());
    let known = editions.iter().filter(|(key, edition)| is_known(view, key, edition));
    known.map(|(key, edition)| (key.clone(), edition.clone(), judge.programmed(key))).collect()
}

fn is_known(view: &View, key: &ObjectRef, edition: &Edition) -> bool {
    view.declared.get(key).is_some_and(|placed| placed.object.meta().generation == edition.generation)
}

fn says(view: &View, judge: &Judge<'_>, key: &ObjectRef, programmed: &Condition) -> Says {
    let judged = judge.of(key);
    if !is_route(key) {
        return Says::Itself(
            judged.into_iter().map(|(_, condition)| condition).chain([programmed.clone()]).collect(),
        );
    }
    let parents = view.set.object(key).map(|route| ObjectSet::parents_of(&route)).unwrap_or_default();
    let mut towards: BTreeMap<ParentRef, Vec<Condition>> =
        parents.into_iter().map(|(_, parent)| (parent, Vec::new())).collect();
    for (parent, condition) in judged {
        match parent {
            Some(parent) => towards.entry(parent).or_default().push(condition),
            // Of the route as a whole.
            None => towards.values_mut().for_each(|said| said.push(condition.clone())),
        }
    }
    towards.values_mut().for_each(|said| said.push(programmed.clone()));
    Says::Towards(towards)
}

fn is_route(key: &ObjectRef) -> bool {
    matches!(key.kind, Kind::HttpRoute | Kind::GrpcRoute)
}
