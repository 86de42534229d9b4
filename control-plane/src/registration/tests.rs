use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::journal::record::Grant;
use crate::journal::sim::{Fault, SimDisk};

const MINUTE: Duration = Duration::from_secs(60);

fn open(disk: &SimDisk) -> Registry {
    let ledger = match Ledger::open(Arc::new(disk.clone())).unwrap() {
        Some(ledger) => ledger,
        None => {
            let grant = |name: &str| Grant {
                workload: format!("shop/{name}").parse().unwrap(),
                identity: id("web").to_string(),
                leaf_not_after_unix: 0,
            };
            let grants = ["web-1", "web-2"].map(|name| Change::Grant(grant(name)));
            Ledger::create(Arc::new(disk.clone()), grants.to_vec()).unwrap()
        }
    };
    Registry::new(Arc::new(ledger), Patience::default(), Moment::START)
}

fn id(service_account: &str) -> SpiffeId {
    format!("spiffe://mesh/ns/shop/sa/{service_account}").parse().unwrap()
}

fn claim() -> v1::Registration {
    v1::Registration {
        address: "10.0.0.7".to_owned(),
        inbound_port: 4143,
        ports: vec![v1::RegisteredPort { name: "http".to_owned(), number: 8080, protocol: 1 }],
        labels: vec![v1::Label { key: "app".to_owned(), value: "web".to_owned() }],
        zone: "a".to_owned(),
        weight: 0,
    }
}

/// `shop/web-1`, which says at once that it is well.
fn attach(registry: &Registry) -> Session {
    let session = registry.attach(&id("web"), "shop/web-1", &claim()).unwrap();
    registry.report(&session, &report(v1::report::Phase::Serving, v1::Health::Healthy));
    session
}

fn report(phase: v1::report::Phase, application: v1::Health) -> v1::Report {
    v1::Report { phase: phase.into(), application: application.into(), ..v1::Report::default() }
}

