//! The four kinds, field by field, as their readers take them.

use super::super::authentication::MAX_PORTS as MAX_PORT_LEVELS;
use super::super::authorization::{MAX_ITEMS, MAX_RULES};
use super::super::target::MAX_TARGETS;
use super::super::workload::{MAX_CHECKS, MAX_PORTS};
use super::Definition;
use super::schema::Schema;

pub(super) fn authentication() -> Definition {
    let mode =
        || Schema::words(&["Strict", "Permissive"]).says("Strict: mTLS only. Permissive: plaintext too.");
    let port = Schema::object("What holds at one port of the application.")
        .needs("port", Schema::port())
        .needs("mode", mode());
    Definition {
        kind: "AuthenticationPolicy",
        plural: "authenticationpolicies",
        singular: "authenticationpolicy",
        short: "wauthn",
        spec: Schema::object(
            "Whether ports take plaintext. The closest policy holds; of two alike, the strict one.",
        )
        .may("targetRefs", targets(&["Service", "Workload"], SCOPE))
        .may("mtls", Schema::object("What holds at every port that is not named.").needs("mode", mode()))
        .may("portLevel", Schema::list(port).at_most(MAX_PORT_LEVELS).by_key("port"))
        .rule(
            "has(self.mtls) || (has(self.portLevel) && size(self.portLevel) > 0)",
            "it says no mode: write mtls or portLevel",
        )
        .keeping_the_unknown(),
        columns: vec![("Mode", "string", ".spec.mtls.mode")],
    }
}

pub(super) fn authorization() -> Definition {
    let some = |item: Schema| Schema::list(item).not_empty().at_most(MAX_ITEMS);
    let name = || Schema::text().not_empty().up_to(253);
    let source = Schema::object("Who. What is said must all hold; of a list, one entry.")
        .may("identities", some(Schema::text().pattern("^spiffe://").up_to(2048)).says("Exact SPIFFE IDs."))
        .may(
            "serviceAccounts",
            some(Schema::text().pattern("^[^/]+/[^/]+$").up_to(317))
                .says("As namespace/name, in the mesh's own trust domain."),
        )
        .may("namespaces", some(name()).says("Namespaces of proven identities."))
        .may("cidrs", some(Schema::text().up_to(64)).says("Blocks of the caller's address."))
        .may("ipBlocks", some(Schema::text().up_to(64)).says("The same as cidrs."))
        .says_something();
    let header = Schema::object("A header that must be there.")
        .needs("name", Schema::text().not_empty().up_to(256))
        .may("values", some(Schema::text().up_to(4096)).says("Any of these."))
        .may("regex", Schema::text().up_to(4096).says("Or what matches this, whole."))
        .any_of(&["values", "regex"]);
    let operation = Schema::object("What is called. What is said must all hold; of a list, one entry.")
        .may("methods", some(Schema::text().pattern("^[A-Z0-9!#$%&'*+.^_`|~-]+$").up_to(64)))
        .may("paths", some(Schema::anything().says("/exact, /prefix/*, or {regex: …}.")))
        .may("headers", some(header))
        .says_something();
    let rule =
        Schema::object("Matches when one of `from` and one of `to` does; what is left out matches all.")
            .may("from", some(source))
            .may("to", some(operation));
    Definition {
        kind: "AuthorizationPolicy",
        plural: "authorizationpolicies",
        singular: "authorizationpolicy",
        short: "wauthz",
        spec: Schema::object(
            "Who may call what. One Deny that matches denies; where an Allow applies, one has to match.",
        )
        .may("targetRefs", targets(&["Service", "Workload"], SCOPE))
        .may("action", Schema::words(&["Allow", "Deny", "Audit"]).says("Default: Allow."))
        .may("rules", Schema::list(rule).at_most(MAX_RULES).says("Any of these."))
        .keeping_the_unknown(),
        columns: vec![("Action", "string", ".spec.action")],
    }
}

