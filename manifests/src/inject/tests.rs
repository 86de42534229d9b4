//! What becomes of a pod, as a table; and that everything of it that is not ours is left as it was.

use proptest::prelude::*;

use super::*;

fn injection() -> Injection {
    Injection {
        image: "weft/proxy:1".into(),
        pull_policy: "IfNotPresent".into(),
        control_plane: "weft-control-plane.weft-system.svc:15010".into(),
        roots: vec![format!("weft.local:{}", "ab".repeat(32))],
        audience: "weft-ca".into(),
        redirect: Redirect::InitContainer,
        environment: BTreeMap::from([("WEFT_ACCESS_LOG".into(), "stdout".into())]),
    }
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "api-", "namespace": "shop", "annotations": {"team": "orders"}},
        "spec": {"serviceAccountName": "api", "volumes": [{"name": "data", "emptyDir": {}}],
            "initContainers": [{"name": "migrate", "image": "m"}],
            "containers": [{"name": "api", "image": "a", "someday": {"a": 1}}]}})
}

fn injected(pod: &Value) -> Value {
    match inject(pod, &injection()) {
        Ok(Outcome::Injected(pod)) => pod,
        other => panic!("{other:?}"),
    }
}

fn names(pod: &Value, list: &str) -> Vec<String> {
    let items = pod["spec"][list].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_rules_stand_first_then_the_proxy_and_then_what_was_there() {
    let pod = injected(&pod());
    assert_eq!(names(&pod, "initContainers"), ["weft-redirect", "weft-proxy", "migrate"]);
    assert_eq!(names(&pod, "containers"), ["api"]);
    assert_eq!(names(&pod, "volumes"), ["data", "weft-token", "weft-state"]);
    let [redirect, proxy] = [0, 1].map(|place| &pod["spec"]["initContainers"][place]);
    assert_eq!(proxy["restartPolicy"], "Always");
    assert_eq!(redirect["restartPolicy"], Value::Null);
    assert_eq!(redirect["securityContext"]["capabilities"], json!({"add": ["NET_ADMIN"], "drop": ["ALL"]}));
    assert_eq!(
        pod["spec"]["volumes"][1]["projected"]["sources"][0]["serviceAccountToken"]["audience"],
        "weft-ca"
    );
    assert_eq!(pod["metadata"]["annotations"]["team"], "orders");
    assert_eq!(pod["spec"]["containers"][0]["someday"], json!({"a": 1}));
}

#[test]
fn the_proxy_passes_the_restricted_pod_security_level_and_so_does_all_of_it_where_the_node_redirects() {
    let on_node = Injection { redirect: Redirect::Node, ..injection() };
    let Ok(Outcome::Injected(pod)) = inject(&pod(), &on_node) else { panic!() };
    assert_eq!(names(&pod, "initContainers"), ["weft-proxy", "migrate"]);
    let context = &pod["spec"]["initContainers"][0]["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
    // The plugin and the proxy are told the same rules.
    let rules = "--proxy-uid=2102 --skip-inbound-ports=15021";
    assert_eq!(pod["metadata"]["annotations"][REDIRECT], rules);
    let environment = pod["spec"]["initContainers"][0]["env"].as_array().unwrap();
    assert!(environment.contains(&json!({"name": "WEFT_REDIRECTED", "value": rules})), "{environment:?}");
}

#[test]
fn rules_for_the_node_are_the_injectors_to_write() {
    let mut pod = pod();
    pod["metadata"]["annotations"] = json!({REDIRECT: "--skip-inbound-ports=1-65535"});
    assert_eq!(injected(&pod)["metadata"]["annotations"][REDIRECT], Value::Null);
    let on_node = Injection { redirect: Redirect::Node, ..injection() };
    let Ok(Outcome::Injected(on_node)) = inject(&pod, &on_node) else { panic!() };
    assert_eq!(on_node["metadata"]["annotations"][REDIRECT], "--proxy-uid=2102 --skip-inbound-ports=15021");
}

#[test]
fn what_becomes_of_a_pod_depends_on_these() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 19] = [
        ("as it is", |_| {}, "injected"),
        (
            "says no",
            |pod| pod["metadata"]["annotations"]["weft.mesh/inject"] = json!("disabled"),
            "it says itself",
        ),
        (
            "its label says no",
            |pod| pod["metadata"]["labels"] = json!({"weft.mesh/inject": "disabled"}),
            "it says itself",
        ),
        (
            "the proxy's port",
            |pod| pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 15006}]),
            "the container api has port 15006",
        ),
        (
            "probes perhaps",
            |pod| pod["metadata"]["annotations"][PROBES_REWRITTEN] = json!("maybe"),
            "write enabled or disabled",
        ),
        (
            "a label that is no text",
            |pod| pod["metadata"]["labels"] = json!({"weft.mesh/inject": 1}),
            "injected",
        ),
        ("says yes", |pod| pod["metadata"]["annotations"]["weft.mesh/inject"] = json!("enabled"), "injected"),
        (
            "says perhaps",
            |pod| pod["metadata"]["annotations"]["weft.mesh/inject"] = json!("maybe"),
            "write enabled or disabled",
        ),
        ("its node's network", |pod| pod["spec"]["hostNetwork"] = json!(true), "its node's network"),
        ("Windows", |pod| pod["spec"]["os"] = json!({"name": "windows"}), "Windows"),
        ("has a proxy", |pod| pod["spec"]["containers"][0]["name"] = json!("weft-proxy"), "already"),
        (
            "the proxy's user",
            |pod| pod["spec"]["securityContext"] = json!({"runAsUser": 2102}),
            "the pod runs as user 2102",
        ),
        (
            "a container of the proxy's user",
            |pod| pod["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 2102}),
            "the container api runs as user 2102",
        ),
        (
            "ports that are none",
            |pod| pod["metadata"]["annotations"][SKIP_INBOUND] = json!("http"),
            "write ports like",
        ),
        (
            "a range backwards",
            |pod| pod["metadata"]["annotations"][SKIP_OUTBOUND] = json!("10-9"),
            "write ports like",
        ),
        (
            "a level that is none",
            |pod| pod["metadata"]["annotations"][LOG] = json!("loud"),
            "write error, warn",
        ),
        (
            "a quantity that is none",
            |pod| pod["metadata"]["annotations"]["weft.mesh/proxy-cpu-limit"] = json!("much"),
            "write a quantity",
        ),
        ("no containers", |pod| pod["spec"]["containers"] = json!(null), "this is no pod"),
        ("nothing", |pod| *pod = json!(null), "this is no pod"),
    ];
    for (case, change, expected) in cases {
        let mut pod = pod();
        change(&mut pod);
        let said = match inject(&pod, &injection()) {
            Ok(Outcome::Injected(_)) => "injected".to_owned(),
            Ok(Outcome::Left(why)) => why.to_string(),
            Err(why) => why.to_string(),
        };
        assert!(said.contains(expected), "{case}: {said}");
    }
}

