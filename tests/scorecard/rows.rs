//! What the scorecard promises, row by row: the goal, what is known of others, and the commands that prove it.
//!
//! Figures of others were measured on one machine with their usual settings and nothing hardened, or are what their
//! own documents and sources say; they show where the bar is, not who is worse.

/// One promise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// 1 to 32.
    pub(crate) number: u8,
    /// In a few words.
    pub(crate) name: &'static str,
    /// What makes it green.
    pub(crate) goal: &'static str,
    /// What is known of others.
    pub(crate) peers: &'static str,
    /// What proves it. Each prints figures for this row.
    pub(crate) commands: &'static [&'static str],
    /// Whether it takes longer than everybody would wait: it runs only where it is named.
    pub(crate) is_long: bool,
    /// What is missing, where nothing proves it yet.
    pub(crate) lacks: &'static str,
}

impl Row {
    /// What is the same for most of them.
    const PLAIN: Self =
        Self { number: 0, name: "", goal: "", peers: "", commands: &[], is_long: false, lacks: "" };
}

const H1: &str = "cargo test -p weft-tests --test h1 -- --show-output";
const H2: &str = "cargo test -p weft-tests --test h2 -- --skip every_flood --show-output";
/// By itself, since what else runs on the machine would be a flood too; and with the program as it is shipped, since what it
/// costs is the question.
const FLOODS: &str = "make floods";
const FAULTS: &str = "cargo test -p weft-tests --test faults -- --show-output";
const IT: &str = "cargo test -p weft-tests --test it -- --show-output";
const CUSTODY: &str = "cargo test -p weft-control-plane --lib -- custody journal --show-output";
const TRESPASS: &str = "cargo test -p weft-tests --test trespass -- --show-output";

