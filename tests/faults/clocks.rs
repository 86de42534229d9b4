//! Sidecars whose clocks are wrong, or are set while they work: real processes under libfaketime, which answers their
//! questions for the time of day (the monotonic clock goes on). Where it is not installed, this says so and passes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use weft_tests::call::{self, Client, Form};
use weft_tests::figures;
use weft_tests::machine::Machine;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;

use crate::load::{API, Load, none_failed};

const TEST: &str = "sidecars_whose_clocks_are_wrong";

/// Seconds by which the caller's and the server's clocks are off.
const OFF: [(i64, i64); 6] = [(300, 0), (-300, 0), (0, 300), (0, -300), (300, -300), (-300, 300)];

/// What a clock says instead of the truth; it may be set at any time.
struct Clock {
    file: PathBuf,
}

impl Clock {
    fn off_by(folder: &Path, name: &str, seconds: i64) -> Self {
        let clock = Self { file: folder.join(format!("{name}.clock")) };
        clock.set(seconds);
        clock
    }

    /// Sets it: a step, as of a machine that has just heard what time it is.
    fn set(&self, seconds: i64) {
        // In one step, or somebody would read half of it.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}s\n")).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    /// The words of a command line behind which a process asks this clock. `None` where there is no libfaketime.
    fn words(&self) -> Option<String> {
        let library = std::fs::read_dir("/usr/lib")
            .ok()?
            .flatten()
            .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
            .find(|library| library.exists());
        let Some(library) = library else {
            println!("skipped: {TEST}: libfaketime is not installed (Debian: faketime)");
            return None;
        };
        Some(format!(
            "env LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1",
            library.display(),
            self.file.display()
        ))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_minutes_off_or_a_step_of_the_clock_costs_no_request_and_an_end_is_an_end() {
    let mesh = Mesh::start(API).await;
    let origin = Origin::start("api-1").await;
    let (mut answered, mut once) = (0, 0);
    for (nth, (caller, server)) in OFF.into_iter().enumerate() {
        let web_clock = Clock::off_by(mesh.scratch(), &format!("web-{nth}"), caller);
        let api_clock = Clock::off_by(mesh.scratch(), &format!("api-{nth}"), server);
        let (Some(web_words), Some(api_words)) = (web_clock.words(), api_clock.words()) else { return };
        let api = mesh.beside("shop/api-1").http(origin.addr);
        let Some(mut api) = Machine::start(api, &api_words, TEST).await else { return };
        let web =
            Machine::start(mesh.beside("shop/web"), &web_words, TEST).await.expect("it was there before");
        web.ready().await;
        mesh.serves("shop/api", 80, 1).await;
        let load = Load::start(web.outbound, 4);
        load.past(200).await;
        // Both hear what time it is, and then that they were right before.
        for (caller, server) in [(0, 0), (caller, server)] {
            web_clock.set(caller);
            api_clock.set(server);
            load.past(200).await;
        }
        if nth == 0 {
            // A day and an hour later, by the server's clock alone, the caller's certificate has ended. Who is known goes on;
            // nobody comes in with it any more.
            api_clock.set(25 * 3600);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let late = mesh.beside("shop/late").start().await;
            let mut late = Client::connect(late.outbound, Form::Absolute).await;
            let refused = late.send(call::get("http://api/late")).await;
            // In TLS 1.3 a caller thinks that it is in before it has been judged.
            assert!(["connect_failed", "upstream_reset"].contains(&refused.refusal()), "{refused:?}");
            assert!(origin.seen().iter().all(|seen| seen.path != "/late"));
            load.past(50).await;
            api_clock.set(server);
        }
        let told = load.end().await;
        once += none_failed(&told, &[&origin]);
        answered += told.len();
        origin.forget();
        api.terminate();
        assert_eq!(api.ended().await, 0);
    }
    let ours = format!(
        "{} pairs of clocks five minutes off, set right and wrong again under load: 0 of {answered} requests failed; a \
         certificate opens nothing 1 s after its end",
        OFF.len()
    );
    figures::report(29, ours, true);
    figures::report(16, format!("{once} that are not idempotent, each arrived once"), true);
}
