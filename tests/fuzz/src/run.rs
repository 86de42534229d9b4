//! A law without libFuzzer: replay, mutate, and make what breaks it small.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::MAX_LEN;
use crate::mutate::{Chance, mutate};

/// Holds `law` to every file of `corpus/<name>/` in `crate_dir`, then to mutations of them. Called by
/// [`law!`](crate::law).
///
/// # Panics
/// Where the law is broken, as the law panicked, after saying which input does it and where that was written; and if
/// there is no corpus.
pub fn explore(crate_dir: &str, name: &str, law: impl Fn(&[u8])) {
    let corpus = corpus(&Path::new(crate_dir).join("corpus").join(name));
    let inputs: Vec<Vec<u8>> = corpus.iter().map(|(_, bytes)| bytes.clone()).collect();
    for (file, bytes) in &corpus {
        hold(&law, bytes, || println!("the law `{name}` is broken by {}", file.display()));
    }

    let budget = Budget::of_environment();
    let mut chance = Chance::new(budget.seed);
    let began = Instant::now();
    let mut rounds = 0_u64;
    while budget.lasts(rounds, began.elapsed()) {
        let input = mutate(&inputs, &mut chance, MAX_LEN);
        hold(&law, &input, || {
            let least = smallest(&law, input.clone());
            let file = write(crate_dir, name, &least);
            println!(
                "the law `{name}` is broken by {} bytes, b\"{}\"; they are in {}. Once the cause is fixed, move the \
                 file into corpus/{name}/",
                least.len(),
                least.escape_ascii(),
                file.display()
            );
        });
        rounds += 1;
    }
    println!("the law `{name}` held for {} files and {rounds} mutations", corpus.len());
}

/// How long to go on.
struct Budget {
    rounds: u64,
    time: Duration,
    seed: u64,
}

impl Budget {
    fn of_environment() -> Self {
        let seconds: Option<u64> =
            std::env::var("WEFT_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
        match seconds {
            Some(seconds) => {
                let seed = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_nanos().into());
                Self { rounds: u64::MAX, time: Duration::from_secs(seconds), seed }
            }
            None => Self { rounds: ROUNDS, time: AT_MOST, seed: SEED },
        }
    }

    fn lasts(&self, rounds: u64, elapsed: Duration) -> bool {
        rounds < self.rounds && elapsed < self.time
    }
}

fn hold(law: &impl Fn(&[u8]), bytes: &[u8], broken: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| law(bytes))) {
        broken();
        resume_unwind(panic);
    }
}

/// Takes pieces out for as long as the law stays broken.
fn smallest(law: &impl Fn(&[u8]), mut input: Vec<u8>) -> Vec<u8> {
    let breaks = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| law(input))).is_err();
    let mut piece = input.len().div_ceil(2);
    let mut tries = 0;
    while piece > 0 {
        let mut at = 0;
        while at < input.len() && tries < SMALLER_TRIES {
            let mut without = input.clone();
            without.drain(at..(at + piece).min(input.len()));
            tries += 1;
            if breaks(&without) {
                input = without;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    input
}

fn write(crate_dir: &str, name: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(crate_dir).join("corpus").join("finds");
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
    });
    let file = folder.join(format!("{name}-{hash:016x}"));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, input));
    if let Err(error) = written {
        println!("{}: {error}", file.display());
    }
    file
}

/// The corpus in the order of its names.
fn corpus(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty: give it one input that is right", folder.display());
    files.into_iter().map(|file| (file.clone(), fs::read(&file).expect("a file of ours"))).collect()
}

/// Mutations in an ordinary run of the tests, and the longest that they take.
const ROUNDS: u64 = 10_000;
const AT_MOST: Duration = Duration::from_secs(1);
const SEED: u64 = 0x7765_6674;
const SMALLER_TRIES: u32 = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_law_is_made_as_small_as_it_can_be() {
        let law = |bytes: &[u8]| assert!(!bytes.windows(2).any(|two| two == b"%0"));
        assert_eq!(smallest(&law, b"GET /a/b/c%00/d HTTP/1.1\r\nhost: a\r\n\r\n".to_vec()), b"%0");
    }

    #[test]
    fn a_law_is_held_to_the_corpus() {
        let folder = std::env::temp_dir().join(format!("weft-fuzz-{}", std::process::id()));
        fs::create_dir_all(folder.join("corpus/even")).unwrap();
        fs::write(folder.join("corpus/even/one"), [3]).unwrap();
        let law = |bytes: &[u8]| assert!(bytes.first().is_none_or(|byte| byte % 2 == 0));
        let broken = catch_unwind(AssertUnwindSafe(|| explore(folder.to_str().unwrap(), "even", law)));
        fs::remove_dir_all(&folder).unwrap();
        assert!(broken.is_err());
    }
}