#[test]
fn annotations_reach_the_proxy_and_the_rules() {
    let mut pod = pod();
    pod["metadata"]["annotations"] = json!({SKIP_INBOUND: "9090, 9100-9110", SKIP_OUTBOUND: "5432", LOG: "debug",
        "weft.mesh/proxy-cpu-limit": "1.5", "weft.mesh/proxy-memory-request": "64Mi"});
    let pod = injected(&pod);
    let [redirect, proxy] = [0, 1].map(|place| &pod["spec"]["initContainers"][place]);
    let expected = [
        "redirect",
        "--proxy-uid=2102",
        "--skip-inbound-ports=15021,9090,9100-9110",
        "--skip-outbound-ports=5432",
    ];
    assert_eq!(redirect["args"], json!(expected));
    assert!(proxy["env"].as_array().unwrap().contains(&json!({"name": "WEFT_LOG", "value": "debug"})));
    assert_eq!(
        proxy["resources"],
        json!({"requests": {"cpu": "20m", "memory": "64Mi"},
        "limits": {"cpu": "1.5", "memory": "256Mi"}})
    );
}

#[test]
fn further_environment_reaches_the_proxy_and_replaces_nothing_of_ours() {
    let mut injection = injection();
    injection.environment.insert("WEFT_ROOTS".into(), "evil".into());
    let Ok(Outcome::Injected(pod)) = inject(&pod(), &injection) else { panic!() };
    let environment = pod["spec"]["initContainers"][1]["env"].as_array().unwrap();
    assert!(environment.contains(&json!({"name": "WEFT_ACCESS_LOG", "value": "stdout"})));
    let roots: Vec<_> = environment.iter().filter(|it| it["name"] == "WEFT_ROOTS").collect();
    assert!(roots.len() == 1 && roots[0]["value"] != "evil", "{roots:?}");
}

