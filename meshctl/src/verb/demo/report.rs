//! What the demo has shown, and whether it is so.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::config::SPLIT;
use super::mesh::{Identities, Memory};
use super::tally::Tally;
use super::watch::Seen;
use crate::output::{Page, Table, Tell, Tone};

/// The report of `demo --once`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    /// From the command to the first answer through the whole mesh.
    ready_ms: u64,
    seconds: f64,
    requests: u64,
    failed: u64,
    /// Version → share of the answers.
    split: BTreeMap<String, f64>,
    /// Whether every request went over mutual TLS between the two identities, and nothing else is let in.
    mtls: bool,
    identities: Identities,
    /// Whether api's sidecar turned away a client without a certificate.
    plaintext_refused: bool,
    /// Tries that followed a failed one, unseen by the client.
    retried: u64,
    breaker: Breaker,
    p50_us: u64,
    p99_us: u64,
    memory: Memory,
    /// Every claim above that can be wrong.
    checks: Vec<Check>,
    /// The first few, in words.
    failures: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Breaker {
    /// How often one opened.
    opened: u64,
    open_now: u64,
}

/// One thing that has to be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    what: &'static str,
    holds: bool,
    seen: String,
}

impl Report {
    /// Puts together what was seen.
    pub(super) fn new(
        ready: Duration,
        lasted: Duration,
        tally: &Tally,
        seen: &Seen,
        identities: Identities,
        plaintext_refused: bool,
        memory: Memory,
    ) -> Self {
        let only_caller = tally.callers.keys().all(|caller| *caller == identities.caller);
        let as_written = identities.caller == WEB && identities.servers == [API];
        let mtls = only_caller && as_written && plaintext_refused && !tally.callers.is_empty();
        let micros = |share| u64::try_from(tally.quantile(share).as_micros()).unwrap_or(u64::MAX);
        let rounded = |share: f64| (share * 10_000.0).round() / 10_000.0;
        let versions =
            SPLIT.iter().map(|(version, _)| (*version).to_owned()).chain(tally.versions.keys().cloned());
        let mut report = Self {
            ready_ms: u64::try_from(ready.as_millis()).unwrap_or(u64::MAX),
            seconds: (lasted.as_secs_f64() * 10.0).round() / 10.0,
            requests: tally.requests,
            failed: tally.failed,
            split: versions.map(|version| (version.clone(), rounded(tally.share(&version)))).collect(),
            mtls,
            identities,
            plaintext_refused,
            retried: seen.retried,
            breaker: Breaker { opened: seen.opened, open_now: seen.open_now },
            p50_us: micros(0.5),
            p99_us: micros(0.99),
            memory,
            checks: Vec::new(),
            failures: tally.failures.clone(),
        };
        report.checks = report.checked();
        report
    }

