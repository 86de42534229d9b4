//! What all records amount to. It only remembers; what may be recorded is decided by
//! [`custody`](crate::custody), [`attest`](crate::attest) and [`registration`](crate::registration).
//!
//! Invariant: replaying [`State::to_entries`] gives an equal state.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;

use super::JournalError;
use super::record::{Change, Denied, Entry, Grant, Name, Record, Registered, Token, Trust};

/// Everything that is journaled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The authorities. `None` only before the first has been minted.
    pub trust: Option<Trust>,
    /// By the SHA-256 of their secrets.
    pub tokens: BTreeMap<Vec<u8>, Token>,
    /// Who has enrolled.
    pub grants: BTreeMap<Name, Grant>,
    /// Who is denied.
    pub denied: BTreeSet<Denied>,
    /// What workloads said of themselves.
    pub registered: BTreeMap<Name, Registered>,
    /// Revisions up to this one may have been published.
    pub revisions: u64,
}

impl State {
    /// The state that the payloads of a journal amount to.
    ///
    /// # Errors
    /// [`JournalError::Newer`] if one of them is not understood: its checksum is right, so a newer version wrote
    /// it.
    pub fn replay(payloads: &[Vec<u8>]) -> Result<Self, JournalError> {
        let mut state = Self::default();
        for (index, payload) in payloads.iter().enumerate() {
            let newer = || JournalError::Newer { index };
            for record in Entry::decode(payload.as_slice()).map_err(|_| newer())?.records {
                state.apply(record.change.ok_or_else(newer)?);
            }
        }
        Ok(state)
    }

    /// Puts a change into effect.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Trust(trust) => self.trust = Some(trust),
            Change::Token(token) => {
                self.tokens.insert(token.secret_sha256.clone(), token);
            }
            Change::TokenGone(secret_sha256) => {
                self.tokens.remove(&secret_sha256);
            }
            Change::Grant(grant) => {
                self.grants.insert(grant.workload.clone(), grant);
            }
            Change::GrantGone(workload) => {
                self.grants.remove(&workload);
            }
            Change::Denied(denied) => {
                self.denied.insert(denied);
            }
            Change::Allowed(allowed) => {
                self.denied.remove(&allowed);
            }
            Change::Registered(registered) => {
                self.registered.insert(registered.workload.clone(), registered);
            }
            Change::RegistrationGone(workload) => {
                self.registered.remove(&workload);
            }
            Change::Revisions(revisions) => self.revisions = self.revisions.max(revisions),
        }
    }

    /// Payloads that amount to this state, for a new generation.
    #[must_use]
    pub fn to_entries(&self) -> Vec<Vec<u8>> {
        let trust = self.trust.iter().cloned().map(Change::Trust);
        let tokens = self.tokens.values().cloned().map(Change::Token);
        let grants = self.grants.values().cloned().map(Change::Grant);
        let denied = self.denied.iter().cloned().map(Change::Denied);
        let registered = self.registered.values().cloned().map(Change::Registered);
        let revisions = (self.revisions > 0).then_some(Change::Revisions(self.revisions));
        trust
            .chain(tokens)
            .chain(grants)
            .chain(denied)
            .chain(registered)
            .chain(revisions)
            .map(|change| entry([change]))
            .collect()
    }
}

/// The payload that makes these changes hold together.
pub(super) fn entry(changes: impl IntoIterator<Item = Change>) -> Vec<u8> {
    Entry { records: changes.into_iter().map(Record::from).collect() }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn change() -> impl Strategy<Value = Change> {
        let name = || ("[ab]", "[a-c]").prop_map(|(namespace, name)| Name { namespace, name });
        let denied = || ("[ab]?", prop::collection::vec(0_u8..2, 0..2));
        prop_oneof![
            (1_u64..9, 0..3).prop_map(|(sequence, phase)| {
                Change::Trust(Trust { sequence, phase, ..Trust::default() })
            }),
            (0_u8..3, 0_u32..3).prop_map(|(hash, uses_left)| {
                Change::Token(Token { secret_sha256: vec![hash; 32], uses_left, ..Token::default() })
            }),
            (0_u8..3).prop_map(|hash| Change::TokenGone(vec![hash; 32])),
            (name(), 0_u64..3).prop_map(|(workload, leaf_not_after_unix)| {
                Change::Grant(Grant { workload, leaf_not_after_unix, ..Grant::default() })
            }),
            name().prop_map(Change::GrantGone),
            denied().prop_map(|(identity, serial)| Change::Denied(Denied { identity, serial })),
            denied().prop_map(|(identity, serial)| Change::Allowed(Denied { identity, serial })),
            (name(), 0_u32..3, any::<bool>()).prop_map(|(workload, weight, going)| {
                Change::Registered(Registered { workload, weight, going, ..Registered::default() })
            }),
            name().prop_map(Change::RegistrationGone),
            (0_u64..100).prop_map(Change::Revisions),
        ]
    }

    proptest! {
        #[test]
        fn a_snapshot_amounts_to_what_its_history_did(changes in prop::collection::vec(change(), 0..40)) {
            let payloads: Vec<_> = changes.chunks(3).map(|chunk| entry(chunk.to_vec())).collect();
            let state = State::replay(&payloads).unwrap();
            let mut snapshot = state.to_entries();
            prop_assert_eq!(&State::replay(&snapshot).unwrap(), &state);
            // And so does a snapshot with its own history on top, in any order of replay twice over.
            snapshot.extend(state.to_entries());
            prop_assert_eq!(State::replay(&snapshot).unwrap(), state);
        }
    }

    #[test]
    fn a_record_of_a_newer_version_is_an_error_and_not_skipped() {
        // Field 99 of `Record`, as a later version may define it; and bytes that are no message.
        for payload in [vec![0x0a, 0x03, 0x9a, 0x06, 0x00], vec![0xff; 4]] {
            let error = State::replay(&[entry([]), payload]).unwrap_err();
            assert!(matches!(error, JournalError::Newer { index: 1 }), "{error}");
        }
    }
}
