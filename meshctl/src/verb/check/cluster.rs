//! `meshctl check` without files: a cluster, check by check, each with what to do about it.

use serde::Serialize;

use super::catalogue::Check;
use super::facts::Facts;
use super::judge::judge;
use super::verdict::Verdict;
use crate::cluster::Which;
use crate::outcome::Outcome;
use crate::output::{Output, Page, Tell, Tone};

/// Checks the cluster, before an installation or after.
///
/// # Errors
/// If there is no cluster to ask. One that does not answer is a check that fails.
pub(super) async fn run(which: &Which, before: bool, output: &Output) -> anyhow::Result<Outcome> {
    let cluster = which.connect().await?;
    let facts = if before { Facts::before(&cluster).await } else { Facts::all(&cluster).await };
    let checks = judge(&facts, before).into_iter().map(|(check, verdict)| Line::of(check, verdict)).collect();
    let answer = Answer { cluster: cluster.server.clone(), namespace: cluster.namespace.clone(), checks };
    output.print(&answer)?;
    Ok(Outcome::problem_if(answer.checks.iter().any(|line| line.result == "fails")))
}

#[derive(Debug, Serialize)]
struct Answer {
    /// The API server's address.
    cluster: String,
    /// Of the mesh.
    namespace: String,
    checks: Vec<Line>,
}

/// One check.
#[derive(Debug, Serialize)]
struct Line {
    id: &'static str,
    claim: &'static str,
    /// `holds`, `doubtful`, `fails`, `unknown`.
    result: &'static str,
    /// How, or why not.
    found: String,
    /// Empty where it holds.
    remedy: &'static str,
    link: String,
}

impl Line {
    fn of(check: &Check, verdict: Verdict) -> Self {
        let (result, found) = match verdict {
            Verdict::Holds(how) => ("holds", how),
            Verdict::Doubtful(why) => ("doubtful", why),
            Verdict::Fails(why) => ("fails", why),
            Verdict::Unknown(why) => ("unknown", why),
        };
        let remedy = if result == "holds" || result == "unknown" { "" } else { check.remedy };
        Self { id: check.id, claim: check.claim, result, found, remedy, link: check.link() }
    }
}

impl Tell for Answer {
    fn tell(&self, page: &mut Page) {
        page.toned(Tone::Faint, format!("{}, namespace {}", self.cluster, self.namespace));
        page.gap();
        for line in &self.checks {
            let (tone, mark) = match line.result {
                "holds" => (Tone::Good, "ok  "),
                "doubtful" => (Tone::Warn, "warn"),
                "fails" => (Tone::Bad, "FAIL"),
                _ => (Tone::Faint, "?   "),
            };
            let mark = page.paint(tone, mark);
            let found = page.paint(Tone::Faint, one_line(&line.found));
            page.line(format!("{mark}  {}: {found}", line.claim));
            if !line.remedy.is_empty() {
                page.line(format!("      {}", line.remedy));
                page.toned(Tone::Faint, format!("      {} ({})", line.id, line.link));
            }
        }
        page.gap();
        let count = |result: &str| self.checks.iter().filter(|line| line.result == result).count();
        let tone = match (count("fails"), count("doubtful")) {
            (0, 0) => Tone::Good,
            (0, _) => Tone::Warn,
            _ => Tone::Bad,
        };
        let summary = format!(
            "{} hold, {} doubtful, {} fail, {} cannot be seen",
            count("holds"),
            count("doubtful"),
            count("fails"),
            count("unknown")
        );
        page.toned(tone, summary);
    }
}

/// What an API server says must not end its line, or write on the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