    /// Whether everything holds.
    pub(super) fn is_as_it_should_be(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    fn checked(&self) -> Vec<Check> {
        let off = |(version, wanted): &(&str, f64)| {
            let share = self.split.get(*version).copied().unwrap_or(0.0);
            (share - wanted).abs()
        };
        let split: Vec<String> =
            self.split.iter().map(|(version, share)| format!("{version} {:.1} %", share * 100.0)).collect();
        let Identities { caller, servers } = &self.identities;
        let refused = if self.plaintext_refused { "plaintext refused" } else { "plaintext let in" };
        let check = |what, holds, seen| Check { what, holds, seen };
        vec![
            check("there was traffic", self.requests >= 100, format!("{} requests", self.requests)),
            check("no request failed", self.failed == 0, format!("{} failed", self.failed)),
            check(
                "the split is as written, give or take 5 points",
                self.requests > 0 && SPLIT.iter().all(|wanted| off(wanted) <= TOLERANCE),
                split.join(", "),
            ),
            check(
                "both ends proved who they are, and nobody else gets in",
                self.mtls,
                format!("{caller} → {}; {refused}", servers.join(", ")),
            ),
            check("failures were retried", self.retried > 0, format!("{} retries", self.retried)),
            check(
                "a circuit opened",
                self.breaker.opened > 0,
                format!("opened {} times", self.breaker.opened),
            ),
        ]
    }
}

impl Tell for Report {
    fn tell(&self, page: &mut Page) {
        let mut table = Table::of_words(&["", "", ""]);
        for check in &self.checks {
            let (tone, mark) = if check.holds { (Tone::Good, "✓") } else { (Tone::Bad, "✗") };
            table.row([
                (tone, mark.to_owned()),
                (Tone::Plain, check.what.to_owned()),
                (Tone::Faint, check.seen.clone()),
            ]);
        }
        page.table(&table);
        page.gap();
        let millis = |micros: u64| micros as f64 / 1000.0;
        page.line(format!(
            "ready in {} ms; {} requests in {} s; p50 {:.1} ms, p99 {:.1} ms",
            self.ready_ms,
            self.requests,
            self.seconds,
            millis(self.p50_us),
            millis(self.p99_us)
        ));
        let Memory { control_plane_kb, proxy_kb } = self.memory;
        page.line(format!(
            "memory: control plane {:.1} MB, the largest sidecar {:.1} MB",
            control_plane_kb as f64 / 1024.0,
            proxy_kb as f64 / 1024.0
        ));
        for failure in &self.failures {
            page.toned(Tone::Bad, format!("failed: {failure}"));
        }
    }
}

/// Who calls, and who is called: what the manifests and the tokens say.
const WEB: &str = "spiffe://weft.local/ns/demo/sa/web";
const API: &str = "spiffe://weft.local/ns/demo/sa/api";
const TOLERANCE: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(v1: usize, v2: usize, caller: &str) -> Tally {
        let mut tally = Tally::default();
        let versions = std::iter::repeat_n("v1", v1).chain(std::iter::repeat_n("v2", v2));
        versions.for_each(|version| tally.answered(version, caller, Duration::from_millis(2)));
        tally
    }

    fn report(tally: &Tally, seen: Seen, plaintext_refused: bool) -> Report {
        let identities = Identities { caller: WEB.into(), servers: vec![API.into()] };
        let memory = Memory { control_plane_kb: 1024, proxy_kb: 1024 };
        let second = Duration::from_secs(1);
        Report::new(second, second, tally, &seen, identities, plaintext_refused, memory)
    }

    const GOOD: Seen = Seen { retried: 3, opened: 1, open_now: 0 };

    #[test]
    fn whatever_is_not_as_shown_fails_the_report() {
        let mut failing = tally(900, 100, WEB);
        failing.failed("503".into(), Duration::ZERO);
        for (claim, report, holds) in [
            ("all is well", report(&tally(900, 100, WEB), GOOD, true), true),
            ("4 points off", report(&tally(860, 140, WEB), GOOD, true), true),
            ("6 points off", report(&tally(840, 160, WEB), GOOD, true), false),
            ("a request failed", report(&failing, GOOD, true), false),
            (
                "another caller",
                report(&tally(900, 100, "spiffe://weft.local/ns/demo/sa/x"), GOOD, true),
                false,
            ),
            ("no caller", report(&tally(900, 100, ""), GOOD, true), false),
            ("plaintext gets in", report(&tally(900, 100, WEB), GOOD, false), false),
            ("nothing retried", report(&tally(900, 100, WEB), Seen { retried: 0, ..GOOD }, true), false),
            ("no circuit opened", report(&tally(900, 100, WEB), Seen { opened: 0, ..GOOD }, true), false),
            ("no traffic", report(&Tally::default(), GOOD, true), false),
        ] {
            assert_eq!(report.is_as_it_should_be(), holds, "{claim}");
        }
    }

    #[test]
    fn scripts_find_every_number_by_the_name_they_were_promised() {
        let json = serde_json::to_value(report(&tally(900, 100, WEB), GOOD, true)).unwrap();
        for name in ["ready_ms", "requests", "failed", "retried", "p50_us", "p99_us"] {
            assert!(json[name].is_u64(), "{name}");
        }
        assert_eq!(json["split"], serde_json::json!({"v1": 0.9, "v2": 0.1}));
        assert_eq!(json["mtls"], true);
        assert_eq!(json["breaker"]["opened"], 1);
        assert_eq!(json["identities"]["caller"], WEB);
    }
}
