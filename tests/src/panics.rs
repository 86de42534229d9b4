//! Panics that nobody sees: a task of the mesh that panics ends quietly, and the test beside it may well pass.
//!
//! From the first mesh of a test process on, every panic is looked at. One in a test or in this harness is an assertion,
//! and fails its test by itself; any other is a defect of the mesh, and [`none`] tells of it wherever a mesh or one of
//! its processes ends. Which test it happened in cannot be told, since workers serve on threads of their own: it names
//! the place in the code instead.

use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::{Mutex, Once, PoisonError};

/// Looks at panics from now on. Cheap to call again.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if let Some(place) = place(panic) {
                seen().push(format!("{place}: {}", panic.payload_as_str().unwrap_or("(no words)")));
            }
            before(panic);
        }));
    });
}

/// Asserts that the mesh has not panicked in this process.
///
/// # Panics
/// If it has; not while the test is failing already.
pub fn none() {
    let seen = seen().clone();
    assert!(seen.is_empty() || std::thread::panicking(), "the mesh has panicked: {}", seen.join("; "));
}

/// Asserts that a process has not panicked, by all that it has said.
///
/// # Panics
/// If it has; not while the test is failing already.
pub fn none_in(said: &str) {
    let found = said.lines().find(|line| line.contains("panicked at"));
    assert!(found.is_none() || std::thread::panicking(), "{}", found.unwrap_or_default());
}

/// Where the mesh panicked; `None` for an assertion of a test.
fn place(panic: &PanicHookInfo<'_>) -> Option<String> {
    let place = panic.location()?;
    let of_tests = ["tests/", "benches/"].iter().any(|folder| place.file().starts_with(folder))
        || place.file().ends_with("tests.rs");
    (!of_tests).then(|| place.to_string())
}

/// A panic while the lock is held leaves a list that is whole.
fn seen() -> std::sync::MutexGuard<'static, Vec<String>> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_beyond_the_tests_is_seen_on_whatever_thread_and_an_assertion_is_none() {
        watch();
        std::thread::spawn(|| panic!("an assertion of a test")).join().expect_err("it panics");
        none();
        let out_of_bounds = || bytes::Bytes::from_static(b"").slice(1..);
        std::thread::spawn(out_of_bounds).join().expect_err("it panics in the library");
        std::panic::catch_unwind(none).expect_err("nobody else has noticed");
    }

    #[test]
    fn a_panic_of_a_process_is_found_in_what_it_said() {
        none_in("weft-proxy: accepting\n");
        let said = "thread 'worker-0' panicked at proxy/src/worker.rs:1:1:\nnot so\n";
        std::panic::catch_unwind(|| none_in(said)).expect_err("it is found");
    }
}
