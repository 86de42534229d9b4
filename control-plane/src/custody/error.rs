//! Why the state directory cannot be used, or does not take a step, and what to do about it.

use std::io;
use std::path::PathBuf;

use tonic::Code;
use weft_certs::authority::{AuthorityError, IssueError};
use weft_certs::bundle::BadBundle;
use weft_certs::request::RequestError;
use weft_certs::rotation::{BadRotation, RotationRefused};
use weft_certs::tls::BadCredentials;
use weft_policy::identity::SpiffeId;

use super::BadKept;
use crate::journal::{ElsewhereError, JournalError};

/// Each variant sends an operator somewhere different.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The directory itself.
    #[error(
        "cannot use {path} as the state directory: {source}; check that it exists and belongs to this user"
    )]
    Directory {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Two processes would sign and journal over each other.
    #[error("{path} is in use by another control plane; stop it, or give this one its own state directory")]
    Locked {
        /// Where.
        path: PathBuf,
    },
    /// A first start, or a lost volume: they look the same.
    #[error(
        "the state directory is empty. If this is a new mesh, start once with --init, which mints its root. If the \
         mesh has proxies already, do not: they trust the root that was here, and would refuse everybody with a \
         certificate of a new one. Restore the state directory from a backup, or mount the right volume"
    )]
    Empty,
    /// A crash during the first start, or a partial restore.
    #[error(
        "the state directory is incomplete: its initialisation did not finish, or only a part was restored. Restore \
         all of it from a backup; if this is a new mesh, start with --init to finish"
    )]
    Unfinished,
    /// The authority is there and what it did is not.
    #[error(
        "the state directory has lost its journal: who is denied, which join tokens were used and who is \
         registered. Restore journal.* from a backup. Or, knowing that all of that is lost, remove the file \
         `epoch` and start with --init: the authority in ca/ is kept"
    )]
    JournalLost,
    /// The journal names an authority whose files are missing.
    #[error(
        "{file} is missing from the state directory, and {enrolled} enrolled workloads depend on this authority. No \
         new root is minted in its place, with --init or without: proxies would refuse it. Restore ca/ from a backup"
    )]
    CaMissing {
        /// Below the state directory.
        file: String,
        /// How many the journal knows.
        enrolled: usize,
    },
    /// More than one authority, and no journal that says which is in use.
    #[error(
        "ca/ holds {found} authorities and no journal says which of them signs; restore journal.* from a backup"
    )]
    WhichCa {
        /// How many.
        found: usize,
    },
    /// Another file than the one that was written.
    #[error(
        "{file} holds another root than the journal says; restore ca/ and the journal from the same backup"
    )]
    OtherRoot {
        /// Below the state directory.
        file: String,
    },
    /// The parts of the authority do not belong together, or are damaged.
    #[error("the authority in ca/ cannot be used; restore ca/ from a backup")]
    Ca(#[source] BadRotation),
    /// The same, before there is a rotation.
    #[error("the authority cannot be made or used")]
    Authority(#[source] AuthorityError),
    /// Of another mesh.
    #[error(
        "the state directory belongs to trust domain {kept}, and this control plane was started for {asked}; give \
         --trust-domain {kept}, or another --state-dir"
    )]
    OtherTrustDomain {
        /// What the journal says.
        kept: String,
        /// What the operator said.
        asked: String,
    },
    /// Not 16 bytes.
    #[error("the file `epoch` in the state directory is damaged; restore it from a backup")]
    Epoch,
    /// No epoch.
    #[error("the system gives no randomness; nothing was begun")]
    NoRandomness,
    /// Reading or writing a file other than the journal.
    #[error("cannot {doing} {file} in the state directory: {source}; check the disk, nothing has changed")]
    File {
        /// What was attempted.
        doing: &'static str,
        /// Below the state directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// What several control planes share cannot be used.
    #[error(transparent)]
    Kept(#[from] BadKept),
    /// Reading or writing the journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The roots make no bundle.
    #[error("the roots make no trust bundle; restore ca/ from a backup")]
    Bundle(#[source] BadBundle),
    /// The control plane gets no leaf of its own: its key.
    #[error("no key for the control plane's own certificate")]
    OwnKey(#[source] RequestError),
    /// The control plane gets no leaf of its own: its certificate.
    #[error("no certificate for the control plane itself")]
    OwnLeaf(#[source] IssueError),
    /// The control plane's leaf is unusable.
    #[error("the control plane's own certificate cannot be used")]
    OwnCredentials(#[source] BadCredentials),
    /// A step of a root rotation is refused.
    #[error(transparent)]
    Rotation(#[from] RotationRefused),
    /// The control plane, or somebody of another domain.
    #[error("{identity} cannot be denied: only workloads of this trust domain can")]
    CannotDeny {
        /// Whom.
        identity: SpiffeId,
    },
    /// The list has its limit.
    #[error(
        "{limit} identities and serial numbers are denied already; take back denials of certificates that have \
         expired"
    )]
    TooManyDenied {
        /// How many may be.
        limit: usize,
    },
}

impl CustodyError {
    /// How an operator's order that fails for this reason is answered.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::CannotDeny { .. } => Code::InvalidArgument,
            Self::TooManyDenied { .. } => Code::ResourceExhausted,
            Self::Journal(JournalError::Elsewhere(ElsewhereError::NotOurs)) => Code::FailedPrecondition,
            Self::Journal(_) | Self::File { .. } | Self::Directory { .. } | Self::NoRandomness => {
                Code::Unavailable
            }
            // What a step needs is not there yet, or no longer.
            Self::Rotation(_)
            | Self::Authority(_)
            | Self::OwnLeaf(_)
            | Self::Locked { .. }
            | Self::Empty
            | Self::Unfinished
            | Self::JournalLost
            | Self::CaMissing { .. }
            | Self::WhichCa { .. }
            | Self::OtherRoot { .. }
            | Self::OtherTrustDomain { .. }
            | Self::Epoch
            | Self::Kept(_)
            | Self::Ca(_) => Code::FailedPrecondition,
            Self::Bundle(_) | Self::OwnKey(_) | Self::OwnCredentials(_) => Code::Internal,
        }
    }
}
