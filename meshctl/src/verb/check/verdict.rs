//! What has come of a check, with a word on how or why.

/// Whether a claim holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It does; with a word on how.
    Holds(String),
    /// It does not, and the mesh works.
    Doubtful(String),
    /// It does not.
    Fails(String),
    /// It cannot be seen, and why.
    Unknown(String),
}

pub(super) fn holds(how: &str) -> Verdict {
    Verdict::Holds(how.to_owned())
}

/// Some names, and how many more.
pub(super) fn some(names: &[&str]) -> String {
    let shown: Vec<&str> = names.iter().copied().take(SHOWN).collect();
    let more = names.len().saturating_sub(shown.len());
    if more == 0 { shown.join(", ") } else { format!("{}, and {more} more", shown.join(", ")) }
}

const SHOWN: usize = 5;
