//! Who may call a workload, and how proven.

use super::*;
use weft_policy::authorize::MtlsMode::{self, Permissive, Strict};
use weft_policy::identity::SpiffeId;

/// Service `api` (ports 80 and 8080) over workload `a`, which also listens on 9090, and these policies.
fn with(policies: &[String]) -> ObjectSet {
    let workload = policy("Workload", "a", "{address: 10.0.0.1, ports: [{name: admin, port: 9090}]}");
    let workload = workload.replacen("metadata: {", "metadata: {labels: {app: api}, ", 1);
    set(&(services(&["api"]) + &workload + &policies.concat()))
}

fn enforced(set: &ObjectSet) -> Inbound {
    inbound(set, &ObjectRef::new(Kind::Workload, "shop", "a")).value.unwrap().inbound
}

/// Ports (0: an undeclared one) that a policy with this scope reaches.
fn reached(name: &str, targets: &str) -> Vec<u16> {
    let spec = format!("{{action: Deny, rules: [{{}}]{targets}}}");
    let inbound = enforced(&with(&[policy("AuthorizationPolicy", name, &spec)]));
    let ports = [0, 80, 8080, 9090];
    ports
        .into_iter()
        .filter(|port| !inbound.policy(if *port == 0 { 1 } else { *port }).policies.is_empty())
        .collect()
}

#[test]
fn a_policy_reaches_what_it_is_aimed_at() {
    let all = vec![0, 80, 8080, 9090];
    let table = [
        ("shop/p", "", all.clone()),
        ("weft-system/p", "", all.clone()),
        ("other/p", "", vec![]),
        ("shop/p", ", targetRefs: [{kind: Service, name: api}]", vec![80, 8080]),
        ("shop/p", ", targetRefs: [{kind: Service, name: api, sectionName: alt}]", vec![8080]),
        ("shop/p", ", targetRefs: [{kind: Service, name: nobody}]", vec![]),
        ("shop/p", ", targetRefs: [{kind: Workload, name: a}]", all),
        ("shop/p", ", targetRefs: [{kind: Workload, name: a, sectionName: admin}]", vec![9090]),
        ("shop/p", ", targetRefs: [{kind: Workload, name: b}]", vec![]),
        ("other/p", ", targetRefs: [{kind: Service, name: api}]", vec![]),
        ("weft-system/p", ", targetRefs: [{kind: Service, name: api}]", vec![]),
    ];
    for (name, targets, want) in table {
        assert_eq!(reached(name, targets), want, "{name} {targets}");
    }
}

#[test]
fn a_target_port_that_is_not_there_denies_all_it_could_have_meant() {
    let spec = "{action: Allow, rules: [{}], targetRefs: [{kind: Service, name: api, sectionName: htpp}]}";
    let set = with(&[policy("AuthorizationPolicy", "p", spec)]);
    let inbound = enforced(&set);
    for port in [80, 8080] {
        assert!(inbound.policy(port).policies[0].not_understood.is_some());
    }
    assert!(inbound.undeclared.policies.is_empty());
    assert_eq!(conditions(&set, Kind::AuthorizationPolicy, "p")[1], "ResolvedRefs=False/TargetNotFound");
}

#[test]
fn policies_are_sorted_by_name_and_shared_between_ports() {
    let names = ["shop/b", "weft-system/a", "shop/a"];
    let set = with(&names.map(|name| policy("AuthorizationPolicy", name, "{}")));
    let inbound = enforced(&set);
    let origins: Vec<String> =
        inbound.undeclared.policies.iter().map(|policy| policy.origin.to_string()).collect();
    assert_eq!(
        origins,
        ["AuthorizationPolicy shop/a", "AuthorizationPolicy shop/b", "AuthorizationPolicy weft-system/a"]
    );
    assert!(std::sync::Arc::ptr_eq(&inbound.policy(80).policies[0], &inbound.undeclared.policies[0]));
}

#[test]
fn a_service_account_is_an_identity_of_the_own_trust_domain() {
    let spec = "{rules: [{from: [{serviceAccounts: [shop/web], identities: ['spiffe://other.example/ns/a/sa/b']}]}]}";
    let inbound = enforced(&with(&[policy("AuthorizationPolicy", "p", spec)]));
    let identities = &inbound.undeclared.policies[0].rules[0].from[0].identities;
    let want: [SpiffeId; 2] = ["spiffe://other.example/ns/a/sa/b", "spiffe://weft.local/ns/shop/sa/web"]
        .map(|id| id.parse().unwrap());
    assert_eq!(identities.as_slice(), want);
}

/// Whether plaintext is let in at ports 80, 8080, 9090 and an undeclared one.
fn modes(policies: &[String]) -> [MtlsMode; 4] {
    let inbound = enforced(&with(policies));
    [80, 8080, 9090, 1].map(|port| inbound.policy(port).mtls)
}

#[test]
fn of_authentication_the_closest_aim_holds() {
    let authentication = |name: &str, spec: &str| policy("AuthenticationPolicy", name, spec);
    let mesh = authentication("weft-system/mesh", "{mtls: {mode: Strict}}");
    let namespace = authentication("namespace", "{mtls: {mode: Permissive}}");
    let of_service =
        authentication("service", "{targetRefs: [{kind: Service, name: api}], mtls: {mode: Strict}}");
    let of_port = authentication(
        "port",
        "{targetRefs: [{kind: Service, name: api, sectionName: alt}], mtls: {mode: Permissive}}",
    );
    let of_workload = authentication(
        "workload",
        "{targetRefs: [{kind: Workload, name: a}], mtls: {mode: Permissive}, portLevel: [{port: 9090, mode: Strict}]}",
    );
    assert_eq!(modes(&[]), [Permissive; 4], "the install's default");
    let mut policies = vec![mesh];
    assert_eq!(modes(&policies), [Strict; 4]);
    policies.push(namespace);
    assert_eq!(modes(&policies), [Permissive; 4]);
    policies.push(of_service);
    assert_eq!(modes(&policies), [Strict, Strict, Permissive, Permissive]);
    policies.push(of_port);
    assert_eq!(modes(&policies), [Strict, Permissive, Permissive, Permissive]);
    policies.push(of_workload);
    assert_eq!(modes(&policies), [Permissive, Permissive, Strict, Permissive]);
}

#[test]
fn of_two_that_are_aimed_alike_strict_holds() {
    let one = policy("AuthenticationPolicy", "a", "{mtls: {mode: Permissive}}");
    let two = policy("AuthenticationPolicy", "b", "{mtls: {mode: Strict}}");
    assert_eq!(modes(&[one, two]), [Strict; 4]);
}

#[test]
fn a_wider_policys_exception_for_a_port_does_not_open_what_a_narrower_one_closes() {
    let mesh = policy(
        "AuthenticationPolicy",
        "weft-system/a",
        "{mtls: {mode: Strict}, portLevel: [{port: 9090, mode: Permissive}]}",
    );
    assert_eq!(modes(std::slice::from_ref(&mesh)), [Strict, Strict, Permissive, Strict]);
    let namespace = policy("AuthenticationPolicy", "b", "{mtls: {mode: Strict}}");
    assert_eq!(modes(&[mesh, namespace]), [Strict; 4]);
}
