//! Which documents become objects, and what is said of those that do not.

use super::*;
use crate::crd::target::{TargetKind, TargetRef};
use crate::document;
use weft_policy::authorize::MtlsMode;

fn decode_one(text: &str) -> Decoded {
    let read = document::read(text);
    assert_eq!(read.documents.len(), 1, "{:?}", read.problems);
    decode(&read.documents[0])
}

/// An object of a kind with this `spec`, in flow style.
fn with_spec(kind: &str, spec: &str) -> Decoded {
    let group = if matches!(kind, "HTTPRoute" | "GRPCRoute") {
        "gateway.networking.k8s.io/v1"
    } else {
        "weft.mesh/v1alpha1"
    };
    let version = if kind == "Service" { "v1" } else { group };
    decode_one(&format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x, namespace: shop}}\nspec: {spec}\n"
    ))
}

fn authorization(spec: &str) -> Arc<AuthorizationPolicy> {
    match with_spec("AuthorizationPolicy", spec).object {
        Some(Object::AuthorizationPolicy(policy)) => policy,
        other => panic!("{spec}: {other:?}"),
    }
}

fn authentication(spec: &str) -> Arc<AuthenticationPolicy> {
    match with_spec("AuthenticationPolicy", spec).object {
        Some(Object::AuthenticationPolicy(policy)) => policy,
        other => panic!("{spec}: {other:?}"),
    }
}

#[test]
fn an_unknown_field_is_a_warning_and_the_object_stays() {
    let table = [
        ("Service", "{ports: [{port: 80, prot: x}]}", "spec.ports[0].prot"),
        (
            "HTTPRoute",
            "{parentRefs: [{group: '', kind: Service, name: a}], rules: [{backendRef: []}]}",
            "spec.rules[0].backendRef",
        ),
        ("TrafficPolicy", "{targetRefs: [{kind: Service, name: a}], retry: {}}", "spec.retry"),
        ("Workload", "{address: 10.0.0.1, adress: x}", "spec.adress"),
    ];
    for (kind, spec, field) in table {
        let decoded = with_spec(kind, spec);
        assert!(decoded.object.is_some(), "{kind} {spec}: {:?}", decoded.diagnostics);
        let found = decoded.diagnostics.iter().find(|found| found.field == field);
        let found = found.unwrap_or_else(|| panic!("{kind} {spec}: {:?}", decoded.diagnostics));
        assert_eq!(found.severity, Severity::Warning);
        assert!(found.message.contains("ignored"), "{found}");
    }
    let typo = with_spec("Workload", "{address: 10.0.0.1, serviceAcount: web}");
    assert!(
        typo.diagnostics[0].message.contains("did you mean `serviceAccount`?"),
        "{}",
        typo.diagnostics[0]
    );
}

#[test]
fn a_value_that_cannot_be_used_keeps_the_object_out_and_names_the_field_and_line() {
    let table = [
        ("Service", "{ports: [{port: 0}]}", "spec.ports[0].port"),
        ("Service", "{ports: [{port: '80'}]}", "spec.ports[0].port"),
        ("Service", "{ports: [{port: 80}, {port: 80}]}", "spec.ports[1]"),
        ("Service", "{selector: {app: 1}}", "spec.selector[app]"),
        ("Service", "{clusterIP: 10.0.0}", "spec.clusterIP"),
        ("HTTPRoute", "{rules: 5}", "spec.rules"),
        (
            "HTTPRoute",
            "{rules: [{backendRefs: [{name: a, weight: -1}]}]}",
            "spec.rules[0].backendRefs[0].weight",
        ),
        ("HTTPRoute", "{rules: [{timeouts: {request: 5}}]}", "spec.rules[0].timeouts.request"),
        ("HTTPRoute", "{rules: [{timeouts: {request: 5 seconds}}]}", "spec.rules[0].timeouts.request"),
        ("HTTPRoute", "{rules: [{filters: [{type: URLRewrite}]}]}", "spec.rules[0].filters[0]"),
        (
            "HTTPRoute",
            "{parentRefs: [{group: '', kind: Service, name: a, port: http}]}",
            "spec.parentRefs[0].port",
        ),
        ("GRPCRoute", "{rules: [{matches: [{method: {}}]}]}", "spec.rules[0].matches[0].method"),
        ("Workload", "{address: my-laptop}", "spec.address"),
        ("Workload", "{}", "spec"),
        (
            "Workload",
            "{address: 10.0.0.1, health: [{http: {port: 80, path: healthz}}]}",
            "spec.health[0].http",
        ),
        ("TrafficPolicy", "{}", "spec"),
        (
            "TrafficPolicy",
            "{targetRefs: [{kind: Service, name: a}], retries: {statuses: [200]}}",
            "spec.retries.statuses[0]",
        ),
        (
            "TrafficPolicy",
            "{targetRefs: [{kind: Service, name: a}], retries: {grpcCodes: [UNAVAILBLE]}}",
            "spec.retries.grpcCodes[0]",
        ),
        (
            "TrafficPolicy",
            "{targetRefs: [{kind: Service, name: a}], loadBalancing: {type: RingHash}}",
            "spec.loadBalancing",
        ),
        (
            "TrafficPolicy",
            "{targetRefs: [{kind: Service, name: a}], circuitBreaking: {minSuccessRate: 90}}",
            "spec.circuitBreaking.minSuccessRate",
        ),
        ("TrafficPolicy", "{targetRefs: [{kind: Gateway, name: a}]}", "spec.targetRefs[0].kind"),
    ];
    for (kind, spec, field) in table {
        let decoded = with_spec(kind, spec);
        assert!(decoded.object.is_none(), "{kind} {spec}");
        assert!(decoded.key.is_some(), "{kind} {spec}");
        let found = decoded.diagnostics.iter().find(|found| found.field == field && found.is_error());
        let found = found.unwrap_or_else(|| panic!("{kind} {spec}: {:#?}", decoded.diagnostics));
        assert_eq!(found.line, Some(4), "{found}");
        assert!(!found.help.is_empty(), "{found}");
    }
}

