//! How many files may be open. Each proxy's stream is one, and what the system gives a process at first, 1024 on most, is a
//! small mesh.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks the system for all that it would give.
pub fn as_many_as_permitted() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MOST).min(MOST).max(current.unwrap_or(0));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        tracing::warn!(%error, ?current, "no more files may be opened than at first; every proxy needs one");
    }
}

/// More than any machine holds connections; the kernel keeps a table of this length.
const MOST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_permitted_is_taken() {
        as_many_as_permitted();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert!(current.is_none() || current >= maximum.map(|most| most.min(MOST)));
    }
}
