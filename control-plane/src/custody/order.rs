//! What an operator may order: a step of a root rotation, and a denial.

use std::fmt;
use std::str::FromStr;

use weft_certs::authority::{BadSerial, Serial};
use weft_policy::identity::{BadIdentity, SpiffeId};
use weft_proto::v1;

use crate::journal::record::Denied;

/// Somebody who is refused before their certificate expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Everybody who proves to be this one.
    Identity(SpiffeId),
    /// The holder of one certificate.
    Serial(Serial),
}

impl Denial {
    /// As an operator writes it: a SPIFFE ID, or the hex of a serial number.
    ///
    /// # Errors
    /// [`BadDenial`], which repeats neither.
    pub fn of(whom: &v1::denial::Whom) -> Result<Self, BadDenial> {
        match whom {
            v1::denial::Whom::Identity(id) => id.parse().map(Self::Identity).map_err(BadDenial::Identity),
            v1::denial::Whom::Serial(serial) => serial.parse().map(Self::Serial).map_err(BadDenial::Serial),
        }
    }

    pub(super) fn record(&self) -> Denied {
        match self {
            Self::Identity(id) => Denied { identity: id.to_string(), serial: Vec::new() },
            Self::Serial(serial) => Denied { identity: String::new(), serial: serial.as_bytes().to_vec() },
        }
    }
}

/// Whom a denial means cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDenial {
    /// A SPIFFE ID.
    #[error("an identity is written as spiffe://<trust domain>/ns/<namespace>/sa/<service account>: {0}")]
    Identity(#[source] BadIdentity),
    /// A serial number.
    #[error(transparent)]
    Serial(#[from] BadSerial),
}

/// A step of a root rotation, as an operator asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// Mint the next root and publish it.
    Prepare,
    /// Sign with the next root.
    Activate,
    /// Stop trusting the old root.
    Retire,
    /// Forget the next root.
    Abort,
}

impl RotationStep {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Prepare, "prepare"),
        (Self::Activate, "activate"),
        (Self::Retire, "retire"),
        (Self::Abort, "abort"),
    ];
}

impl FromStr for RotationStep {
    type Err = UnknownStep;

    fn from_str(text: &str) -> Result<Self, UnknownStep> {
        Self::ALL.into_iter().find(|(_, name)| *name == text).map(|(step, _)| step).ok_or(UnknownStep)
    }
}

impl fmt::Display for RotationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.into_iter().find(|(step, _)| step == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// The text is no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a step of a root rotation is one of prepare, activate, retire, abort")]
pub struct UnknownStep;
