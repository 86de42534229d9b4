//! What was decided in a run, and when: two runs of one seed have the same.
//!
//! It holds decisions and no bytes: keys and serial numbers are drawn by the machine, and differ each time.

use std::collections::VecDeque;
use std::time::Duration;

/// A hash of every decision, and the last of them in words.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    hash: u64,
    len: usize,
    tail: VecDeque<String>,
    /// Whether every line is printed: somebody looks at one run.
    told: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Self { hash: fnv(b""), len: 0, tail: VecDeque::new(), told: std::env::var_os("SEED").is_some() }
    }
}

impl Trace {
    pub(crate) fn note(&mut self, at: Duration, said: impl FnOnce() -> String) {
        let line = format!("{:>7} {}", at.as_millis(), said());
        self.hash = line.bytes().fold(self.hash, fold);
        self.len += 1;
        if self.told {
            println!("{line}");
        }
        if self.tail.len() >= TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }
}

/// FNV-1a, the same everywhere.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().copied().fold(0xcbf2_9ce4_8422_2325, fold)
}

fn fold(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

const TAIL: usize = 60;