#[test]
fn an_enum_value_from_the_future_does_not_keep_a_route_from_being_read() {
    let decoded = with_spec(
        "HTTPRoute",
        "{rules: [{matches: [{path: {type: Fuzzy, value: /x}, headers: [{name: a, value: b, type: Glob}]}], filters: [{type: Teleport}]}]}",
    );
    assert!(matches!(decoded.object, Some(Object::HttpRoute(_))), "{:?}", decoded.diagnostics);
}

#[test]
fn a_document_that_is_no_object_of_ours_is_told_what_it_looks_like() {
    // (apiVersion, kind, severity, words): `None` where there is nothing to say.
    let table = [
        ("v1", "ConfigMap", None),
        ("apps/v1", "Deployment", None),
        ("gateway.networking.k8s.io/v1", "Gateway", Some((Severity::Warning, "not carried out yet"))),
        ("gateway.networking.k8s.io/v1", "HTTPRoot", Some((Severity::Error, "did you mean HTTPRoute?"))),
        ("gateway.networking.k8s.io/v2", "HTTPRoute", Some((Severity::Error, "no version `v2`"))),
        ("networking.k8s.io/v1", "HTTPRoute", Some((Severity::Error, "gateway.networking.k8s.io/v1"))),
        ("weft.mesh/v1alpha1", "Banana", Some((Severity::Error, "no kind `Banana`"))),
        ("example.com/v1", "Banana", Some((Severity::Warning, "ignored"))),
    ];
    for (version, kind, want) in table {
        let decoded =
            decode_one(&format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{}}\n"));
        assert!(decoded.object.is_none(), "{version} {kind}");
        let said = decoded.diagnostics.first().map(|found| (found.severity, found.to_string()));
        match (want, said) {
            (None, said) => assert_eq!(said, None, "{version} {kind}"),
            (Some((severity, words)), Some((got, text))) => {
                assert!(got == severity && text.contains(words), "{version} {kind}: {text}");
            }
            (Some(_), None) => panic!("{version} {kind}: nothing was said"),
        }
    }
    assert!(decode_one("just: text\n").diagnostics[0].is_error());
}