/// All of them.
pub(crate) const ROWS: [Row; 32] = [
    Row {
        number: 1,
        name: "HTTP/2 conformance through the proxy",
        goal: "h2spec 146 of 146 in 20 of 20 runs; strict 147 of 147",
        peers: "HAProxy 2.6: 146; hyper: 142–146; Envoy 1.40: 129–131; nginx 1.22: 121",
        commands: &[H2, "make h2spec RUNS=20"],
        ..Row::PLAIN
    },
    Row {
        number: 2,
        name: "HTTP/1 smuggling and ambiguity",
        goal: "at least 300 vectors on every way (h1→h1, h1→h2→h1, mTLS), 0 must-reject passed on",
        peers: "of 80: Envoy 12, nginx 16, hyper 20, HAProxy 26 passed on",
        commands: &[H1],
        ..Row::PLAIN
    },
    Row {
        number: 3,
        name: "What is passed on is read alike",
        goal: "at least 6 back ends read the forwarded bytes of every accepted vector: 0 disagreements",
        peers: "HTTP Garden: 25 bugs of this kind in other proxies",
        commands: &[H1],
        ..Row::PLAIN
    },
    Row {
        number: 4,
        name: "From HTTP/2 to HTTP/1",
        goal: "at least 60 vectors, 0 passed on",
        peers: "nginx answers 200 to all 5 connection-specific fields",
        commands: &[H2],
        ..Row::PLAIN
    },
    Row {
        number: 5,
        name: "Floods of HTTP/2 frames",
        goal: "16 floods: ended in 1 s, at most 1 MiB and 0.2 core an attacker, a bystander's p99 at most 1.5 times",
        peers: "hyper alone leaves PING, SETTINGS and PRIORITY open; HAProxy 7 of 10",
        commands: &[FLOODS],
        ..Row::PLAIN
    },
    Row {
        number: 6,
        name: "Slow clients",
        goal: "5 000 slow heads: all closed within 15 s, a bystander sees 0 errors",
        peers: "Envoy, hyper and HAProxy as they come: open after 100 s; nginx: 60 s",
        commands: &[H1],
        ..Row::PLAIN
    },
    Row {
        number: 7,
        name: "Spellings of a path",
        goal: "255 escapes and at least 100 crafted paths on every kind of policy: 0 get past",
        peers: "Istio tests about 345 paths; three CVEs about paths in 2026",
        commands: &[TRESPASS],
        ..Row::PLAIN
    },
    Row {
        number: 8,
        name: "Authorization against a second evaluator",
        goal: "at least 10 000 generated pairs of policies and requests: 0 differences, 0 allowed on what is missing",
        peers: "none is known",
        commands: &["cargo test -p weft-policy --lib -- authorize --show-output"],
        ..Row::PLAIN
    },
    Row {
        number: 9,
        name: "Forged certificates, requests and tokens",
        goal: "at least 60 cases, 0 accepted; every rejection counted under a reason of its own",
        peers: "ztunnel: about 6 tests; Istio's CA: about 20",
        commands: &["cargo test -p weft-tests --test identity -- --show-output"],
        ..Row::PLAIN
    },
    Row {
        number: 10,
        name: "Loops, the admin port, requests to the proxy itself",
        goal: "at least 60 cells, each as written",
        peers: "ztunnel: 35; Linkerd's inbound loop test is ignored",
        commands: &[TRESPASS],
        ..Row::PLAIN
    },
    Row {
        number: 11,
        name: "Headers that pose",
        goal: "at least 40 variants, 0 reach the application",
        peers: "Envoy and HAProxy pass l5d-client-id on, as a field like any other",
        commands: &[TRESPASS],
        ..Row::PLAIN
    },
    Row {
        number: 12,
        name: "Fuzzing",
        goal: "at least 15 targets with laws, 10 CPU-hours each, 0 broken; the corpus replayed by cargo test, 90 % of the \
               lines that read covered by it",
        peers: "linkerd2-proxy 7 targets, rustls 7, h2 3, ztunnel 2, hyper 0, Envoy about 60",
        commands: &["tests/fuzz/run --random 10"],
        is_long: true,
        ..Row::PLAIN
    },
    Row {
        number: 13,
        name: "Panics and unsafe code",
        goal: "0 panics in whatever the suites above and these print; 0 lines of unsafe",
        peers: "not published",
        commands: &[IT, "cargo test -p weft-proxy --lib -- observe::panics --show-output"],
        ..Row::PLAIN
    },
    Row {
        number: 14,
        name: "Amplification",
        goal: "over all vectors, per byte sent: less than 100 times the memory and the CPU of a plain request",
        peers: "from 100 times on, Envoy handles it as a vulnerability",
        commands: &["cargo test -p weft-tests --test amplification -- --show-output"],
        ..Row::PLAIN
    },
    Row {
        number: 15,
        name: "Simulation",
        goal: "at least 25 scenarios with 1 000 seeds each, 0 violations; the same seed gives the same run, 2 of 2",
        peers: "no mesh has one; TigerBeetle runs its own around the clock",
        commands: &["make sim"],
        is_long: true,
        ..Row::PLAIN
    },
    Row {
        number: 16,
        name: "Requests lost or doubled",
        goal: "over all faults, 0 requests that are not idempotent lost or executed twice",
        peers: "not published",
        commands: &[FAULTS],
        ..Row::PLAIN
    },
    Row {
        number: 17,
        name: "Drain",
        goal: "1 000 SIGTERMs under load, 0 failed requests",
        peers: "Pingora promises it; ztunnel cuts off after 5 s",
        commands: &["make sigterms"],
        is_long: true,
        ..Row::PLAIN
    },
    Row {
        number: 18,
        name: "Without a control plane",
        goal: "away for the whole of a run: 0 failed; a proxy that restarts meanwhile serves within 1 s",
        peers: "Linkerd and Istio: a new proxy does not serve",
        commands: &[FAULTS],
        ..Row::PLAIN
    },
    Row {
        number: 19,
        name: "Ten thousand streams come back",
        goal: "a control plane that restarts has all of them acknowledged within 30 s on two cores, in less than 512 MiB",
        peers: "Istio, 5 000: up to 3 minutes a response",
        commands: &["make bench-plane WHAT=restart"],
        is_long: true,
        ..Row::PLAIN
    },
    Row {
        number: 20,
        name: "Propagation",
        goal: "an endpoint's change reaches the last of 1 000 proxies within 1 s at p99; 1 000 changes a second for ten minutes",
        peers: "Istio: debounced by 0.1 to 10 s",
        commands: &["make bench-plane WHAT=propagation SECONDS=600"],
        is_long: true,
        ..Row::PLAIN
    },
    Row {
        number: 21,
        name: "Silent staleness",
        goal: "an update that is lost on purpose is found within 60 s, always",
        peers: "Linkerd #11480: never",
        commands: &["cargo test -p weft-control-plane --lib -- astray --show-output"],
        ..Row::PLAIN
    },
    Row {
        number: 22,
        name: "A proxy that does not read",
        goal: "with 1 % of them stopped, the others' p99 changes by less than 10 %",
        peers: "Linkerd #11279",
        commands: &["make bench-plane WHAT=stopped"],
        is_long: true,
        ..Row::PLAIN
    },
    Row {
        number: 23,
        name: "The authority",
        goal: "a root replaced under load without a failed request; 10 000 requests signed in 60 s; 0 roots minted over a lost state in 100 trials",
        peers: "Linkerd: by hand",
        commands: &[FAULTS, CUSTODY],
        ..Row::PLAIN
    },
    Row {
        number: 24,
        name: "Crashes while writing",
        goal: "at least 10 000 crash points, 0 unreadable states",
        peers: "not published",
        commands: &[CUSTODY],
        ..Row::PLAIN
    },
    Row {
        number: 25,
        name: "Bad configuration",
        goal: "200 bad objects, 200 refused by name, 0 proxies left what was good, others applied",
        peers: "ISTIO-SECURITY-2026-006: one blocks all",
        commands: &[FAULTS],
        ..Row::PLAIN
    },
    Row {
        number: 26,
        name: "Storms and overload",
        goal: "a server that fails is asked at most 1.2 times as often; at five times what it can do at least 90 % of its goodput",
        peers: "Envoy: not as it comes",
        commands: &[FAULTS],
        ..Row::PLAIN
    },
    Row {
        number: 27,
        name: "No descriptors left, or no memory",
        goal: "ready throughout, recovered within 1 s; memory stays within its limit",
        peers: "tonic's accept loop ended (CVE-2024-47609)",
        commands: &[FAULTS],
        ..Row::PLAIN
    },
    Row {
        number: 28,
        name: "Soak",
        goal: "50 000 connections, at most 20 KiB each idle in plaintext and 60 KiB by mTLS; under 1 MiB an hour over 24 h",
        peers: "50 000 is Envoy's own figure for an edge",
        commands: &["make soak"],
        is_long: true,
        ..Row::PLAIN
    },
    Row {
        number: 29,
        name: "Clocks",
        goal: "five minutes off, or a step: 0 failed requests; an expired certificate closes within 1 s",
        peers: "Linkerd 20 s, Istio 2 min of tolerance",
        commands: &[FAULTS],
        ..Row::PLAIN
    },
    Row {
        number: 30,
        name: "Supply chain",
        goal: "0 open advisories, one TLS stack, one version of hyper, h2 and rustls, an SBOM, a reproducible build",
        peers: "not published",
        lacks: "single versions are held by a test (tests/it/architecture.rs); no audit against a database of advisories, no SBOM, no second build",
        ..Row::PLAIN
    },
    Row {
        number: 31,
        name: "Security policy",
        goal: "times for triage and fix, and a threat model whose every row names a test",
        peers: "not published",
        commands: &[IT],
        ..Row::PLAIN
    },
    Row {
        number: 32,
        name: "Mutation score",
        goal: "at least 90 % on policy, identity and gate; every CVE of the catalogue linked to a test",
        peers: "not published",
        lacks: "not measured",
        ..Row::PLAIN
    },
];
