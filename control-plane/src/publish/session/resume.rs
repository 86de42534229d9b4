//! Coming back: a proxy that still holds what it was told is sent the difference only.
//!
//! It says what it holds in 16 bytes per type. If that is what this replica last knew it to hold, nothing more is
//! said; otherwise it lists names and versions, which any replica can compare, because versions are hashes.

use std::collections::BTreeMap;

use weft_proto::name::Asked;
use weft_proto::v1;
use weft_proto::v1::resume::Verdict;
use weft_proto::version::Digest;

use super::{Sent, Session};
use crate::compile::table::Id;

/// What a proxy held when its last stream ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered(BTreeMap<Id, u64>);

impl Remembered {
    fn digest(&self, kind: v1::Type) -> Digest {
        let held = self.0.iter().filter(|(id, _)| id.kind == kind);
        held.map(|(id, version)| Digest::of(id.kind, &id.name, *version)).collect()
    }
}

impl Session {
    /// The most names that a proxy may say it holds; a bound on memory.
    const MAX_HELD: usize = 100_000;

    /// Compares what the proxy says it holds with what is remembered of it.
    pub fn resume(&mut self, retained: &[v1::Retained], remembered: &Remembered) -> Vec<v1::Resume> {
        let mut verdicts = BTreeMap::new();
        for retained in retained {
            let Ok(kind) = v1::Type::try_from(retained.r#type) else { continue };
            let digest = Digest::from_bytes(&retained.digest);
            let verdict = match digest {
                None => Verdict::Full,
                Some(digest) if digest == Digest::EMPTY => Verdict::Exact,
                Some(digest) if digest == remembered.digest(kind) => {
                    for (id, version) in remembered.0.iter().filter(|(id, _)| id.kind == kind) {
                        self.held.put(id.clone(), *version);
                    }
                    Verdict::Exact
                }
                Some(_) => {
                    self.detail_awaited.insert(kind);
                    Verdict::NeedDetail
                }
            };
            verdicts.insert(kind, verdict);
        }
        let resume = |(kind, verdict): (v1::Type, Verdict)| v1::Resume {
            r#type: kind.into(),
            verdict: verdict.into(),
        };
        verdicts.into_iter().map(resume).collect()
    }

    /// Takes the list of what the proxy holds, for the types that it was asked about. It comes with the first
    /// statement of interest; later it is too late, and ignored.
    pub fn detail(&mut self, retained: Vec<v1::Retained>) {
        for retained in retained {
            let Ok(kind) = v1::Type::try_from(retained.r#type) else { continue };
            if !self.detail_awaited.remove(&kind) {
                continue;
            }
            for held in retained.held {
                if self.held.len() >= Self::MAX_HELD {
                    return;
                }
                if Asked::parse(kind, &held.name).is_ok_and(|asked| matches!(asked, Asked::Key(_))) {
                    self.held.put(Id::new(kind, held.name.as_str()), held.version);
                }
            }
        }
    }

    /// What the proxy is known to hold, should it come back. What is on the way may have arrived or not, so it is
    /// left out, and the digests differ: the proxy is asked. `None` if it has not said what it is interested in:
    /// what was known before is still the best guess.
    #[must_use]
    pub fn remember(&self) -> Option<Remembered> {
        if !self.stated {
            return None;
        }
        let certain = |id: &Id| !self.on_the_way.iter().any(|sent| sent.put.iter().any(|(put, _)| put == id));
        let versions = self.held.iter().filter_map(|(id, held)| match held {
            Sent::Version(version) if certain(id) => Some((id.clone(), version)),
            _ => None,
        });
        Some(Remembered(versions.collect()))
    }
}
