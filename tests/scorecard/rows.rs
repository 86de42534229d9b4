//! What the scorecard promises, row by row: the goal, what is known of others, and the commands that prove it.
//!
//! Figures of others were measured on one machine with their usual settings and nothing hardened, or are what their
//! own documents and sources say; they show where the bar is, not who is worse.

/// One promise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// 1 to 15.
    pub(crate) number: u8,
    /// In a few words.
    pub(crate) name: &'static str,
    /// What makes it green.
    pub(crate) goal: &'static str,
    /// What is known of others.
    pub(crate) peers: &'static str,
    /// What proves it. Each prints figures for this row.
    pub(crate) commands: &'static [&'static str],
}

const H1: &str = "cargo test -p weft-tests --test h1 -- --show-output";
const H2: &str = "cargo test -p weft-tests --test h2 -- --skip every_flood --show-output";
/// By itself, since what else runs on the machine would be a flood too; and with the program as it is shipped, since what it
/// costs is the question.
const FLOODS: &str = "make floods";
const TRESPASS: &str = "cargo test -p weft-tests --test trespass -- --show-output";

/// All of them.
pub(crate) const ROWS: [Row; 15] = [
    Row {
        number: 1,
        name: "HTTP/2 conformance through the proxy",
        goal: "h2spec 146 of 146 in 20 of 20 runs; strict 147 of 147",
        peers: "HAProxy 2.6: 146; hyper: 142–146; Envoy 1.40: 129–131; nginx 1.22: 121",
        commands: &[H2, "make h2spec RUNS=20"],
    },
    Row {
        number: 2,
        name: "HTTP/1 smuggling and ambiguity",
        goal: "at least 300 vectors on every way (h1→h1, h1→h2→h1, mTLS), 0 must-reject passed on",
        peers: "of 80: Envoy 12, nginx 16, hyper 20, HAProxy 26 passed on",
        commands: &[H1],
    },
    Row {
        number: 3,
        name: "What is passed on is read alike",
        goal: "at least 6 back ends read the forwarded bytes of every accepted vector: 0 disagreements",
        peers: "HTTP Garden: 25 bugs of this kind in other proxies",
        commands: &[H1],
    },
    Row {
        number: 4,
        name: "From HTTP/2 to HTTP/1",
        goal: "at least 60 vectors, 0 passed on",
        peers: "nginx answers 200 to all 5 connection-specific fields",
        commands: &[H2],
    },
    Row {
        number: 5,
        name: "Floods of HTTP/2 frames",
        goal: "16 floods: ended in 1 s, at most 1 MiB and 0.2 core an attacker, a bystander's p99 at most 1.5 times",
        peers: "hyper alone leaves PING, SETTINGS and PRIORITY open; HAProxy 7 of 10",
        commands: &[FLOODS],
    },
    Row {
        number: 6,
        name: "Slow clients",
        goal: "5 000 slow heads: all closed within 15 s, a bystander sees 0 errors",
        peers: "Envoy, hyper and HAProxy as they come: open after 100 s; nginx: 60 s",
        commands: &[H1],
    },
    Row {
        number: 7,
        name: "Spellings of a path",
        goal: "255 escapes and at least 100 crafted paths on every kind of policy: 0 get past",
        peers: "Istio tests about 345 paths; three CVEs about paths in 2026",
        commands: &[TRESPASS],
    },
    Row {
        number: 8,
        name: "Authorization against a second evaluator",
        goal: "at least 10 000 generated pairs of policies and requests: 0 differences, 0 allowed on what is missing",
        peers: "none is known",
        commands: &["cargo test -p weft-policy --lib -- authorize --show-output"],
    },
    Row {
        number: 9,
        name: "Forged certificates, requests and tokens",
        goal: "at least 60 cases, 0 accepted; every rejection counted under a reason of its own",
        peers: "ztunnel: about 6 tests; Istio's CA: about 20",
        commands: &["cargo test -p weft-tests --test identity -- --show-output"],
    },
    Row {
        number: 10,
        name: "Loops, the admin port, requests to the proxy itself",
        goal: "at least 60 cells, each as written",
        peers: "ztunnel: 35; Linkerd's inbound loop test is ignored",
        commands: &[TRESPASS],
    },
    Row {
        number: 11,
        name: "Headers that pose",
        goal: "at least 40 variants, 0 reach the application",
        peers: "Envoy and HAProxy pass l5d-client-id on, as a field like any other",
        commands: &[TRESPASS],
    },
    Row {
        number: 12,
        name: "Fuzzing",
        goal: "at least 15 targets with laws, 10 CPU-hours each, 0 broken; the corpus replayed by cargo test, 90 % of the \
               lines that read covered by it",
        peers: "linkerd2-proxy 7 targets, rustls 7, h2 3, ztunnel 2, hyper 0, Envoy about 60",
        commands: &["tests/fuzz/run --random 10"],
    },
    Row {
        number: 13,
        name: "Panics and unsafe code",
        goal: "0 panics in whatever the suites above and these print; 0 lines of unsafe",
        peers: "not published",
        commands: &[
            "cargo test -p weft-tests --test it -- --show-output",
            "cargo test -p weft-proxy --lib -- observe::panics --show-output",
        ],
    },
    Row {
        number: 14,
        name: "Amplification",
        goal: "over all vectors, per byte sent: less than 100 times the memory and the CPU of a plain request",
        peers: "from 100 times on, Envoy handles it as a vulnerability",
        commands: &["cargo test -p weft-tests --test amplification -- --show-output"],
    },
    Row {
        number: 15,
        name: "Deterministic simulation",
        goal: "at least 25 scenarios, 1 000 seeds each (50 in `make test`): 0 violations, every repeated seed the same run",
        peers: "no mesh is known to have one",
        commands: &["make sim"],
    },
];
