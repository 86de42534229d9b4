//! Watches against an API server that does as it is told: whatever goes wrong, in the end what is known is what there
//! is, and meanwhile nothing is emptied.

use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::time::sleep;
use weft_manifests::set::ObjectSet;
use weft_manifests::settings::MeshSettings;

use super::*;
use crate::scripted::{Fault, Server};

const QUICKLY: Pace = Pace {
    after_failure: Duration::from_millis(5),
    look_again: Duration::from_millis(20),
    well_after: Duration::from_millis(500),
    patience: Duration::from_secs(2),
    too_many: Duration::from_millis(10),
};

fn service(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "uid": name},
        "spec": {"clusterIP": "10.96.0.1", "selector": {"app": name}, "ports": [{"name": "http", "port": 80}]}})
}

fn pod(name: &str, address: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": "api"}},
        "spec": {"serviceAccountName": "api", "nodeName": "n", "containers": [{"name": "api"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": address}]}})
}

fn route(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop"},
        "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "api"}],
            "rules": [{"backendRefs": [{"name": "api", "port": 80}]}]}})
}

/// Everything that is known, by name.
fn known(gathered: &Gathered) -> Vec<String> {
    let mut known: Vec<_> = gathered.reading().objects.into_keys().map(|key| key.to_string()).collect();
    known.sort();
    known
}

/// Gathers in the background, as a control plane does, and lets a test look.
struct Follower {
    gathered: Gathered,
    _task: JoinSet<()>,
}

impl Follower {
    async fn start(server: &Server) -> Self {
        Self::start_at(server, QUICKLY).await
    }

    async fn start_at(server: &Server, pace: Pace) -> Self {
        let mut kubernetes = Kubernetes::watch_at(&server.client().await, pace);
        let gathered = kubernetes.gathered();
        kubernetes.first().await.unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            // The whole of it, with its watches.
            let mut kubernetes = kubernetes;
            while kubernetes.gatherer.next().await.is_some() {}
        });
        Self { gathered, _task: task }
    }

    async fn comes_to_know(&self, expected: &[&str], when: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while known(&self.gathered) != expected && Instant::now() < until {
            sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(known(&self.gathered), expected, "{when}: {:?}", self.gathered.states());
    }

    async fn is(&self, kind: &str, expected: fn(&State) -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !expected(&self.gathered.states()[kind]) && Instant::now() < until {
            sleep(Duration::from_millis(2)).await;
        }
        assert!(expected(&self.gathered.states()[kind]), "{:?}", self.gathered.states());
    }
}

#[tokio::test]
async fn what_there_is_is_known_at_once_and_what_changes_soon_after_from_streams_and_from_lists() {
    for streams in [true, false] {
        let server = Server::start().await;
        if !streams {
            server.cannot_stream();
        }
        server.put("services", &service("api"));
        server.put("pods", &pod("api-1", "10.0.0.1"));
        server.put("httproutes", &route("canary"));
        let mut kubernetes = Kubernetes::watch_at(&server.client().await, QUICKLY);
        let reading = kubernetes.first().await.unwrap();
        let mut first: Vec<_> = reading.objects.keys().map(ToString::to_string).collect();
        first.sort();
        assert_eq!(first, ["HTTPRoute shop/canary", "Service shop/api", "Workload shop/api-1"]);
        assert_eq!(reading.findings, [], "streams: {streams}");
        drop(kubernetes);

        let follower = Follower::start(&server).await;
        server.put("services", &service("web"));
        server.delete("pods", "api-1");
        follower
            .comes_to_know(&["HTTPRoute shop/canary", "Service shop/api", "Service shop/web"], "followed")
            .await;
    }
}

