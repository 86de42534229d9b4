//! No spelling of a path gets past a policy: whatever a server finds in what a proxy sends on, it is nothing that the
//! policy keeps the caller from (catalogue row 45, scorecard row 7).

use std::collections::BTreeSet;

use weft_policy::canonical;
use weft_policy::draw::Draw;
use weft_tests::figures::report;

use crate::policies;
use crate::servers::{Resource, Server};
use crate::spellings::{CRAFTED, escapes};

/// What was tried.
#[derive(Default)]
struct Tried {
    paths: usize,
    refused: usize,
    /// Readings of what goes on, each by one server under one policy.
    readings: usize,
    bypasses: Vec<String>,
    refused_needlessly: Vec<String>,
}

impl Tried {
    /// Every path under every policy, with every server.
    fn all(paths: impl IntoIterator<Item = String>) -> Self {
        let (servers, policies) = (Server::all(), policies::all());
        let mut tried = Self::default();
        for path in paths {
            tried.paths += 1;
            let Ok(form) = canonical::path(&path) else {
                tried.refused += 1;
                continue;
            };
            let passed: Vec<_> = policies.iter().map(|policy| policy.passes(&form)).collect();
            let ambiguous = canonical::is_ambiguous(&form);
            if ambiguous && !passed.contains(&true) {
                continue; // refused by all of them: no server finds anything
            }
            let found: BTreeSet<Resource> = servers.iter().map(|server| server.finds(&form)).collect();
            if !ambiguous && found.len() > 1 {
                tried
                    .bypasses
                    .push(format!("{path} is sent on as {form}, which servers read as {}", shown(&found)));
            }
            tried.readings += passed.iter().filter(|passed| **passed).count() * servers.len();
            for (policy, passed) in policies.iter().zip(passed) {
                let denied = found.iter().find(|found| (policy.denies)(found));
                if let (true, Some(denied)) = (passed, denied) {
                    let denied = shown([denied]);
                    tried
                        .bypasses
                        .push(format!("{}: {path} is sent on as {form} and read as {denied}", policy.name));
                }
                let needless = !passed && denied.is_none() && policy.is_exact && !ambiguous;
                if needless {
                    tried.refused_needlessly.push(format!("{}: {path}, as {form}", policy.name));
                }
            }
        }
        tried
    }

    #[track_caller]
    fn assert_no_bypass(&self) {
        let first = |list: &[String]| list.iter().take(30).cloned().collect::<Vec<_>>().join("\n");
        let all = (self.bypasses.len(), self.refused_needlessly.len());
        assert_eq!(
            all,
            (0, 0),
            "{}\nneedlessly:\n{}",
            first(&self.bypasses),
            first(&self.refused_needlessly)
        );
    }
}

fn shown<'r>(found: impl IntoIterator<Item = &'r Resource>) -> String {
    let one = |found: &Resource| String::from_utf8_lossy(&found.join(&b'|')).into_owned();
    found.into_iter().map(one).collect::<Vec<_>>().join("  ")
}

#[test]
fn no_escape_and_no_crafted_path_names_to_any_server_what_a_policy_denies() {
    let tried = Tried::all(escapes().into_iter().chain(CRAFTED.iter().map(|path| (*path).to_owned())));
    tried.assert_no_bypass();
    let ours = format!(
        "{} paths (256 escapes in 2 cases and 12 places, {} crafted; {} are no paths), 10 policies, 768 servers: {} \
         readings of what goes on, 0 bypasses",
        tried.paths,
        CRAFTED.len(),
        tried.refused,
        tried.readings
    );
    report(7, ours, true);
}

#[test]
fn nor_does_any_path_made_of_odd_pieces() {
    let pieces = [
        "/", "/", "/", "/", "public", "admin", "secret", "joe", "x", ".", "..", "..", "%2e", "%2f", "%5C",
        "\\", ";", ";x=1", "%25", "2e", "2f", "%3b", "%3F", "%20", "%61", "%40", "@", "%c0%ae", "%c0%af",
        "é", "%c3%a9", "%e9", "%23",
    ];
    let mut dice = Draw::from_seed(20_261_121);
    let mut up_to = |most: usize| usize::try_from(dice.below(most as u64)).expect("it is less than a usize");
    let paths: Vec<String> = (0..6000)
        .map(|_| {
            (0..=up_to(8))
                .map(|_| pieces[up_to(pieces.len())])
                .fold("/".to_owned(), |path, piece| path + piece)
        })
        .collect();
    let tried = Tried::all(paths);
    tried.assert_no_bypass();
    let (paths, readings) = (tried.paths, tried.readings);
    report(
        7,
        format!(
            "{paths} random paths, 10 policies, 768 servers: {readings} readings of what goes on, 0 bypasses"
        ),
        true,
    );
}