/// What the registry has to tell, as `shop/web-1 Healthy` or `shop/web-1 gone`.
async fn told(registry: &Registry) -> Vec<String> {
    let changes = registry.changes().await;
    let (pairs, rest) = changes.as_chunks::<2>();
    assert!(rest.is_empty());
    pairs
        .iter()
        .map(|pair| match pair {
            [set::Change::Upsert(object), set::Change::Health { health, .. }] => {
                let key = object.key();
                format!("{}/{} {health:?}", key.namespace, key.name)
            }
            [set::Change::Delete(key), set::Change::Health { health: Health::Healthy, .. }] => {
                format!("{}/{} gone", key.namespace, key.name)
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn a_workload_registers_is_told_of_and_outlives_a_restart_unconfirmed() {
    let disk = SimDisk::default();
    let registry = open(&disk);
    let session = attach(&registry);
    assert_eq!(told(&registry).await, ["shop/web-1 Healthy"]);
    registry.report(&session, &report(v1::report::Phase::Serving, v1::Health::Unhealthy));
    assert_eq!(told(&registry).await, ["shop/web-1 Unhealthy"]);
    registry.report(&session, &report(v1::report::Phase::Serving, v1::Health::Healthy));
    registry.detach(&session, Moment::START + MINUTE);
    assert_eq!(told(&registry).await, ["shop/web-1 Unconfirmed"]);

    let restarted = open(&disk.after_crash(0));
    assert_eq!(told(&restarted).await, ["shop/web-1 Unconfirmed"]);
    let before = disk.steps_taken();
    attach(&restarted);
    assert_eq!(told(&restarted).await, ["shop/web-1 Healthy"]);
    assert_eq!(disk.steps_taken(), before, "it said nothing new, so nothing was written");
}

#[tokio::test]
async fn what_was_said_arrives_as_an_object_that_services_select() {
    let registry = open(&SimDisk::default());
    let mut claim = claim();
    claim.address = "::ffff:10.0.0.7".to_owned();
    registry.attach(&id("web"), "shop/web-1", &claim).unwrap();
    let changes = registry.changes().await;
    let Some(set::Change::Upsert(Object::Workload(workload))) = changes.first() else {
        panic!("{changes:?}")
    };
    assert_eq!(workload.address.to_string(), "10.0.0.7");
    assert_eq!(&*workload.service_account, "web");
    assert_eq!((workload.weight, workload.zone.as_deref()), (1, Some("a")));
    assert_eq!(workload.meta.labels.get("app").map(|value| &**value), Some("web"));
    assert_eq!(workload.port_named("http").map(|port| port.number), Some(8080));
}

#[tokio::test]
async fn going_is_gone_with_the_stream_and_stays_gone() {
    let disk = SimDisk::default();
    let registry = open(&disk);
    let session = attach(&registry);
    registry.report(&session, &report(v1::report::Phase::Going, v1::Health::Healthy));
    assert_eq!(told(&registry).await, ["shop/web-1 Draining"]);
    assert_eq!(told(&open(&disk.after_crash(0))).await, ["shop/web-1 Draining"], "also across a crash");
    registry.detach(&session, Moment::START + MINUTE);
    assert_eq!(told(&registry).await, ["shop/web-1 gone"]);
    assert_eq!(open(&disk.after_crash(0)).count(), (0, 0));
}

#[test]
fn only_the_workload_of_the_token_can_be_registered_and_only_as_its_identity() {
    let registry = open(&SimDisk::default());
    let other: SpiffeId = "spiffe://other/ns/shop/sa/web".parse().unwrap();
    for (peer, workload, want) in [
        (&id("web"), "shop/web-1", "registered"),
        (&id("web"), "shop/web-2", "registered"),
        (&id("web"), "shop/web-3", "not_permitted"),
        (&id("web"), "bank/web-1", "not_permitted"),
        (&id("api"), "shop/web-1", "not_permitted"),
        (&other, "shop/web-1", "not_permitted"),
        (&id("web"), "web-1", "name"),
        (&id("web"), "shop/../bank", "name"),
    ] {
        let got = registry.attach(peer, workload, &claim());
        assert_eq!(
            got.as_ref().map_or_else(|error| error.label(), |_| "registered"),
            want,
            "{peer} {workload}"
        );
    }
}

#[test]
fn a_claim_that_makes_no_sense_is_refused_by_field() {
    let registry = open(&SimDisk::default());
    let port = |name: &str, number, protocol| v1::RegisteredPort { name: name.to_owned(), number, protocol };
    let label = |key: &str, value: &str| v1::Label { key: key.to_owned(), value: value.to_owned() };
    let with = |change: &dyn Fn(&mut v1::Registration)| {
        let mut claim = claim();
        change(&mut claim);
        registry
            .attach(&id("web"), "shop/web-1", &claim)
            .map_or_else(|error| error.to_string(), |_| String::new())
    };
    for (field, refused) in [
        ("address", with(&|claim| claim.address = String::new())),
        ("address", with(&|claim| claim.address = "web.example".to_owned())),
        ("address", with(&|claim| claim.address = "0.0.0.0".to_owned())),
        ("address", with(&|claim| claim.address = "::".to_owned())),
        ("address", with(&|claim| claim.address = "224.0.0.1".to_owned())),
        ("address", with(&|claim| claim.address = "::ffff:255.255.255.255".to_owned())),
        ("inbound_port", with(&|claim| claim.inbound_port = 65_536)),
        ("ports", with(&|claim| claim.ports = vec![port("", 0, 0)])),
        ("ports", with(&|claim| claim.ports = vec![port("", 65_536, 0)])),
        ("ports", with(&|claim| claim.ports = vec![port("HTTP", 1, 0)])),
        ("ports", with(&|claim| claim.ports = vec![port("", 1, 99)])),
        ("ports", with(&|claim| claim.ports = vec![port("a", 1, 0), port("b", 1, 0)])),
        ("ports", with(&|claim| claim.ports = vec![port("a", 1, 0), port("a", 2, 0)])),
        ("ports", with(&|claim| claim.ports = (1..=65).map(|number| port("", number, 0)).collect())),
        ("labels", with(&|claim| claim.labels = vec![label("", "x")])),
        ("labels", with(&|claim| claim.labels = vec![label("a/b/c", "x")])),
        ("labels", with(&|claim| claim.labels = vec![label("app", "a b")])),
        ("labels", with(&|claim| claim.labels = vec![label("app", "a"), label("app", "b")])),
        ("labels", with(&|claim| claim.labels = (0..65).map(|n| label(&format!("k{n}"), "")).collect())),
        ("zone", with(&|claim| claim.zone = "a/b".to_owned())),
        ("weight", with(&|claim| claim.weight = 1_000_001)),
        ("", with(&|claim| claim.labels = vec![label("topology.kubernetes.io/zone", "a"), label("x", "")])),
        ("", with(&|claim| claim.ports = vec![port("", 1, 0), port("", 2, 4)])),
    ] {
        assert_eq!(refused.is_empty(), field.is_empty(), "{field}: {refused}");
        assert!(
            refused.is_empty() || refused.starts_with(&format!("registration.{field} ")),
            "{field}: {refused}"
        );
    }
}

#[tokio::test]
async fn a_disk_that_is_full_refuses_news_and_takes_everybody_who_says_nothing_new() {
    let disk = SimDisk::default();
    let registry = open(&disk);
    let session = attach(&registry);
    disk.suffer(Fault::Full);
    registry.detach(&session, Moment::START + MINUTE);
    let session = attach(&registry);
    assert_eq!(told(&registry).await, ["shop/web-1 Healthy"]);
    let refused = registry.attach(&id("web"), "shop/web-2", &claim()).unwrap_err();
    assert_eq!((refused.label(), refused.code()), ("journal", tonic::Code::Unavailable));

    // Going works all the same, and is removed when the disk recovers.
    registry.report(&session, &report(v1::report::Phase::Going, v1::Health::Healthy));
    registry.detach(&session, Moment::START + MINUTE);
    assert_eq!(told(&registry).await, ["shop/web-1 Draining"]);
    registry.tick(Moment::START + MINUTE);
    assert_eq!(registry.count(), (1, 1));
    disk.suffer(Fault::None);
    registry.tick(Moment::START + MINUTE);
    assert_eq!(told(&registry).await, ["shop/web-1 gone"]);
}

#[tokio::test]
async fn whoever_is_denied_or_forgotten_is_gone_at_once_and_cannot_come_back() {
    let registry = open(&SimDisk::default());
    attach(&registry);
    registry.attach(&id("web"), "shop/web-2", &claim()).unwrap();
    registry.forget(&"shop/web-2".parse().unwrap()).unwrap();
    assert_eq!(told(&registry).await, ["shop/web-1 Healthy", "shop/web-2 gone"]);
    assert_eq!(registry.attach(&id("web"), "shop/web-2", &claim()).unwrap_err().label(), "not_permitted");

    let denied = Denied { identity: id("web").to_string(), serial: Vec::new() };
    registry.ledger.commit(|_| Ok::<_, JournalError>((vec![Change::Denied(denied)], ()))).unwrap();
    registry.tick(Moment::START);
    assert_eq!(told(&registry).await, ["shop/web-1 gone"]);
    assert_eq!(registry.attach(&id("web"), "shop/web-1", &claim()).unwrap_err().label(), "denied");
}

#[tokio::test]
async fn a_stream_hears_that_its_workload_was_removed_before_anybody_was_told_of_it() {
    let registry = open(&SimDisk::default());
    let (mut first, mut second) = (attach(&registry), attach(&registry));
    let early = timeout(Duration::ZERO, first.removed()).await;
    assert!(early.is_err(), "another stream of the same workload takes nothing from the first");
    registry.forget(&"shop/web-1".parse().unwrap()).unwrap();
    // Registered and forgotten in one: for the world there was never anybody, and nothing has changed.
    assert_eq!(told(&registry).await, ["shop/web-1 gone"]);
    for session in [&mut first, &mut second] {
        timeout(MINUTE, session.removed()).await.expect("it is gone");
    }
}

#[test]
fn a_crash_at_any_byte_keeps_every_registration_that_was_answered() {
    let whole = SimDisk::default();
    let registry = open(&whole);
    let begun = whole.steps_taken();
    attach(&registry);
    for more in 0..=whole.steps_taken() - begun {
        let disk = SimDisk::default();
        let registry = open(&disk);
        disk.kill_after(more);
        let answered = registry.attach(&id("web"), "shop/web-1", &claim()).is_ok();
        let (known, _) = open(&disk.after_crash(more)).count();
        assert!(known == 1 || !answered, "killed after {more} more steps");
    }
}