#[tokio::test]
async fn whatever_goes_wrong_with_a_watch_what_is_known_is_what_there_is_in_the_end() {
    type Trouble = fn(&Server);
    let troubles: [(&str, Trouble); 11] = [
        ("the connection ends in the middle of a line", |server| server.hang_up("services")),
        ("the watch ends, and its place is forgotten meanwhile", |server| {
            server.compact();
            server.hang_up("services");
        }),
        ("the watch is told that its place is forgotten", |server| {
            server.compact();
            server.say("services", &gone());
        }),
        ("the watch is told of a trouble that passes", |server| {
            server.say(
                "services",
                "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":500,\"message\":\"etcd\"}}\n",
            );
        }),
        ("a line is no JSON", |server| server.say("services", "<html>\n")),
        ("a line is of something else", |server| {
            server.say("services", "{\"type\":\"ADDED\",\"object\":[]}\n")
        }),
        ("beginning again is refused: too many requests", |server| {
            server.fail("services", Fault::Status(429));
            server.hang_up("services");
        }),
        ("beginning again fails, and fails, and fails", |server| {
            for _ in 0..3 {
                server.fail("services", Fault::Status(500));
            }
            server.hang_up("services");
        }),
        ("beginning again, the list breaks off", |server| {
            server.compact();
            server.fail("services", Fault::Status(410));
            server.fail("services", Fault::HangUp);
            server.hang_up("services");
        }),
        ("beginning again, a proxy in between answers", |server| {
            server.compact();
            server.fail("services", Fault::Nonsense);
            server.say("services", &gone());
        }),
        ("rights are taken away for a while", |server| {
            server.fail("services", Fault::Status(403));
            server.hang_up("services");
        }),
    ];
    for streams in [true, false] {
        for (case, trouble) in troubles {
            let server = Server::start().await;
            if !streams {
                server.cannot_stream();
            }
            server.put("services", &service("api"));
            server.put("services", &service("old"));
            let follower = Follower::start(&server).await;
            follower.comes_to_know(&["Service shop/api", "Service shop/old"], case).await;
            // What happens while nobody hears it, before the trouble and after.
            trouble(&server);
            server.put("services", &service("new"));
            server.delete("services", "old");
            follower.comes_to_know(&["Service shop/api", "Service shop/new"], case).await;
            server.put("services", &service("next"));
            let all = ["Service shop/api", "Service shop/new", "Service shop/next"];
            follower.comes_to_know(&all, case).await;
        }
    }
}

fn gone() -> String {
    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\"}}\n"
        .to_owned()
}

#[tokio::test]
async fn an_api_server_that_fails_for_long_empties_nothing_and_is_reported() {
    let server = Server::start().await;
    server.put("services", &service("api"));
    let follower = Follower::start(&server).await;
    let mut metrics = Registry::default();
    follower.gathered.register(&mut metrics);
    let failing = |count: u32| {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics).unwrap();
        assert!(text.contains(&format!("weft_control_plane_kinds_failing {count}\n")), "{text}");
    };
    failing(0);
    for _ in 0..40 {
        server.fail("services", Fault::Status(500));
    }
    server.hang_up("services");
    follower
        .is("Service", |state| matches!(state, State::Failing(why) if why.contains("as it was told")))
        .await;
    failing(1);
    assert_eq!(known(&follower.gathered), ["Service shop/api"]);
    let findings = follower.gathered.reading().findings;
    assert!(findings[0].to_string().contains("the kind Service is not heard of now"), "{findings:?}");
    // Longer and longer pauses, so that forty failures are some seconds and not an endless loop.
    follower.is("Service", |state| *state == State::Followed).await;
    failing(0);
    assert_eq!(follower.gathered.reading().findings, []);
}