pub(super) fn traffic() -> Definition {
    let count = |says: &str| Schema::number(0, i64::from(u32::MAX)).says(says);
    let hash = Schema::object("What a ring hash is taken over.")
        .may("header", Schema::text().not_empty().up_to(256))
        .may("sourceAddress", Schema::flag())
        .rule(
            "has(self.header) != (has(self.sourceAddress) && self.sourceAddress)",
            "a hash is taken over exactly one thing: header or sourceAddress",
        );
    let balancing = Schema::object("How an endpoint is chosen.")
        .needs("type", Schema::words(&["PeakEwma", "LeastRequest", "RoundRobin", "Random", "RingHash"]))
        .may("hashOn", hash)
        .rule(
            "(self.type == 'RingHash') == has(self.hashOn)",
            "RingHash needs hashOn, and nothing else has it",
        );
    let budget = Schema::object("How many retries there may be beside first attempts.")
        .may("percent", Schema::number(0, 100))
        .may("minPerSecond", count("So many are always allowed."))
        .may("window", Schema::duration());
    let retries = Schema::object("What is tried again. Without it, only what is proven unprocessed.")
        .may("attempts", Schema::number(0, 100).says("Beyond the first."))
        .may(
            "statuses",
            Schema::list(Schema::number_or_text()).at_most(200).says("From 400 to 599, or 4xx and 5xx."),
        )
        .may(
            "grpcCodes",
            Schema::list(Schema::number_or_text()).at_most(17).says("By number or name: UNAVAILABLE."),
        )
        .may("onTimeout", Schema::flag())
        .may("onReset", Schema::flag())
        .may("nonIdempotent", Schema::flag().says("Whether a POST may be sent twice."))
        .may("backoff", Schema::duration())
        .may("maxBackoff", Schema::duration())
        .may("budget", budget);
    let timeouts = Schema::object("Until the head of the answer. 0s is no timeout.")
        .may("request", Schema::duration().says("All attempts together."))
        .may("backendRequest", Schema::duration().says("Each attempt."));
    let breaker = Schema::object("When an endpoint is left alone for a while.")
        .may("consecutiveFailures", count("0: never for this."))
        .may("minSuccessRate", Schema::anything().says("A share: 0.9, or \"90%\"."))
        .may("window", Schema::duration())
        .may("minRequests", count("Fewer say nothing of a rate."))
        .may("openFor", Schema::duration())
        .may("maxOpenFor", Schema::duration());
    let limits = Schema::object("How much may be under way to one backend from one proxy. 0 is no limit.")
        .may("maxConnections", count("Open connections."))
        .may("maxPending", count("Requests that wait for a connection."))
        .may("maxRequests", count("Requests under way."));
    Definition {
        kind: "TrafficPolicy",
        plural: "trafficpolicies",
        singular: "trafficpolicy",
        short: "wtp",
        spec: Schema::object("How clients send to a Service. What is left out keeps its default.")
            .needs("targetRefs", targets(&["Service"], "The Services it is about, or single ports of them."))
            .may("loadBalancing", balancing)
            .may("retries", retries)
            .may("timeouts", timeouts)
            .may("circuitBreaking", breaker)
            .may("limits", limits),
        columns: vec![
            ("Target", "string", ".spec.targetRefs[0].name"),
            ("Balancing", "string", ".spec.loadBalancing.type"),
        ],
    }
}

pub(super) fn workload() -> Definition {
    let label = || Schema::text().pattern("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$").up_to(63);
    let port = Schema::object("A port of the application.")
        .may("name", label())
        .needs("port", Schema::port())
        .may("appProtocol", Schema::text().up_to(253))
        .may("protocol", Schema::text().up_to(253).says("The same as appProtocol."))
        .may(
            "listen",
            Schema::text()
                .up_to(64)
                .says("Where the application listens, if not on loopback: 127.0.0.1:8080."),
        );
    let probe = |says: &str| Schema::object(says).may("port", Schema::port());
    let check =
        Schema::object("How its proxy finds out whether it is well. Exactly one of tcp, http and grpc.")
            .may("tcp", probe("Whether the port takes connections."))
            .may(
                "http",
                probe("Whether a path answers 2xx or 3xx.")
                    .may("path", Schema::text().pattern("^/").up_to(4096)),
            )
            .may(
                "grpc",
                probe("Whether grpc.health.v1.Health says SERVING.")
                    .may("service", Schema::text().up_to(253)),
            )
            .may("interval", Schema::duration())
            .may("timeout", Schema::duration())
            .may(
                "thresholds",
                Schema::object("How many answers in a row count.")
                    .may("healthy", Schema::number(1, 100))
                    .may("unhealthy", Schema::number(1, 100)),
            )
            .one_of(&["tcp", "http", "grpc"]);
    let inbound = Schema::object("How its sidecar is reached. Default: a listener at 4143.")
        .may("port", Schema::port())
        .may("transparent", Schema::flag().says("It takes over connections to the application's own ports."));
    Definition {
        kind: "Workload",
        plural: "workloads",
        singular: "workload",
        short: "wwl",
        spec: Schema::object("An endpoint that is not a pod: a VM, a process, a laptop.")
            .needs("address", Schema::text().not_empty().up_to(45).says("An IP address."))
            .may("ports", Schema::list(port).at_most(MAX_PORTS).by_key("port"))
            .may("serviceAccount", Schema::text().not_empty().up_to(253).says("Who it is. Default: default."))
            .may("zone", Schema::text().up_to(253))
            .may("weight", Schema::number(1, 1_000_000))
            .may("mesh", Schema::flag().says("false: it has no sidecar, and is called in plaintext."))
            .may("inbound", inbound)
            .may("health", Schema::list(check).at_most(MAX_CHECKS)),
        columns: vec![("Address", "string", ".spec.address"), ("Account", "string", ".spec.serviceAccount")],
    }
}

fn targets(kinds: &[&str], says: &str) -> Schema {
    let target = Schema::object("A Service or a Workload of the policy's own namespace.")
        .may("group", Schema::text().up_to(253))
        .needs("kind", Schema::words(kinds))
        .needs("name", Schema::text().not_empty().up_to(253))
        .may("sectionName", Schema::text().up_to(253).says("One of its ports, by name."))
        .rule(
            "!has(self.group) || self.group == '' || (self.kind == 'Workload' && self.group == 'weft.mesh')",
            "there is no such kind in this group: leave group out",
        );
    Schema::list(target).not_empty().at_most(MAX_TARGETS).says(says)
}

const SCOPE: &str = "Where it applies. Left out: in its namespace, or, in the namespace of the installation, in the whole mesh.";
