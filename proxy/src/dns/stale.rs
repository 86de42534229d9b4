//! The last good answers of the servers we forward to, for when they are gone (RFC 8767).
//!
//! Two maps: the younger one fills, becomes the older one, and what was the older one is forgotten. So memory is bounded
//! without a list to keep in order, and a name that is asked for is never among the forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::rr::{Record, RecordType};

#[derive(Default)]
pub(super) struct LastGood(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<(String, RecordType), Good>,
    old: HashMap<(String, RecordType), Good>,
}

struct Good {
    answers: Vec<Record>,
    at: Instant,
}

impl LastGood {
    /// Takes an answer of a server. One without records says that there are none any more, so it forgets.
    pub(super) fn remember(&self, name: &str, kind: RecordType, answers: &[Record], now: Instant) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), kind);
        if answers.is_empty() {
            generations.young.remove(&key);
            generations.old.remove(&key);
            return;
        }
        generations.young.insert(key, Good { answers: answers.to_vec(), at: now });
        if generations.young.len() >= GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
    }

    /// What was last answered, not longer ago than [`KEEP`], and for the client to remember for [`STALE_TTL`].
    pub(super) fn recall(&self, name: &str, kind: RecordType, now: Instant) -> Option<Vec<Record>> {
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), kind);
        let good = generations.young.get(&key).or_else(|| generations.old.get(&key))?;
        if now.saturating_duration_since(good.at) > KEEP {
            return None;
        }
        let mut answers = good.answers.clone();
        for record in &mut answers {
            record.ttl = STALE_TTL;
        }
        Some(answers)
    }
}

/// Names per generation.
const GENERATION: usize = 1024;

/// How old an answer may be that is still better than none.
const KEEP: Duration = Duration::from_secs(3600);

/// Seconds (RFC 8767 §4 recommends 30).
const STALE_TTL: u32 = 30;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{Name, RData};

    use super::*;

    fn answer() -> Vec<Record> {
        vec![Record::from_rdata(Name::root(), 7, RData::A(A(Ipv4Addr::LOCALHOST)))]
    }

    #[test]
    fn an_old_answer_is_good_for_an_hour_and_remembered_for_half_a_minute() {
        let (kept, now) = (LastGood::default(), Instant::now());
        kept.remember("example.org", RecordType::A, &answer(), now);
        let recalled = kept.recall("example.org", RecordType::A, now + KEEP).unwrap();
        assert_eq!(recalled[0].ttl, STALE_TTL);
        assert!(kept.recall("example.org", RecordType::AAAA, now).is_none());
        assert!(kept.recall("example.org", RecordType::A, now + KEEP + Duration::from_secs(1)).is_none());
    }

    #[test]
    fn a_name_that_is_gone_is_not_recalled() {
        let (kept, now) = (LastGood::default(), Instant::now());
        kept.remember("example.org", RecordType::A, &answer(), now);
        kept.remember("example.org", RecordType::A, &[], now);
        assert!(kept.recall("example.org", RecordType::A, now).is_none());
    }

    #[test]
    fn memory_is_bounded_and_the_latest_names_are_kept() {
        let (kept, now) = (LastGood::default(), Instant::now());
        for n in 0..100_000 {
            kept.remember(&format!("{n}.example.org"), RecordType::A, &answer(), now);
        }
        let generations = kept.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
        drop(generations);
        assert!(kept.recall("99999.example.org", RecordType::A, now).is_some());
    }
}
