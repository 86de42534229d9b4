//! What holds follows from what was told and not from how it was told.

use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;
use weft_policy::object::{Kind, ObjectRef};
use weft_policy::snapshot::Service;

use super::*;
use crate::{arbitrary, encode, patch};

mod model;

fn workload() -> WorkloadName {
    WorkloadName::parse("shop/web").unwrap()
}

fn a_held() -> Held {
    Held::new(workload())
}

fn service(name: &str, hosts: &[&str], vips: &[&str]) -> Value {
    let (namespace, name) = name.split_once('/').unwrap();
    let vips = vips.iter().map(|vip| vip.parse().unwrap()).collect();
    let hosts = hosts.iter().map(|host| (*host).into()).collect();
    let name = weft_policy::object::ServiceName::new(namespace, name);
    Value::Service(Service { name, vips, hosts, ports: Vec::new(), pod: None }.into())
}

fn inbound(identity: &str) -> Value {
    let inbound = weft_policy::snapshot::Inbound {
        workload: ObjectRef::new(Kind::Workload, "shop", "web"),
        identity: identity.parse().unwrap(),
        zone: None,
        ports: Vec::new(),
        undeclared: weft_policy::authorize::PortPolicy {
            mtls: weft_policy::authorize::MtlsMode::Strict,
            mtls_origin: None,
            trust_domain: "td".parse().unwrap(),
            policies: Vec::new(),
        },
    };
    Value::Inbound(Enforced { inbound: inbound.into(), health: Vec::new() }.into())
}

fn update(revision: u64, put: &[Value]) -> v1::Update {
    v1::Update {
        revision,
        nonce: revision,
        put: put.iter().map(encode::resource).collect(),
        ..Default::default()
    }
}

