//! How a verb ended, as scripts see it: 0 fine, 1 it looked and found a problem, 2 it could not look.
//!
//! The difference between 1 and 2 is what a script acts on: a rejected route wants a person, an absent control
//! plane wants another try. So an error is always 2, and a problem that was found is never an error.

use std::process::ExitCode;

/// What a verb that could look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing to act on.
    Fine,
    /// Something to act on; it has been printed.
    FoundProblem,
    /// The code of the command that ran in our place.
    Code(u8),
}

impl Outcome {
    /// `FoundProblem` where there is one.
    pub(crate) const fn problem_if(found: bool) -> Self {
        if found { Self::FoundProblem } else { Self::Fine }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Fine => 0,
            Outcome::FoundProblem => 1,
            Outcome::Code(code) => code,
        })
    }
}

/// Exit code of a verb that could not look.
pub(crate) const COULD_NOT_LOOK: u8 = 2;
