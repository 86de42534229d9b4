//! What replicas tell each other of the proxies that are attached to each: a proxy has one stream, so no replica knows
//! them all. Contents are compared by what they were made of (an object's edition), since revisions are each replica's
//! own.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use weft_manifests::cluster::Edition;
use weft_policy::object::ObjectRef;
use weft_proto::v1::Condition;

use super::{PROGRAMMED, Proxies};

/// What one replica says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The objects that all of its proxies have, each as the [`stamp`] of its edition.
    programmed: BTreeSet<String>,
    /// Objects that some of its proxies have rejected, and what was said; not all of them, where there are many.
    rejected: BTreeMap<String, String>,
    /// How many proxies it has.
    proxies: usize,
    /// The oldest trust bundle that one of them has confirmed; `None`: one has confirmed none.
    trust: Option<u64>,
}

/// What all other replicas say that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others(pub BTreeMap<String, Told>);

impl Told {
    /// Of these objects, each with what its proxies say of it.
    #[must_use]
    pub fn of<'s>(
        programmed: impl IntoIterator<Item = &'s (ObjectRef, Edition, Condition)>,
        proxies: &Proxies,
    ) -> Self {
        let mut told = Self::default();
        for (key, edition, condition) in programmed.into_iter() {
            if condition.status {
                if told.programmed.len() < MOST {
                    told.programmed.insert(stamp(key, edition));
                }
            } else if condition.reason == "RejectedByProxies" && told.rejected.len() < MOST_REJECTED {
                let message: String = condition.message.chars().take(MOST_WORDS).collect();
                told.rejected.insert(stamp(key, edition), message);
            }
        }
        let sequences = proxies.own_trust_sequences();
        told.proxies = sequences.len();
        // `None` is less than any number.
        told.trust = sequences.into_iter().map(|(_, sequence)| sequence).min().flatten();
        told
    }

    /// As it is told.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Others {
    /// From a line of each. One that is not understood, of another version, has confirmed nothing.
    #[must_use]
    pub fn of(lines: &BTreeMap<String, String>) -> Self {
        let told = |line: &String| {
            serde_json::from_str(line).unwrap_or_else(|_| Told { proxies: 1, ..Told::default() })
        };
        Self(lines.iter().map(|(replica, line)| (replica.clone(), told(line))).collect())
    }

    /// What is so of an object with their proxies counted in, where ours all have it.
    #[must_use]
    pub fn with(&self, key: &ObjectRef, edition: &Edition, ours: Condition) -> Condition {
        if !ours.status || self.0.is_empty() {
            return ours;
        }
        let stamp = stamp(key, edition);
        let not = |reason: &str, message: String| Condition {
            r#type: PROGRAMMED.to_owned(),
            status: false,
            reason: reason.to_owned(),
            message,
        };
        if let Some(why) = self.0.values().find_map(|told| told.rejected.get(&stamp)) {
            return not("RejectedByProxies", why.clone());
        }
        match self.0.iter().find(|(_, told)| told.proxies > 0 && !told.programmed.contains(&stamp)) {
            Some((replica, _)) => not(
                super::PENDING,
                format!("not every proxy that is attached to {replica} has confirmed it yet"),
            ),
            None => ours,
        }
    }

    /// For each, the oldest trust bundle that one of its proxies has; as [`Proxies::trust_sequences`].
    #[must_use]
    pub fn trust_sequences(&self) -> Vec<(String, Option<u64>)> {
        let with_proxies = self.0.iter().filter(|(_, told)| told.proxies > 0);
        with_proxies.map(|(replica, told)| (format!("a proxy of {replica}"), told.trust)).collect()
    }
}

/// Forty-eight bits tell the editions of a mesh apart.
fn stamp(key: &ObjectRef, edition: &Edition) -> String {
    let whole = digest(&SHA256, format!("{key} {} {}", edition.uid, edition.generation).as_bytes());
    whole.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// An annotation holds 256 KiB: beyond so many objects, the rest is never said to be programmed.
const MOST: usize = 14_000;
const MOST_REJECTED: usize = 50;
const MOST_WORDS: usize = 300;