fn gone(kind: v1::Type, name: &str, why: v1::tombstone::Why) -> v1::Tombstone {
    v1::Tombstone { r#type: kind.into(), name: name.into(), why: why.into() }
}

#[track_caller]
fn apply(held: &mut Held, update: v1::Update) -> Committed {
    assert_eq!(held.stage(update), Ok(Progress::Complete));
    held.commit().unwrap()
}

fn host(snapshot: &Snapshot, host: &str) -> Option<String> {
    snapshot.hosts.get(host).map(ToString::to_string)
}

#[test]
fn a_transaction_is_seen_whole_or_not_at_all() {
    let mut held = a_held();
    let first = v1::Update { more: true, ..update(1, &[service("shop/api", &["api"], &[])]) };
    assert_eq!(held.stage(first.clone()), Ok(Progress::More));
    assert!(held.commit().is_none() && held.snapshot().services.is_empty() && held.retained().is_empty());

    // The stream is lost: a new one begins anew, and the half that came is not taken up again.
    held.welcome(&v1::Welcome { now: Some(v1::Seen { epoch: vec![1], revision: 1 }), ..Default::default() })
        .unwrap();
    let committed = apply(&mut held, update(1, &[service("shop/web", &["web"], &[])]));
    assert_eq!(committed.snapshot.services.len(), 1);

    assert_eq!(held.stage(v1::Update { revision: 2, ..first }), Ok(Progress::More));
    let committed = apply(&mut held, update(3, &[service("shop/cart", &["cart"], &[])]));
    assert_eq!(
        (committed.snapshot.services.len(), committed.snapshot.revision, committed.ack.nonce),
        (3, 3, 3)
    );
}

#[test]
fn a_replica_that_lags_is_refused_and_a_new_epoch_is_not() {
    let mut held = a_held();
    let welcome = |epoch: u8, revision| v1::Welcome {
        now: Some(v1::Seen { epoch: vec![epoch], revision }),
        ..Default::default()
    };
    held.welcome(&welcome(1, 5)).unwrap();
    let behind = |held, offered| Err(Refused::Backwards { held, offered });
    assert_eq!(held.stage(update(4, &[])), behind(5, 4).map(|()| Progress::More));
    let _ = apply(&mut held, update(9, &[service("shop/api", &[], &[])]));
    assert_eq!(held.welcome(&welcome(1, 8)), behind(9, 8));
    assert_eq!(held.welcome(&welcome(1, 9)), Ok(()));
    assert_eq!(held.welcome(&welcome(2, 1)), Ok(()), "restored from a backup: its own count begins anew");
    assert_eq!(held.seen(), Some(&v1::Seen { epoch: vec![2], revision: 1 }));
    // Within a transaction, too.
    assert_eq!(held.stage(v1::Update { more: true, ..update(3, &[]) }), Ok(Progress::More));
    assert_eq!(held.stage(update(2, &[])), behind(3, 2).map(|()| Progress::More));
}

#[test]
fn what_cannot_be_read_keeps_its_last_good_version_and_the_rest_goes_ahead() {
    let mut held = a_held();
    let (api, web) = (service("shop/api", &["api"], &[]), service("shop/web", &["web"], &[]));
    let _ = apply(&mut held, update(1, std::slice::from_ref(&api)));
    let before = held.retained();

    let torn =
        v1::Service { ports: vec![v1::Port { number: 70_000, ..Default::default() }], ..Default::default() };
    let torn = encode::named(&api.key(), encode::bytes(&torn));
    let mut both = update(2, std::slice::from_ref(&web));
    both.put.push(torn.clone());
    let committed = apply(&mut held, both);
    let rejection = &committed.ack.rejected[0];
    assert_eq!((rejection.name.as_str(), rejection.version), ("shop/api", torn.version));
    assert_eq!(rejection.path, "ports[0].number");
    assert_eq!(committed.changed, BTreeSet::from([web.key()]));
    assert_eq!(host(&committed.snapshot, "api").as_deref(), Some("shop/api"));

    // The rejected version does not count: without the other one the digest is what it was.
    let mut without = update(3, &[]);
    without.gone.push(gone(v1::Type::Service, "shop/web", v1::tombstone::Why::NotFound));
    let _ = apply(&mut held, without);
    assert_eq!(held.retained(), before);
}

#[test]
fn a_proxy_without_a_readable_inbound_policy_has_none() {
    let mut held = a_held();
    let broken = encode::named(&inbound("spiffe://td/a").key(), vec![0xff].into());
    let committed = apply(&mut held, v1::Update { put: vec![broken.clone()], ..update(1, &[]) });
    assert!(committed.snapshot.inbound.is_none());
    assert_eq!(committed.ack.rejected.len(), 1);
    let _ = apply(&mut held, update(2, &[inbound("spiffe://td/a")]));
    let committed = apply(&mut held, v1::Update { put: vec![broken], ..update(3, &[]) });
    assert_eq!(committed.snapshot.inbound.unwrap().identity.as_str(), "spiffe://td/a");
    // Somebody else's policy is not enforced here.
    let mut foreign = update(4, &[]);
    let mut body = v1::Inbound::decode(encode::resource(&inbound("spiffe://td/b")).body).unwrap();
    body.workload.as_mut().unwrap().name = "other".into();
    let key = Key::parse(v1::Type::Inbound, "shop/other").unwrap();
    foreign.put.push(encode::named(&key, encode::bytes(&body)));
    let committed = apply(&mut held, foreign);
    assert!(committed.ack.rejected[0].detail.contains("another workload"), "{:?}", committed.ack.rejected);
    // And when it is taken away, nothing is let in.
    let mut none = update(5, &[]);
    none.gone.push(gone(v1::Type::Inbound, "shop/web", v1::tombstone::Why::NotFound));
    assert!(apply(&mut held, none).snapshot.inbound.is_none());
}

#[test]
fn older_trust_never_replaces_newer_trust() {
    let mut held = a_held();
    let domain: TrustDomain = "td".parse().unwrap();
    let trust = |sequence, denied: &[&str]| {
        let denied_identities = denied.iter().map(|id| id.parse().unwrap()).collect();
        Value::Trust(Trust { denied_identities, ..Trust::of(domain.clone(), sequence) }.into())
    };
    let _ = apply(&mut held, update(1, &[trust(7, &["spiffe://td/x"])]));
    let committed = apply(&mut held, update(2, &[trust(6, &[])]));
    assert_eq!(committed.ack.rejected[0].path, "sequence");
    assert_eq!(held.trust(&domain).unwrap().sequence, 7);
    // Not within one transaction either.
    let _ = apply(&mut held, v1::Update { more: false, ..update(3, &[trust(9, &[]), trust(8, &[])]) });
    assert_eq!(held.trust(&domain).unwrap().sequence, 9);
}

#[test]
fn a_patch_that_does_not_fit_asks_for_the_whole_and_changes_nothing() {
    let mut held = a_held();
    let of = arbitrary::a_service_port();
    let set = |count: u8| {
        weft_policy::endpoint::EndpointSet::new(
            of.clone(),
            (1..=count)
                .map(|n| weft_policy::endpoint::Endpoint {
                    name: format!("api-{n}").into(),
                    addr: ([10, 0, 0, n], 8080).into(),
                    target_port: 8080,
                    identity: None,
                    zone: None,
                    weight: 1,
                    health: Default::default(),
                })
                .collect(),
        )
    };
    let version = |count| patch::version_of(&set(count));
    let _ = apply(&mut held, update(1, &[Value::Endpoints(set(2).into())]));

    let skipped = patch::diff(&set(3), version(3), &set(4), version(4));
    let committed = apply(&mut held, v1::Update { patch: vec![skipped.clone()], ..update(2, &[]) });
    assert_eq!(committed.resync[0].name, "shop/api:8080");
    assert_eq!(committed.snapshot.endpoints[&of].endpoints().len(), 2);
    assert!(committed.changed.is_empty() && committed.ack.rejected.is_empty());

    // On top of what the same transaction brings, it fits.
    let next = patch::diff(&set(2), version(2), &set(3), version(3));
    let committed = apply(&mut held, v1::Update { patch: vec![next, skipped], ..update(3, &[]) });
    assert_eq!((committed.snapshot.endpoints[&of].endpoints().len(), committed.resync.len()), (4, 0));

    // What is gone in the same transaction cannot be patched.
    let bury = v1::Update {
        gone: vec![gone(v1::Type::Endpoints, "shop/api:8080", v1::tombstone::Why::NotFound)],
        more: true,
        ..update(4, &[])
    };
    assert_eq!(held.stage(bury), Ok(Progress::More));
    let back = patch::diff(&set(4), version(4), &set(3), version(3));
    let committed = apply(&mut held, v1::Update { patch: vec![back], ..update(4, &[]) });
    assert!(committed.snapshot.endpoints.is_empty() && committed.resync.len() == 1);
}

#[test]
fn an_alias_that_leads_nowhere_is_known_until_it_leads_somewhere() {
    use v1::tombstone::Why;
    let mut held = a_held();
    let mut answer = update(1, &[]);
    answer.gone = vec![
        gone(v1::Type::Service, "host/api.shop", Why::NotFound),
        gone(v1::Type::Service, "ip/10.0.0.1", Why::Forbidden),
        gone(v1::Type::Service, "host/API", Why::NotFound),
    ];
    let committed = apply(&mut held, answer);
    let absent = |alias: &str| committed.snapshot.absent.get(&crate::name::alias(alias).unwrap()).copied();
    assert_eq!(absent("host/api.shop"), Some(Absent::NotFound));
    assert_eq!(absent("ip/10.0.0.1"), Some(Absent::Forbidden));
    assert_eq!(committed.ack.rejected[0].name, "host/API");

    let committed = apply(&mut held, update(2, &[service("shop/api", &["api.shop"], &["10.0.0.1"])]));
    assert!(committed.snapshot.absent.is_empty());
    assert_eq!(host(&committed.snapshot, "api.shop").as_deref(), Some("shop/api"));

    let mut none = update(3, &[]);
    none.gone = vec![
        gone(v1::Type::Service, "shop/api", Why::NotFound),
        gone(v1::Type::Service, "host/api.shop", Why::NotFound),
    ];
    let committed = apply(&mut held, none);
    assert!(committed.snapshot.hosts.is_empty() && committed.snapshot.vips.is_empty());
    assert_eq!(committed.snapshot.absent.len(), 1);

    // A reason that this build does not know is not taken for permission to pass the mesh by.
    let mut odd = update(4, &[]);
    odd.gone.push(v1::Tombstone { why: 99, ..gone(v1::Type::Service, "host/odd", Why::NotFound) });
    odd.gone.push(gone(v1::Type::Service, "host/api.shop", Why::Unspecified));
    let committed = apply(&mut held, odd);
    assert_eq!(committed.snapshot.absent, BTreeMap::from([(Alias::host("odd"), Absent::Forbidden)]));
    held.forget(&Alias::host("odd"));
    assert!(held.snapshot().absent.is_empty());
}

#[test]
fn a_host_that_two_services_claim_passes_to_the_other_when_the_first_goes() {
    let mut held = a_held();
    let (a, b) = (service("shop/a", &["api"], &["10.0.0.1"]), service("shop/b", &["api"], &["10.0.0.1"]));
    let _ = apply(&mut held, update(1, std::slice::from_ref(&b)));
    let committed = apply(&mut held, update(2, std::slice::from_ref(&a)));
    assert_eq!(host(&committed.snapshot, "api").as_deref(), Some("shop/a"));
    let committed = apply(&mut held, update(3, &[service("shop/a", &[], &[])]));
    assert_eq!(host(&committed.snapshot, "api").as_deref(), Some("shop/b"));
    assert_eq!(committed.snapshot.vips.values().next().unwrap().to_string(), "shop/b");
}

#[test]
fn what_was_not_told_again_is_swept_away_when_all_has_been_told() {
    let mut held = a_held();
    let [api, web, cart] = ["api", "web", "cart"].map(|name| service(&format!("shop/{name}"), &[name], &[]));
    let _ = apply(&mut held, update(1, &[api.clone(), web, cart.clone(), inbound("spiffe://td/a")]));
    let resume = |kind: v1::Type, verdict: v1::resume::Verdict| v1::Resume {
        r#type: kind.into(),
        verdict: verdict.into(),
    };
    let welcome = v1::Welcome {
        now: Some(v1::Seen { epoch: vec![2], revision: 1 }),
        resume: vec![
            resume(v1::Type::Service, v1::resume::Verdict::Full),
            resume(v1::Type::Inbound, v1::resume::Verdict::Exact),
        ],
        ..Default::default()
    };
    held.welcome(&welcome).unwrap();
    // One is told again as it was, and one in a way that cannot be read: both stay.
    let mut again = update(2, &[api]);
    again.put.push(encode::named(&cart.key(), vec![0xff].into()));
    let committed = apply(&mut held, again);
    assert!(committed.changed.is_empty() && committed.ack.rejected.len() == 1);
    assert!(committed.snapshot.hosts.contains_key("web"), "until everything is synced");
    let swept = held.sweep().unwrap();
    assert_eq!(swept.hosts.keys().map(|host| &**host).collect::<Vec<_>>(), ["api", "cart"]);
    assert!(swept.inbound.is_some() && held.sweep().is_none());
}

#[test]
fn what_did_not_change_is_shared_between_snapshots() {
    let mut held = a_held();
    let (api, web) = (service("shop/api", &["api"], &[]), service("shop/web", &["web"], &[]));
    let first = apply(&mut held, update(1, &[api.clone(), web]));
    // Sent again as it is, it is not even read.
    let second = apply(&mut held, update(2, &[api, service("shop/web", &["www"], &[])]));
    let (old, new) = (&first.snapshot.services, &second.snapshot.services);
    let same = |name: &str| {
        let key = weft_policy::object::ServiceName::new("shop", name);
        Arc::ptr_eq(&old[&key], &new[&key])
    };
    assert!(same("api") && !same("web"));
    assert_eq!(second.changed.len(), 1);
}

#[test]
fn a_transaction_without_end_is_refused() {
    let mut held = a_held();
    let endless = v1::Update {
        synced: vec![v1::Selector::default(); MAX_CHANGES / 2 + 1],
        more: true,
        ..update(1, &[])
    };
    assert_eq!(held.stage(endless.clone()), Ok(Progress::More));
    assert_eq!(held.stage(endless), Err(Refused::TooLarge));
}

#[test]
fn an_explanation_assembles_what_a_proxy_would_hold() {
    let committed =
        assemble(workload(), v1::Update { more: true, ..update(3, &[service("shop/api", &["api"], &[])]) });
    assert_eq!(host(&committed.unwrap().snapshot, "api").as_deref(), Some("shop/api"));
}

proptest! {
    #[test]
    fn what_holds_follows_from_what_was_told_and_not_from_how(
        script in prop::collection::vec(model::step(), 1..12),
    ) {
        model::run(script)?;
    }

    #[test]
    fn what_is_kept_is_what_was_held(
        values in prop::collection::vec(arbitrary::value(), 0..6),
        damage in prop::option::of((any::<Index>(), any::<u8>())),
    ) {
        let mut held = a_held();
        let _ = apply(&mut held, update(7, &values));
        let asked = [Alias::host("api.shop"), Alias::Ip("10.0.0.7".parse().unwrap())];
        // What is for another workload was rejected, and is not held.
        let mut bytes = held.to_bytes(asked.iter()).unwrap();
        let kept = Kept::from_bytes(workload(), &bytes).unwrap();
        prop_assert_eq!(kept.held.retained(), held.retained());
        prop_assert_eq!(format!("{:?}", kept.held.told()), format!("{:?}", held.told()));
        prop_assert_eq!(kept.held.seen(), held.seen());
        prop_assert_eq!(kept.asked, asked);
        if let Some((index, byte)) = damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
            let _ = Kept::from_bytes(workload(), &bytes);
            let _ = Kept::from_bytes(workload(), &bytes[..index]);
        }
    }

    #[test]
    fn nothing_that_is_said_breaks_the_listener(
        values in prop::collection::vec(arbitrary::value(), 0..4),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 0..6),
        cut in any::<Index>(),
    ) {
        let update = v1::Update { revision: 1, put: values.iter().map(encode::resource).collect(), ..Default::default() };
        let mut bytes = update.encode_to_vec();
        for (index, byte) in damage {
            if !bytes.is_empty() {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
        }
        bytes.truncate(cut.index(bytes.len() + 1).max(bytes.len() / 2));
        if let Ok(update) = v1::Update::decode(&*bytes) {
            let mut held = a_held();
            let _ = held.stage(update);
            let _ = held.commit();
            let _ = held.retained();
        }
    }
}