/// What the proxy is told to ask.
fn questions(pod: &Value) -> Value {
    let containers = pod["spec"]["initContainers"].as_array().unwrap();
    let proxy = containers.iter().find(|it| it["name"] == "weft-proxy").unwrap();
    let said = proxy["env"].as_array().unwrap().iter().find(|it| it["name"] == "WEFT_PROBES");
    said.map_or(json!([]), |it| serde_json::from_str(it["value"].as_str().unwrap()).unwrap())
}

#[test]
fn probes_go_to_the_proxy_and_it_is_told_what_they_ask() {
    let http = |port: Value| json!({"path": "/ready?deep=1", "port": port, "httpHeaders": [{"name": "Host", "value": "h"}]});
    let mut pod = pod();
    pod["spec"]["containers"][0]["ports"] = json!([{"name": "web", "containerPort": 8080}]);
    pod["spec"]["containers"][0]["readinessProbe"] =
        json!({"httpGet": http(json!("web")), "periodSeconds": 3});
    pod["spec"]["containers"][0]["livenessProbe"] = json!({"tcpSocket": {"port": 8080}});
    pod["spec"]["containers"][0]["startupProbe"] = json!({"grpc": {"port": 9000, "service": "shop"}});
    pod["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"httpGet": {"port": "8080"}}});
    pod["spec"]["initContainers"] = json!([
        {"name": "cache", "restartPolicy": "Always", "startupProbe": {"httpGet": {"path": "/up", "port": 6060}}}]);
    let pod = injected(&pod);
    let api = &pod["spec"]["containers"][0];
    assert_eq!(
        api["readinessProbe"],
        json!({"periodSeconds": 3, "httpGet": {"path": "/probe/api/readiness", "port": 15021,
            "httpHeaders": [{"name": "Host", "value": "h"}]}})
    );
    assert_eq!(api["livenessProbe"], json!({"httpGet": {"path": "/probe/api/liveness", "port": 15021}}));
    assert_eq!(
        questions(&pod),
        json!([{"at": "/probe/cache/startup", "port": 6060, "http": "/up"},
            {"at": "/probe/api/startup", "port": 9000, "grpc": "shop"},
            {"at": "/probe/api/readiness", "port": 8080, "http": "/ready?deep=1"},
            {"at": "/probe/api/liveness", "port": 8080},
            {"at": "/probe/api/pre-stop", "port": 8080, "http": "/"}])
    );
}

#[test]
fn probes_that_the_proxy_cannot_ask_stay_as_they_are() {
    for probe in [
        json!({"exec": {"command": ["true"]}}),
        json!({"httpGet": {"port": 8080, "scheme": "HTTPS"}}),
        json!({"httpGet": {"port": 8080, "host": "example.com"}}),
        json!({"tcpSocket": {"port": 8080, "host": "10.0.0.1"}}),
        json!({"httpGet": {"port": "nameless"}}),
        json!({"httpGet": {"port": 0}}),
        json!({"grpc": {"port": 70_000}}),
        json!("odd"),
    ] {
        let mut pod = pod();
        pod["spec"]["containers"][0]["livenessProbe"] = probe.clone();
        let pod = injected(&pod);
        assert_eq!((&pod["spec"]["containers"][0]["livenessProbe"], questions(&pod)), (&probe, json!([])));
    }
    let mut pod = pod();
    pod["metadata"]["annotations"][PROBES_REWRITTEN] = json!("disabled");
    pod["spec"]["containers"][0]["livenessProbe"] = json!({"tcpSocket": {"port": 8080}});
    assert_eq!(questions(&injected(&pod)), json!([]));
}

#[test]
fn a_container_that_comes_after_the_proxy_has_its_probes_asked_too() {
    let mut pod = injected(&pod());
    let probe = json!({"httpGet": {"path": "/late", "port": 7070}});
    let late = json!({"name": "late", "image": "l", "readinessProbe": probe});
    pod["spec"]["containers"].as_array_mut().unwrap().push(late);
    let again = injected(&pod);
    assert_eq!(questions(&again), json!([{"at": "/probe/late/readiness", "port": 7070, "http": "/late"}]));
    assert_eq!(inject(&again, &injection()), Ok(Outcome::Left(Left::HasOne)));
    // A proxy that somebody has written himself is his.
    let mut theirs = pod.clone();
    theirs["metadata"]["annotations"] = json!({});
    assert_eq!(inject(&theirs, &injection()), Ok(Outcome::Left(Left::HasOne)));
}

#[test]
fn the_pod_is_found_in_whatever_makes_pods() {
    let found = |kind: &str, object: Value| {
        let mut object = object;
        object["kind"] = json!(kind);
        template_of(&mut object).map(|pod| pod["spec"]["containers"].clone())
    };
    let pod = json!({"spec": {"containers": []}});
    assert_eq!(found("Pod", pod.clone()), Some(json!([])));
    assert_eq!(found("Deployment", json!({"spec": {"template": pod}})), Some(json!([])));
    assert_eq!(
        found("CronJob", json!({"spec": {"jobTemplate": {"spec": {"template": pod}}}})),
        Some(json!([]))
    );
    assert_eq!(found("Service", json!({"spec": {"template": pod}})), None);
    assert_eq!(found("Job", json!({"spec": {}})), None);
}

/// Anything that JSON can say, with some of the words that a pod is made of.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z]{0,6}".prop_map(Value::from),
    ];
    let words = prop::sample::select(vec![
        "metadata",
        "spec",
        "containers",
        "initContainers",
        "volumes",
        "annotations",
        "name",
        "os",
        "securityContext",
        "hostNetwork",
        INJECT,
        INJECTED,
        SKIP_INBOUND,
        "readinessProbe",
        "lifecycle",
        "preStop",
        "httpGet",
        "tcpSocket",
        "port",
        "ports",
        "env",
    ]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((words.clone(), inner), 0..5).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    /// Whatever a webhook is called with: no panic, a second time changes nothing, and the patch makes of the one what
    /// the other is.
    #[test]
    fn injecting_what_was_injected_changes_nothing(extra in anything(), place in 0_usize..5) {
        let mut pod = pod();
        match place {
            0 => pod = extra,
            1 => pod["spec"] = extra,
            2 => pod["spec"]["initContainers"] = extra,
            3 => pod["spec"]["containers"][0]["readinessProbe"] = extra,
            _ => pod["metadata"]["annotations"] = extra,
        }
        if let Ok(Outcome::Injected(injected)) = inject(&pod, &injection()) {
            prop_assert_eq!(inject(&injected, &injection()), Ok(Outcome::Left(Left::HasOne)));
            let mut patched = pod.clone();
            for step in patch(&pod, &injected).as_array().unwrap() {
                let path = step["path"].as_str().unwrap();
                let (parent, name) = path.rsplit_once('/').unwrap();
                patched.pointer_mut(parent).unwrap()[name] = step["value"].clone();
            }
            prop_assert_eq!(patched, injected);
        }
    }
}
