//! What is held, as bytes: for a proxy that begins again where it was.
//!
//! In the words of the wire, so that it is read by the same code and under the same bounds as what a control plane says.

use prost::Message as _;
use weft_policy::snapshot::Alias;

use super::{Held, Refused};
use crate::field::Rejected;
use crate::name::{Asked, WorkloadName};
use crate::v1;

/// What is held, and what was asked for.
#[derive(Debug)]
pub struct Kept {
    /// What holds.
    pub held: Held,
    /// What the application had called.
    pub asked: Vec<Alias>,
}

impl Held {
    /// Everything that is held, and what was `asked` for. `None` where this build could not tell it again in the bytes that
    /// it was told: it does not understand all of it, and half of a policy is another policy.
    pub fn to_bytes<'a>(&self, asked: impl Iterator<Item = &'a Alias>) -> Option<Vec<u8>> {
        let seen = self.seen()?;
        let told = v1::Update {
            revision: seen.revision,
            put: self.told()?,
            synced: asked.map(v1::Selector::from).collect(),
            ..v1::Update::default()
        };
        let mut bytes = seen.encode_length_delimited_to_vec();
        bytes.extend(told.encode_to_vec());
        Some(bytes)
    }
}

impl Kept {
    /// What [`Held::to_bytes`] has written for this workload.
    ///
    /// # Errors
    /// [`NotKept`]. All of it is right, or none of it is used.
    pub fn from_bytes(workload: WorkloadName, mut bytes: &[u8]) -> Result<Self, NotKept> {
        let seen = v1::Seen::decode_length_delimited(&mut bytes)?;
        let mut told = v1::Update::decode(bytes)?;
        let asked = std::mem::take(&mut told.synced);
        let mut held = Held::new(workload);
        held.welcome(&v1::Welcome { now: Some(seen), ..v1::Welcome::default() })?;
        let committed = held.take_whole(told)?;
        // Written by a build that understood more.
        if let Some(rejected) = committed.ack.rejected.into_iter().next() {
            return Err(NotKept::NotUnderstood(Rejected { path: rejected.path, detail: rejected.detail }));
        }
        if let Some(rejected) = committed.not_understood.into_iter().next() {
            return Err(NotKept::NotUnderstood(rejected));
        }
        let alias = |selector: v1::Selector| match Asked::parse(v1::Type::Service, &selector.name) {
            Ok(Asked::Alias(alias)) => Some(alias),
            _ => None,
        };
        Ok(Self { held, asked: asked.into_iter().filter_map(alias).collect() })
    }
}

/// Why what was kept is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// It is something else, or not all of it.
    #[error("it cannot be read: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// It says what no control plane would say.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Another build of this proxy wrote it.
    #[error("it is not understood: {0}")]
    NotUnderstood(Rejected),
}
