//! Laws over whatever a peer, a file or a person can send.
//!
//! A target is a test beside the parser that it is about, so it sees what the parser's own tests see:
//!
//! ```no_run
//! // In a test of the crate; its corpus lies in `corpus/lengths/` beside the crate's `src/`.
//! weft_fuzz::law!("lengths", |bytes| {
//!     let text = String::from_utf8_lossy(bytes);
//!     assert!(text.trim().len() <= text.len(), "trimming makes nothing longer");
//! });
//! ```
//!
//! The same law runs in three ways. `cargo test`, on stable: every file of the corpus, then a bounded number of
//! mutations of them from a fixed start, so that a run says the same twice. `WEFT_FUZZ_SECONDS=60 cargo test`: that
//! long, from a start of its own. `make fuzz`: under libFuzzer, which sees the branches that an input takes, where
//! a nightly toolchain is there.
//!
//! Why own mutations on stable: an engine that draws bytes uniformly does not get past the first byte of most
//! parsers. Cutting up, splicing and repeating what is nearly right does.
//!
//! What is found is a file: once the cause is fixed it goes into the corpus, and is a test from then on.

mod mutate;
mod run;

pub use run::explore;

#[cfg(fuzzing)]
pub use bolero;

/// Holds a law (`Fn(&[u8])`, which panics where it is broken) to the corpus `corpus/<name>/` of the calling crate and
/// to what can be made of it.
#[cfg(not(fuzzing))]
#[macro_export]
macro_rules! law {
    ($name:literal, $law:expr) => {
        $crate::explore(::core::env!("CARGO_MANIFEST_DIR"), $name, $law)
    };
}

/// Holds a law to what libFuzzer makes of the corpus that `make fuzz` hands to it.
#[cfg(fuzzing)]
#[macro_export]
macro_rules! law {
    ($name:literal, $law:expr) => {{
        let law: &dyn Fn(&[u8]) = &$law;
        let law = ::std::panic::AssertUnwindSafe(law);
        $crate::bolero::check!().with_max_len($crate::MAX_LEN).for_each(move |bytes: &[u8]| {
            let law = &law;
            (law.0)(bytes)
        })
    }};
}

/// Most bytes an input has: more than every bound on what is looked at of an input at once.
pub const MAX_LEN: usize = 20 * 1024;
