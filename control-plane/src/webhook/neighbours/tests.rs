//! Two installations at one scripted API server: which of them acts, what the other leaves behind, and that nobody is
//! hindered by either.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;
use crate::custody::{Custody, Init};
use crate::scripted::{Fault, Server};
use crate::webhook::{Failure, Registered, keep_registered};

fn own(namespace: &str) -> String {
    format!("weft-control-plane.{namespace}.svc")
}

fn configuration(namespace: &str, made: &str) -> Value {
    let webhook = |name: &str| {
        json!({"name": name, "failurePolicy": "Fail",
            "clientConfig": {"service": {"name": "weft-control-plane", "namespace": namespace, "port": 15017}}})
    };
    json!({"metadata": {"name": format!("weft-{namespace}"), "creationTimestamp": made, "resourceVersion": "1"},
        "webhooks": [webhook("inject.weft.mesh"), webhook("another.weft.mesh")]})
}

#[test]
fn whoever_was_there_first_acts_and_everybody_agrees_on_who_that_is() {
    let (early, late) = ("2026-11-21T10:00:00Z", "2026-11-21T10:00:01Z");
    let (a, b) = (|made| configuration("a", made), |made| configuration("b", made));
    let table = [
        ("nobody", vec![], ["first", "first"]),
        ("one", vec![a(early)], ["first", "behind a"]),
        ("two", vec![b(late), a(early)], ["first", "behind a"]),
        ("in the same second", vec![b(early), a(early)], ["first", "behind a"]),
        ("by its first", vec![a(late), b(early), b(late)], ["behind b", "first"]),
        (
            "no Service",
            vec![json!({"webhooks": [{"clientConfig": {"url": "https://x"}}]}), json!(7)],
            ["first", "first"],
        ),
    ];
    for (case, all, expected) in table {
        let shown = ["a", "b"].map(|namespace| match place_among(&all, &own(namespace)) {
            Place::First => "first".to_owned(),
            Place::Behind(first) => format!("behind {}", first.split('.').nth(1).unwrap()),
            Place::Unknown => "unknown".to_owned(),
        });
        assert_eq!(shown, expected, "{case}");
    }
}

#[test]
fn what_an_installation_that_stands_back_has_changed_of_its_own_is_put_back_to_the_letter() {
    let mut written = configuration("b", "2026-11-21T10:00:00Z");
    written["webhooks"][1]["failurePolicy"] = json!("Ignore");
    assert_eq!(go_on(&written), None, "it has changed nothing yet");
    let before = written["webhooks"].clone();
    written["webhooks"][0]["clientConfig"]["caBundle"] = json!("cm9vdHM=");
    let patch = stand_back(&written, &own("a")).unwrap();
    assert_eq!(patch["metadata"]["resourceVersion"], "1");
    let mut back = written.clone();
    back["metadata"]["annotations"] = patch["metadata"]["annotations"].clone();
    back["webhooks"] = patch["webhooks"].clone();
    assert!(
        !back["webhooks"].to_string().contains("caBundle") && !back["webhooks"].to_string().contains("Fail"),
        "{back}"
    );
    assert_eq!(stand_back(&back, &own("a")), None, "once");
    // An upgrade writes what the chart says, and must not become what is put back.
    let mut upgraded = back.clone();
    upgraded["webhooks"][0]["failurePolicy"] = json!("Fail");
    assert_eq!(
        stand_back(&upgraded, &own("a")).unwrap()["metadata"]["annotations"],
        back["metadata"]["annotations"]
    );
    assert_eq!(go_on(&back).unwrap()["webhooks"], before);
    assert_eq!(go_on(&back).unwrap()["metadata"]["annotations"][NOTE], Value::Null);
    // What somebody else has written there means nothing.
    back["metadata"]["annotations"][NOTE] = json!("[1]");
    assert_eq!(go_on(&back).unwrap()["webhooks"], back["webhooks"]);
}

/// An installation that keeps its webhooks right.
struct Installed {
    place: watch::Receiver<Place>,
    _state: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

async fn install(server: &Server, namespace: &str) -> Installed {
    let state = tempfile::tempdir().unwrap();
    let domain = "weft.local".parse().unwrap();
    let custody =
        Arc::new(Custody::open(&state.path().join("state"), Init::Yes, &domain, SystemTime::now()).unwrap());
    let (says, place) = watch::channel(Place::Unknown);
    let registered = Registered::both(&format!("weft-{namespace}"), &own(namespace));
    let client = server.client().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        keep_registered(client, registered, Failure::AsWritten, custody.trust_changes(), says).await;
    });
    Installed { place, _state: state, _tasks: tasks }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = timeout(Duration::from_secs(40), async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}

const MUTATING: &str = "mutatingwebhookconfigurations";

#[tokio::test]
async fn a_second_installation_is_in_nobodys_way_and_goes_on_when_the_first_has_gone() {
    let server = Server::start().await;
    server.put(MUTATING, &configuration("a", "2026-11-21T10:00:00Z"));
    let first = install(&server, "a").await;
    let trusted = |name: &str| {
        let all = server.object(MUTATING, name).unwrap()["webhooks"].clone();
        all.as_array().unwrap().iter().all(|it| it["clientConfig"]["caBundle"].is_string())
    };
    let waited_for =
        |name: &str| server.object(MUTATING, name).unwrap()["webhooks"].to_string().contains("Fail");
    until("the first is trusted", || trusted("weft-a")).await;
    assert_eq!(*first.place.borrow(), Place::First);

    server.put(MUTATING, &configuration("b", "2026-11-21T11:00:00Z"));
    let before = server.object(MUTATING, "weft-a").unwrap();
    let second = install(&server, "b").await;
    until("nothing waits for the second", || !waited_for("weft-b")).await;
    assert_eq!(*second.place.borrow(), Place::Behind(own("a")));
    assert!(!Turn::told(second.place.clone()).is_ours());
    assert!(!trusted("weft-b"));
    assert_eq!(server.object(MUTATING, "weft-a").unwrap(), before, "and nothing of the first was touched");

    server.delete(MUTATING, "weft-a");
    drop(first);
    until("the second goes on", || trusted("weft-b") && waited_for("weft-b")).await;
    assert!(Turn::told(second.place.clone()).is_ours());
}

#[tokio::test]
async fn who_may_not_see_others_goes_on_as_before_them_and_who_cannot_waits() {
    let server = Server::start().await;
    server.put(MUTATING, &configuration("b", "2026-11-21T11:00:00Z"));
    let list = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    for (fault, expected) in [
        (Fault::Status(500), Place::Unknown),
        (Fault::Later(3600), Place::Unknown),
        (Fault::HangUp, Place::Unknown),
        // A chart from before this was looked at gives no such right.
        (Fault::Status(403), Place::First),
    ] {
        server.fail_always(list, Some(fault));
        let asked = server.requests("webhookconfigurations?labelSelector");
        let installed = install(&server, "b").await;
        until("it has looked", || server.requests("webhookconfigurations?labelSelector") > asked).await;
        if expected == Place::First {
            until("it goes on", || *installed.place.borrow() == Place::First).await;
        }
        assert_eq!(*installed.place.borrow(), expected, "{fault:?}");
    }
}