#[tokio::test]
async fn a_kind_that_is_not_there_is_no_obstacle_and_is_found_when_it_comes() {
    let server = Server::start().await;
    server.lacks("gateway.networking.k8s.io", true);
    server.lacks("weft.mesh", true);
    server.put("services", &service("api"));
    let follower = Follower::start(&server).await;
    follower.comes_to_know(&["Service shop/api"], "without the kind").await;
    let findings: Vec<_> = follower.gathered.reading().findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings.len(), 6, "{findings:?}");
    assert!(findings.iter().any(|found| found.contains("does not have the kind HTTPRoute")), "{findings:?}");
    server.put("httproutes", &route("canary"));
    server.lacks("gateway.networking.k8s.io", false);
    follower.comes_to_know(&["HTTPRoute shop/canary", "Service shop/api"], "with it").await;
    server.lacks("weft.mesh", false);
    follower.is("Workload", |state| *state == State::Followed).await;
    // And it goes again, with all its objects, which nobody is told one by one.
    server.lacks("gateway.networking.k8s.io", true);
    server.compact();
    server.say("httproutes", &gone());
    follower.comes_to_know(&["Service shop/api"], "without it once more").await;
}

#[tokio::test]
async fn nothing_is_said_to_be_known_before_every_kind_was_heard_of() {
    let server = Server::start().await;
    server.put("services", &service("api"));
    for _ in 0..6 {
        server.fail("endpointslices", Fault::Status(503));
    }
    let mut kubernetes = Kubernetes::watch_at(&server.client().await, QUICKLY);
    kubernetes.first().await.unwrap();
    assert!(server.requests("/endpointslices") >= 7, "{}", server.requests("/endpointslices"));
}