#[test]
fn a_security_policy_that_is_not_understood_is_kept_and_denies() {
    let table = [
        "{rules: [{from: [{identity: [x]}]}]}",
        "{rules: [{from: [{identities: [web]}]}]}",
        "{rules: [{from: [{identities: ['spiffe://weft.local/ns/shop/sa/*']}]}]}",
        "{rules: [{from: [{namespaces: [sh*p]}]}]}",
        "{rules: [{from: [{cidrs: [10.0.0.0/33]}]}]}",
        "{rules: [{from: [{serviceAccounts: [web]}]}]}",
        "{rules: [{to: [{methods: [get]}]}]}",
        "{rules: [{to: [{paths: [admin]}]}]}",
        "{rules: [{to: [{paths: ['/a*']}]}]}",
        "{rules: [{to: [{paths: ['/a/../b']}]}]}",
        "{rules: [{to: [{paths: ['/a%00']}]}]}",
        "{rules: [{to: [{paths: ['/a%2']}]}]}",
        "{rules: [{to: [{paths: ['/a%2Fb/*']}]}]}",
        "{rules: [{to: [{paths: ['/a;b']}]}]}",
        "{rules: [{to: [{paths: ['/a.']}]}]}",
        "{rules: [{to: [{paths: [{regex: '('}]}]}]}",
        "{rules: [{to: [{headers: [{name: 'a b', values: [c]}]}]}]}",
        "{rules: [{to: [{headers: [{name: a}]}]}]}",
        "{rules: [{when: []}]}",
        "{rule: []}",
        "{action: Permit}",
        "{action: deny}",
        "{rules: {}}",
        "[]",
        // Lists that are empty, and conditions without content, mean everybody to the policy and nobody to a person.
        "{rules: [{from: []}]}",
        "{rules: [{from: null}]}",
        "{rules: [{from: [{}]}]}",
        "{rules: [{from: [{identities: []}]}]}",
        "{rules: [{to: [{paths: null}]}]}",
    ];
    for spec in table {
        let decoded = with_spec("AuthorizationPolicy", spec);
        let policy = authorization(spec);
        assert!(policy.not_understood.is_some(), "{spec}");
        let found =
            decoded.diagnostics.iter().find(|found| found.is_error()).unwrap_or_else(|| panic!("{spec}"));
        assert!(found.message.contains("this policy denies all it applies to"), "{found}");
        assert!(!decoded.diagnostics.iter().any(|found| found.severity == Severity::Warning), "{spec}");
    }
    let long = "a".repeat(1025);
    assert!(
        authorization(&format!("{{rules: [{{to: [{{paths: [{{regex: {long}}}]}}]}}]}}"))
            .not_understood
            .is_some()
    );
}

#[test]
fn a_security_policy_that_is_understood_says_nothing_else() {
    let table = [
        "{}",
        "{rules: [{}]}",
        "{action: Deny, rules: [{to: [{paths: [/admin, /admin/*, '/*', {regex: '/x[0-9]+'}], methods: [GET, PURGE]}]}]}",
        "{rules: [{from: [{serviceAccounts: [shop/web, shop/web.v2], namespaces: [shop], cidrs: [10.0.0.0/8, 127.0.0.1, 'fd00::/8']}]}]}",
        "{action: Audit, rules: [{to: [{headers: [{name: X-Tenant, values: [a], regex: 'b+'}]}]}]}",
        "{targetRefs: [{kind: Service, name: api, sectionName: http}, {kind: Workload, name: api-1, group: weft.mesh}]}",
    ];
    for spec in table {
        let decoded = with_spec("AuthorizationPolicy", spec);
        assert!(decoded.diagnostics.is_empty(), "{spec}: {:?}", decoded.diagnostics);
        assert_eq!(authorization(spec).not_understood, None, "{spec}");
    }
}

#[test]
fn targets_that_cannot_be_read_widen_to_the_namespace_and_never_to_the_mesh() {
    let target = TargetRef { kind: TargetKind::Service, name: "api".into(), section: None };
    let table = [
        ("{}", Scope::Everything),
        ("{targetRefs: [{kind: Service, name: api}]}", Scope::Targets(vec![target])),
        ("{targetRefs: []}", Scope::Namespace),
        ("{targetRefs: null}", Scope::Namespace),
        ("{targetRefs: api}", Scope::Namespace),
        ("{targetRefs: [{kind: Gateway, name: api}]}", Scope::Namespace),
        ("{targetRefs: [{kind: Service, name: api}, {kind: Servcie, name: b}]}", Scope::Namespace),
        ("{targetRefs: [{kind: Service, name: 5}]}", Scope::Namespace),
        ("5", Scope::Namespace),
    ];
    for (spec, scope) in table {
        let policy = authorization(spec);
        assert_eq!(policy.scope, scope, "{spec}");
        assert_eq!(policy.not_understood.is_some(), scope == Scope::Namespace, "{spec}");
    }
    let elsewhere = authorization("{targetRefs: [{kind: Service, name: api, namespace: other}]}");
    assert!(elsewhere.not_understood.is_some());
}

