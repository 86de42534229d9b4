//! A cluster in which everything is well, and what each thing that is not does to the checks.

use serde_json::json;

use super::*;

fn refused(code: u16, message: &str) -> ApiError {
    ApiError::Refused { code, message: message.to_owned() }
}

fn configuration(bundle: &str) -> Value {
    json!({"items": [{"metadata": {"name": "weft", "labels": {"app.kubernetes.io/part-of": "weft"}},
        "webhooks": [{"name": "inject.weft.mesh",
            "clientConfig": {"caBundle": bundle, "service": {"namespace": "weft-system"}}}]}]})
}

fn pod(name: &str, annotations: impl Into<Value>) -> Value {
    let annotations: Value = annotations.into();
    json!({"metadata": {"name": name, "annotations": annotations}, "status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn well() -> Facts {
    let kind = |name: &str, version: &str| json!({"metadata": {"name": name}, "spec": {"versions": [{"name": version, "served": true}]}});
    let kinds = json!({"items": [
        kind("httproutes.gateway.networking.k8s.io", "v1"), kind("workloads.weft.mesh", "v1alpha1"),
        kind("trafficpolicies.weft.mesh", "v1alpha1"), kind("authorizationpolicies.weft.mesh", "v1alpha1"),
        kind("authenticationpolicies.weft.mesh", "v1alpha1")]});
    let injected = json!({"weft.mesh/injected": "{}"});
    let status = v1::StatusReply {
        replica: "weft-0".to_owned(),
        build: concat!("weft-control-plane ", env!("CARGO_PKG_VERSION")).to_owned(),
        roots: vec![v1::TrustRoot { not_after_unix: u64::MAX, ..v1::TrustRoot::default() }],
        proxies: vec![v1::ProxyStatus {
            workload: "shop/web".to_owned(),
            attached: true,
            current: true,
            ..v1::ProxyStatus::default()
        }],
        ..v1::StatusReply::default()
    };
    Facts {
        mesh: "weft-system".to_owned(),
        version: Ok(json!({"major": "1", "minor": "34+", "gitVersion": "v1.34.4"})),
        kinds: Ok(kinds),
        namespaces: Ok(json!({"items": [
            {"metadata": {"name": "shop", "labels": {"weft.mesh/inject": "enabled"}}}, {"metadata": {"name": "other"}}]})),
        mutating: Ok(configuration("cm9vdHM=")),
        validating: Ok(configuration("cm9vdHM=")),
        forbidden: Ok(Vec::new()),
        deployments: Ok(json!({"items": [{"spec": {"replicas": 2}, "status": {"readyReplicas": 2}}]})),
        leases: Ok(json!({"items": [{"metadata": {"annotations": {"weft.mesh/root": "ab"}},
            "spec": {"holderIdentity": "weft-0_00c0ffee"}}]})),
        identity: Ok(json!({"metadata": {"name": "weft-identity"}})),
        control_planes: Ok(json!({"items": [pod("weft-0", json!({}))]})),
        pods: vec![("shop".to_owned(), Ok(json!({"items": [pod("web", injected.clone())]})))],
        injected: Some(Ok(pod("weft-check", injected))),
        validated: Err(refused(
            422,
            "admission webhook \"validate-own.weft.mesh\" denied the request: no such prefix",
        )),
        status: Ok(status),
        callers: [("10.244.0.7".to_owned(), "shop/legacy".to_owned())].into(),
    }
}

/// What does not hold, by name and result.
fn wrong(facts: &Facts, before: bool) -> Vec<String> {
    let all = judge(facts, before).into_iter();
    let wrong = all.filter_map(|(check, verdict)| match verdict {
        Verdict::Holds(_) => None,
        Verdict::Doubtful(_) => Some(format!("{} doubtful", check.id)),
        Verdict::Fails(_) => Some(format!("{} fails", check.id)),
        Verdict::Unknown(_) => Some(format!("{} unknown", check.id)),
    });
    wrong.collect()
}

#[test]
fn where_all_is_well_every_check_holds_before_and_after() {
    assert_eq!(wrong(&well(), true), Vec::<String>::new());
    assert_eq!(wrong(&well(), false), Vec::<String>::new());
    let count = |before| judge(&well(), before).len();
    assert_eq!(CHECKS.iter().filter(|check| check.before).count(), count(true));
    assert_eq!(CHECKS.iter().filter(|check| check.after).count(), count(false));
}

#[test]
fn each_thing_that_is_not_as_it_should_be_is_said_by_its_own_check() {
    type Change = fn(&mut Facts);
    let table: [(&str, Change, &[&str]); 22] = [
        (
            "an old cluster",
            |it| it.version = Ok(json!({"major": "1", "minor": "28"})),
            &["api-version fails"],
        ),
        ("no kinds of ours", |it| it.kinds = Ok(json!({})), &["gateway-kinds doubtful", "weft-kinds fails"]),
        (
            "our kinds in another version",
            |it| {
                let text = it.kinds.clone().unwrap().to_string().replace("v1alpha1", "v9");
                it.kinds = Ok(serde_json::from_str(&text).unwrap());
            },
            &["weft-kinds fails"],
        ),
        (
            "rights are missing",
            |it| it.kinds = Err(refused(403, "no")),
            &["gateway-kinds unknown", "weft-kinds unknown"],
        ),
        (
            "nothing is installed",
            |it| it.deployments = Ok(json!({"items": []})),
            &["control-plane-runs fails"],
        ),
        (
            "one of two runs",
            |it| {
                it.deployments =
                    Ok(json!({"items": [{"spec": {"replicas": 2}, "status": {"readyReplicas": 1}}]}))
            },
            &["control-plane-runs doubtful"],
        ),
        (
            "it does not answer",
            |it| it.status = Err("no port".to_owned()),
            &[
                "control-plane-answers fails",
                "same-version unknown",
                "roots-live unknown",
                "proxies-attached unknown",
                "strict-ready unknown",
                "proxies-current unknown",
                "objects-hold unknown",
            ],
        ),
        (
            "another version",
            |it| it.status.as_mut().unwrap().build = "weft-control-plane 9.9.9".to_owned(),
            &["same-version doubtful"],
        ),
        ("no Lease", |it| it.leases = Ok(json!({"items": []})), &["lease-held fails"]),
        ("the holder is gone", |it| it.control_planes = Ok(json!({"items": []})), &["lease-held doubtful"]),
        ("no Secret", |it| it.identity = Err(refused(404, "no")), &["identity-kept fails"]),
        ("may not see the Secret", |it| it.identity = Err(refused(403, "no")), &["identity-kept unknown"]),
        (
            "a root ends",
            |it| it.status.as_mut().unwrap().roots[0].not_after_unix = crate::clock::unix_now() + 86_400,
            &["roots-live doubtful"],
        ),
        ("no caBundle", |it| it.mutating = Ok(configuration("")), &["webhooks-trusted fails"]),
        (
            "nobody injects",
            |it| it.injected = Some(Ok(pod("weft-check", json!({})))),
            &["injector-answers fails"],
        ),
        (
            "the validator cannot be reached",
            |it| {
                it.validated = Err(refused(500, "failed calling webhook \"validate-own.weft.mesh\": timeout"))
            },
            &["validator-answers fails"],
        ),
        ("nobody validates", |it| it.validated = Ok(json!({})), &["validator-answers doubtful"]),
        (
            "a pod from before the label",
            |it| {
                it.pods[0].1 = Ok(
                    json!({"items": [pod("old", json!({})), pod("no", json!({"weft.mesh/inject": "disabled"}))]}),
                )
            },
            &["pods-meshed doubtful"],
        ),
        (
            "a proxy that is away",
            |it| it.status.as_mut().unwrap().proxies[0].attached = false,
            &["proxies-attached fails"],
        ),
        (
            "a proxy that rejects",
            |it| it.status.as_mut().unwrap().proxies[0].rejected.push(v1::Rejection::default()),
            &["proxies-current fails"],
        ),
        (
            "somebody calls in plaintext",
            |it| it.status.as_mut().unwrap().proxies[0].report = Some(called_by(&["10.244.0.7"])),
            &["strict-ready doubtful"],
        ),
        (
            "another installation",
            |it| {
                let text = it.validating.clone().unwrap().to_string().replace("weft-system", "blue");
                it.validating = Ok(serde_json::from_str(&text).unwrap());
            },
            &["one-installation fails"],
        ),
    ];
    for (case, change, expected) in table {
        let mut facts = well();
        change(&mut facts);
        assert_eq!(wrong(&facts, false), expected, "{case}");
    }
}

fn called_by(addresses: &[&str]) -> v1::Report {
    let caller = |address: &&str| v1::PlaintextCaller { address: (*address).to_owned(), last_unix: 7 };
    v1::Report { plaintext: addresses.iter().map(caller).collect(), ..v1::Report::default() }
}

#[test]
fn whoever_a_strict_mode_would_cut_off_is_named_with_whom_he_calls() {
    let mut facts = well();
    facts.status.as_mut().unwrap().proxies[0].report = Some(called_by(&["10.244.0.7", "192.0.2.1"]));
    let said = of("strict-ready", &facts, false);
    assert_eq!(said, Verdict::Doubtful("192.0.2.1 calls shop/web, shop/legacy calls shop/web".to_owned()));
    // One that is away has heard of nobody lately.
    facts.status.as_mut().unwrap().proxies[0].attached = false;
    assert!(matches!(of("strict-ready", &facts, false), Verdict::Holds(_)));
}

#[test]
fn before_an_installation_that_there_is_nothing_yet_is_as_it_should_be() {
    let mut facts = well();
    facts.kinds = Ok(json!({"items": []}));
    facts.mutating = Ok(json!({"items": []}));
    assert_eq!(wrong(&facts, true), ["gateway-kinds doubtful"]);
    facts.forbidden = Ok(vec!["create clusterroles".to_owned()]);
    let mut other = configuration("x");
    other["items"][0]["webhooks"][0]["clientConfig"]["service"]["namespace"] = json!("mesh-of-others");
    facts.mutating = Ok(other);
    assert_eq!(
        wrong(&facts, true),
        ["install-rights fails", "one-installation fails", "gateway-kinds doubtful"]
    );
}

#[test]
fn of_an_api_server_that_is_away_one_thing_is_said() {
    let away = || Err(ApiError::Away { why: "connection refused".to_owned() });
    let facts = Facts { version: away(), kinds: away(), ..well() };
    let wrong = wrong(&facts, false);
    assert_eq!(wrong[0], "api-reachable fails");
    assert!(wrong[1..].iter().all(|it| it.ends_with("unknown")), "{wrong:?}");
}

#[test]
fn where_pod_security_forbids_the_container_the_namespace_is_named() {
    let mut facts = well();
    facts.namespaces = Ok(json!({"items": [{"metadata": {"name": "shop", "labels":
        {"weft.mesh/inject": "enabled", "pod-security.kubernetes.io/enforce": "restricted"}}}]}));
    assert_eq!(wrong(&facts, false), ["pods-allowed fails"]);
    facts.deployments = Ok(json!({"items": [{"spec": {"replicas": 1, "template": "--proxy-redirect=node"},
        "status": {"readyReplicas": 1}}]}));
    assert_eq!(wrong(&facts, false), Vec::<String>::new());
}
