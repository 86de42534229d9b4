//! One command, run to its end or to its bound, and everything that it printed.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A command that was run.
#[derive(Debug)]
pub(crate) struct Suite {
    /// Standard output and standard error.
    pub(crate) printed: String,
    /// How it ended.
    pub(crate) ended: Ended,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With 0.
    Well,
    /// With something else.
    Badly,
    /// Not within [`BOUND`].
    TooLate,
    /// It could not be started.
    NotThere,
}

impl Ended {
    /// Why a row was not reached.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Well => "it tells no figure",
            Self::Badly => "it failed",
            Self::TooLate => "it took longer than two hours",
            Self::NotThere => "it cannot be started",
        }
    }
}

impl Suite {
    /// Runs a line of words in the workspace.
    pub(crate) fn run(line: &str) -> Self {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        match child {
            Ok(child) => Self::wait(child),
            Err(error) => Self { printed: error.to_string(), ended: Ended::NotThere },
        }
    }

    fn wait(mut child: Child) -> Self {
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (out, err) = (thread::spawn(move || text(out)), thread::spawn(move || text(err)));
        let began = Instant::now();
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => break Ended::Well,
                Ok(Some(_)) | Err(_) => break Ended::Badly,
                Ok(None) if began.elapsed() > BOUND => {
                    // What it has started itself ends with its pipes.
                    let _ = child.kill();
                    let _ = child.wait();
                    break Ended::TooLate;
                }
                Ok(None) => thread::sleep(Duration::from_millis(200)),
            }
        };
        let printed = [out, err].map(|reader| reader.join().unwrap_or_default()).concat();
        Self { printed, ended }
    }

    /// The tests of it that failed.
    pub(crate) fn failed(&self) -> Vec<&str> {
        let names =
            self.printed.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        names.collect()
    }

    /// Panics of the mesh in what was printed: an assertion of a test fails its suite by itself.
    pub(crate) fn panics(&self) -> Vec<&str> {
        let of_the_mesh = |line: &&str| {
            let place = line.split_once("panicked at ").map_or("", |(_, place)| place);
            let of_tests =
                place.starts_with("tests/") || place.contains("tests.rs") || place.contains("fuzz.rs");
            !place.is_empty() && !of_tests
        };
        self.printed.lines().filter(of_the_mesh).collect()
    }
}

fn text(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // A pipe that breaks ends what there is to read.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The longest that one suite may take, built included: a thousand seeds of every simulated fault, on a machine that has
/// something else to do.
const BOUND: Duration = Duration::from_secs(2 * 60 * 60);
