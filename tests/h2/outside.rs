//! h2spec, a conformance suite that nobody here wrote (`make h2spec` builds it, and says where it is).

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;
use weft_tests::figures;
use weft_tests::origin::Origin;

use crate::lab::Lab;

/// The last line of h2spec that counts.
fn tally(printed: &str) -> Option<(u32, u32)> {
    let line = printed.lines().rev().find(|line| line.contains(" tests, "))?;
    let mut numbers = line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2spec_passes_whole_in_every_run_on_every_way() {
    let Some(h2spec) = std::env::var_os("WEFT_H2SPEC").map(PathBuf::from) else {
        println!("skipped: h2spec is not built (make h2spec)");
        return;
    };
    let runs: usize = std::env::var("WEFT_H2SPEC_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1);
    let (mut passed_runs, mut all_runs, mut cases) = (0, 0, 0);
    // A port that speaks HTTP/1 too answers a preface that is none in HTTP/1, which h2spec does not understand.
    let origin = Origin::start("api-1").await;
    let lab = Lab::before(origin.addr, "h2c").await;
    for (way, addr) in lab.ways() {
        for run in 1..=runs {
            let mut command = Command::new(&h2spec);
            command.args(["--strict", "--port", &addr.port().to_string()]).stdin(Stdio::null());
            let done = command.output().await.expect("h2spec can be started");
            let printed = String::from_utf8_lossy(&done.stdout);
            let (total, passed) =
                tally(&printed).unwrap_or_else(|| panic!("h2spec did not count: {printed}"));
            println!("h2spec --strict, {way}, run {run}: {passed}/{total}");
            if passed < total {
                let failures = printed.split_once("Failures:").map_or(&*printed, |(_, failures)| failures);
                println!("{failures}");
            }
            (passed_runs, all_runs, cases) =
                (passed_runs + usize::from(passed == total), all_runs + 1, total);
        }
    }
    let told = format!("h2spec --strict {cases}/{cases} in {passed_runs} of {all_runs} runs, on 2 ways");
    figures::report(1, told, passed_runs == all_runs);
    assert_eq!(passed_runs, all_runs, "runs that passed whole");
}