#[tokio::test]
async fn the_set_that_was_followed_is_the_set_of_a_fresh_start() {
    let server = Server::start().await;
    let follower = Follower::start(&server).await;
    for round in 0_u8..20 {
        let name = format!("api-{}", round % 7);
        server.put("services", &service(["api", "web", "db"][usize::from(round % 3)]));
        server.put("pods", &pod(&name, &format!("10.0.0.{round}")));
        server.put(
            "endpointslices",
            &json!({"metadata": {"name": "s", "namespace": "shop", "labels": {"kubernetes.io/service-name": "api"}},
                "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
                "endpoints": [{"addresses": [format!("10.0.0.{round}")],
                    "targetRef": {"kind": "Pod", "name": name, "namespace": "shop"}}]}),
        );
        match round {
            5 => server.hang_up("pods"),
            9 => server.delete("pods", "api-2"),
            13 => {
                server.compact();
                server.hang_up("endpointslices");
            }
            _ => {}
        }
    }
    let mut fresh = Kubernetes::watch_at(&server.client().await, QUICKLY);
    let fresh = fresh.first().await.unwrap();
    let set = |reading: &Reading| {
        let objects = reading.objects.values().map(|placed| placed.object.clone());
        ObjectSet::of(MeshSettings::default(), objects)
    };
    let until = Instant::now() + Duration::from_secs(20);
    while set(&follower.gathered.reading()) != set(&fresh) && Instant::now() < until {
        sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(set(&follower.gathered.reading()), set(&fresh));
}

#[tokio::test]
async fn an_api_server_that_takes_a_question_and_says_nothing_is_asked_again_and_reported() {
    // Of a list, of a watch that begins, and of what kinds there are.
    for silent in ["services", "/apis/weft.mesh/v1alpha1"] {
        let server = Server::start().await;
        server.put("services", &service("api"));
        server.fail(silent, Fault::Silence);
        let pace = Pace { patience: Duration::from_millis(300), ..QUICKLY };
        let mut kubernetes = Kubernetes::watch_at(&server.client().await, pace);
        let first = tokio::time::timeout(Duration::from_secs(20), kubernetes.first()).await;
        assert_eq!(first.expect("it is asked again").unwrap().objects.len(), 1, "{silent}");
    }
    let server = Server::start().await;
    server.put("services", &service("api"));
    let follower =
        Follower::start_at(&server, Pace { patience: Duration::from_millis(300), ..QUICKLY }).await;
    server.fail_always("services", Some(Fault::Silence));
    server.compact();
    server.say("services", &gone());
    follower
        .is("Service", |state| matches!(state, State::Failing(why) if why.contains("nothing came within")))
        .await;
    assert_eq!(known(&follower.gathered), ["Service shop/api"], "what was known stays");
    server.fail_always("services", None);
    follower.is("Service", |state| *state == State::Followed).await;
}

#[tokio::test]
async fn who_is_told_to_come_later_comes_later_and_not_next_day() {
    let server = Server::start().await;
    let mut pause = watch::Pause::new(QUICKLY);
    // What an API server says of it, and the shortest and the longest pause that follows.
    for (fault, least, most) in
        [(Fault::Later(1), 1_000, 8_000), (Fault::Status(429), 10, 7_000), (Fault::Status(500), 0, 7_000)]
    {
        let status = asked(&server, "/api/v1/services", fault).await;
        pause.heed(Some(&status));
        let began = Instant::now();
        pause.wait().await;
        let waited = began.elapsed();
        let allowed = Duration::from_millis(least)..Duration::from_millis(most);
        assert!(allowed.contains(&waited), "{fault:?}: {waited:?}");
        pause.reset();
    }
    let status = asked(&server, "/api/v1/services", Fault::Later(86_400)).await;
    pause.heed(Some(&status));
    assert!(pause.length() <= Duration::from_secs(30), "a watch that is away for a day is no watch");
}

/// What the client makes of a refusal.
async fn asked(server: &Server, path: &str, fault: Fault) -> kube::core::Status {
    server.fail("GET services", fault);
    let began = server.requests(path);
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let error = server.client().await.request::<Value>(request).await.unwrap_err();
    assert_eq!(server.requests(path), began + 1, "{fault:?}: the client itself asks once");
    let kube::Error::Api(status) = error else { panic!("{error}") };
    *status
}

#[tokio::test]
async fn kinds_of_another_version_are_named_with_their_versions_and_what_was_known_of_them_stays() {
    let policy = json!({"metadata": {"name": "p", "namespace": "shop"},
        "spec": {"action": "Deny", "rules": [{"from": [{"namespaces": ["x"]}]}]}});
    let server = Server::start().await;
    server.put("authorizationpolicies", &policy);
    server.put("httproutes", &route("canary"));
    let follower = Follower::start(&server).await;
    let before = known(&follower.gathered);
    assert!(before.iter().any(|object| object == "HTTPRoute shop/canary"), "{before:?}");
    // Somebody applies CRDs of the next release, which have our version no more.
    for group in ["weft.mesh", "gateway.networking.k8s.io"] {
        server.serves_only(group, "v9");
    }
    server.compact();
    for plural in ["authorizationpolicies", "httproutes"] {
        server.say(plural, &gone());
    }
    for kind in ["AuthorizationPolicy", "HTTPRoute"] {
        follower
            .is(kind, |state| matches!(state, State::Failing(why) if why.contains("in v9, and v1")))
            .await;
    }
    assert_eq!(known(&follower.gathered), before);

    // At a start: routes can be gone without, whom a policy keeps out cannot.
    let server = Server::start().await;
    server.serves_only("gateway.networking.k8s.io", "v9");
    let follower = Follower::start(&server).await;
    let findings = follower.gathered.reading().findings;
    let said: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert!(
        said.iter().any(|found| found.contains("HTTPRoute in v9, and v1 or v1beta1 is read")),
        "{said:?}"
    );
    server.serves_only("weft.mesh", "v9");
    let mut kubernetes = Kubernetes::watch_at(&server.client().await, QUICKLY);
    let gathered = kubernetes.gathered();
    let first = tokio::spawn(async move { kubernetes.first().await });
    let until = Instant::now() + Duration::from_secs(20);
    while !matches!(gathered.states()["AuthorizationPolicy"], State::Failing(_)) && Instant::now() < until {
        sleep(Duration::from_millis(2)).await;
    }
    let State::Failing(why) = &gathered.states()["AuthorizationPolicy"] else {
        panic!("{:?}", gathered.states())
    };
    assert!(why.contains("in v9, and v1alpha1 is read"), "{why}");
    assert!(!first.is_finished(), "nothing is served without the policies");
}
