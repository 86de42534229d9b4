//! A second place for changes that several control planes share: it has to take them before they hold.

use std::fmt;

use super::record::Change;
use super::state::State;

/// Where changes are kept that are not one control plane's own.
pub trait Elsewhere: Send + Sync + fmt::Debug {
    /// Whether a change is for that place.
    fn concerns(&self, change: &Change) -> bool;

    /// Whether changes may be made by us now.
    fn is_ours(&self) -> bool;

    /// Makes it hold this state. It waits for that.
    ///
    /// # Errors
    /// [`ElsewhereError`]; what it held before holds.
    fn write(&self, next: &State) -> Result<(), ElsewhereError>;
}

/// Why a shared place does not take a change.
#[derive(Debug, thiserror::Error)]
pub enum ElsewhereError {
    /// Somebody else makes changes now.
    #[error(
        "this replica does not hold the Lease, and only its holder changes the mesh's identity; ask that one"
    )]
    NotOurs,
    /// It is another state that this one would replace.
    #[error(
        "what is kept was changed by somebody else meanwhile; nothing has changed, look again and repeat it"
    )]
    Overtaken,
    /// It cannot be written.
    #[error("what is kept cannot be written: {why}; nothing has changed")]
    Failed {
        /// Why.
        why: String,
    },
}