#[test]
fn damaged_text_around_a_security_policy_does_not_make_it_vanish() {
    let head =
        "apiVersion: weft.mesh/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {name: x, namespace: shop}\n";
    let table = [
        (format!("{head}spec: {{action: Deny, rules: [\n"), "cut off"),
        (format!("{head}spec:\n  action: Allow\n  action: Deny\n"), "a key twice"),
        (head.to_owned(), "no spec"),
        (format!("{head}spec: {{}}\nstats: {{}}\n"), "an unknown field beside spec"),
        (head.replace("v1alpha1", "v9") + "spec: {}\n", "a version from the future"),
        (head.replace("name: x", "name: Deny_All") + "spec: {}\n", "a name that is none"),
    ];
    for (text, what) in table {
        let decoded = decode_one(&text);
        let Some(Object::AuthorizationPolicy(policy)) = &decoded.object else {
            panic!("{what}: {decoded:?}")
        };
        assert!(policy.not_understood.is_some(), "{what}");
        assert!(decoded.diagnostics.iter().any(Diagnostic::is_error), "{what}");
    }
}

#[test]
fn an_authentication_policy_that_is_not_understood_is_strict() {
    for spec in [
        "{mtls: {mode: Off}}",
        "{mtls: {mode: permissive}}",
        "{mtls: {}}",
        "{}",
        "{mtls: {mode: Permissive}, jwt: []}",
        "{mtls: {mode: Permissive}, portLevel: [{port: 99999, mode: Permissive}]}",
        "{mtls: {mode: Permissive}, portLevel: [{port: 80, mode: Permissive}, {port: 80, mode: Strict}]}",
    ] {
        let policy = authentication(spec);
        assert_eq!(policy.mode, Some(MtlsMode::Strict), "{spec}");
        assert!(policy.ports.is_empty() && policy.not_understood.is_some(), "{spec}");
    }
    let understood = authentication("{mtls: {mode: Permissive}, portLevel: [{port: 80, mode: Strict}]}");
    assert_eq!((understood.mode, understood.ports.len()), (Some(MtlsMode::Permissive), 1));
    assert_eq!(understood.not_understood, None);
}

#[test]
fn a_traffic_policy_keeps_the_defaults_of_what_it_does_not_say() {
    let Some(Object::TrafficPolicy(bare)) =
        with_spec("TrafficPolicy", "{targetRefs: [{kind: Service, name: a}]}").object
    else {
        panic!("a TrafficPolicy with a target is one")
    };
    assert_eq!(bare.retry, weft_policy::retry::Retry::default());
    assert_eq!(bare.breaker, weft_policy::breaker::BreakerConfig::default());
    let full = with_spec(
        "TrafficPolicy",
        "{targetRefs: [{kind: Service, name: a}], loadBalancing: {type: RingHash, hashOn: {header: X-User}}, \
         retries: {attempts: 0, statuses: [503, 5xx], grpcCodes: [UNAVAILABLE, 8], budget: {percent: 5}}, \
         circuitBreaking: {minSuccessRate: '90%'}, limits: {maxRequests: 7}, timeouts: {request: 0s}}",
    );
    let Some(Object::TrafficPolicy(full)) = full.object else { panic!("{:?}", full.diagnostics) };
    assert_eq!((full.retry.attempts, full.retry.statuses.len()), (0, 100));
    assert_eq!(full.retry.grpc_codes, [8, 14]);
    assert_eq!((full.budget.percent, full.budget.min_per_second), (5, 10));
    assert!((full.breaker.min_success_rate - 0.9).abs() < 1e-9);
    assert_eq!(full.timeouts.request, Some(std::time::Duration::ZERO));
}

#[test]
fn an_object_of_an_api_server_is_read_like_one_of_a_file() {
    let json = serde_json::json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "api", "namespace": "shop", "uid": "1", "creationTimestamp": "2026-07-16T00:00:00Z",
                     "managedFields": [], "labels": {"a": "b"}, "generation": 3},
        "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "type": "ClusterIP", "sessionAffinity": "None",
                 "internalTrafficPolicy": "Cluster", "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]},
        "status": {"loadBalancer": {}}
    });
    let decoded = decode(&Document::from_json(&json));
    assert!(decoded.diagnostics.is_empty(), "{:?}", decoded.diagnostics);
    let Some(Object::Service(service)) = decoded.object else { panic!("a Service is one") };
    assert_eq!((service.meta.created, service.meta.generation), (1_784_160_000, 3));
}
