use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use weft_manifests::set::ObjectSet;
use weft_manifests::settings::MeshSettings;
use weft_policy::object::Kind;
use weft_proto::v1::Condition;

use super::event::event;
use super::merge::{Merged, merge};
use super::wanted::{Says, wanted};
use super::*;
use crate::compile::id_of;
use crate::scripted::{Fault, Server};
use crate::source::{Reading, Texts};

const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: more, port: 81}]}
---
apiVersion: v1
kind: Service
metadata: {name: api-v2, namespace: shop}
spec: {clusterIP: 10.0.0.2, ports: [{port: 80}]}
";

/// A world of these manifests, every object of which has been there since revision 5.
fn view(manifests: &str) -> View {
    let texts = Texts::from([("shop.yaml".into(), Ok(format!("{SHOP}---\n{manifests}").into()))]);
    let reading = Reading::of(&texts);
    let objects = reading.objects.values().map(|placed| placed.object.clone());
    View {
        set: ObjectSet::of(MeshSettings::default(), objects),
        since: Arc::new(reading.objects.keys().map(|key| (key.clone(), 5)).collect()),
        declared: Arc::new(reading.objects),
        findings: Arc::new(reading.findings),
        revision: 5,
    }
}

fn edition(generation: u64) -> Edition {
    Edition { uid: "u".into(), generation }
}

fn everybody_has(revision: u64) -> Acknowledged {
    Acknowledged { have: revision + 1, ..Acknowledged::default() }
}

fn one(view: &View, acknowledged: &Acknowledged, key: &ObjectRef, generation: u64) -> Option<Wanted> {
    let editions = Editions::from([(key.clone(), edition(generation))]);
    wanted(view, acknowledged, &editions, &Others::default()).remove(key)
}

fn route(spec: &str) -> (ObjectRef, View) {
    let manifest = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: r, namespace: shop, generation: 2}}\nspec: {spec}\n"
    );
    (ObjectRef::new(Kind::HttpRoute, "shop", "r"), view(&manifest))
}

/// `Accepted=True` in a row, with the reason where it is not the type's own.
fn shown(said: &[Condition]) -> String {
    let shown = said.iter().map(|condition| {
        let reason = if condition.reason == condition.r#type {
            String::new()
        } else {
            format!("/{}", condition.reason)
        };
        format!("{}={}{reason}", condition.r#type, condition.status)
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_route_is_told_of_each_of_its_parents() {
    let api = "{group: '', kind: Service, name: api";
    let table = [
        (
            format!("{{parentRefs: [{api}}}], rules: [{{backendRefs: [{{name: api-v2, port: 80}}]}}]}}"),
            vec!["Service api: Accepted=true ResolvedRefs=true Programmed=true"],
        ),
        (
            format!("{{parentRefs: [{api}}}], rules: [{{backendRefs: [{{name: api-v3, port: 80}}]}}]}}"),
            vec!["Service api: Accepted=true ResolvedRefs=false/BackendNotFound Programmed=true"],
        ),
        (
            format!(
                "{{parentRefs: [{api}, port: 80}}, {api}, sectionName: none}}], \
                 rules: [{{backendRefs: [{{name: api, port: 80}}]}}]}}"
            ),
            vec![
                "Service api (none): Accepted=false/NoMatchingParent ResolvedRefs=true Programmed=true",
                "Service api:80: Accepted=true ResolvedRefs=true Programmed=true",
            ],
        ),
        (
            "{parentRefs: [{group: '', kind: Service, name: gone}], rules: [{backendRefs: [{name: api, port: 80}]}]}"
                .to_owned(),
            vec!["Service gone: Accepted=false/NoMatchingParent ResolvedRefs=true Programmed=true"],
        ),
        // Somebody else's gateway is somebody else's to speak of.
        (
            "{parentRefs: [{name: door}], rules: [{backendRefs: [{name: api, port: 80}]}]}".to_owned(),
            vec![],
        ),
    ];
    for (spec, expected) in table {
        let (key, view) = route(&spec);
        let said = one(&view, &everybody_has(5), &key, 2).unwrap();
        let Says::Towards(towards) = said.says else { panic!("{spec}: {said:?}") };
        let mut found: Vec<_> =
            towards.iter().map(|(parent, said)| format!("{parent}: {}", shown(said))).collect();
        found.sort();
        assert_eq!(found, expected, "{spec}");
    }
}

const POLICY: &str = "
apiVersion: weft.mesh/v1alpha1
kind: TrafficPolicy
metadata: {name: p, namespace: shop, generation: 2}
spec: {targetRefs: [{kind: Service, name: api}], timeouts: {request: 1s}}
";

#[test]
fn a_policy_is_told_what_proxies_have_confirmed_and_what_they_have_rejected() {
    let key = ObjectRef::new(Kind::TrafficPolicy, "shop", "p");
    let view = view(POLICY);
    let concerned = view.set.concerned_by(&key).iter().map(id_of).next().unwrap();
    let rejected = Acknowledged {
        rejections: [(concerned, (["shop/web".to_owned()].into(), "timeouts: no".to_owned()))].into(),
        ..everybody_has(5)
    };
    for (acknowledged, programmed) in [
        (everybody_has(5), "Programmed=true"),
        (everybody_has(4), "Programmed=false/Pending"),
        (rejected, "Programmed=false/RejectedByProxies"),
    ] {
        let Says::Itself(said) = one(&view, &acknowledged, &key, 2).unwrap().says else { panic!() };
        assert!(shown(&said).ends_with(programmed), "{}", shown(&said));
        assert!(shown(&said).starts_with("Accepted=true"), "{}", shown(&said));
    }
}

#[test]
fn an_object_is_programmed_when_the_proxies_of_all_replicas_have_it() {
    let key = ObjectRef::new(Kind::TrafficPolicy, "shop", "p");
    let view = view(POLICY);
    let editions = |generation| Editions::from([(key.clone(), edition(generation))]);
    let told = |generation, have| {
        let theirs = wanted::programmed(&view, &everybody_has(have), &editions(generation));
        // One that has proxies; how many is not what matters.
        Told::of(&theirs, &Proxies::default()).line().replace("\"proxies\":0", "\"proxies\":3")
    };
    for (case, line, shows) in [
        ("they have it", told(2, 5), "Programmed=true"),
        ("they do not", told(2, 4), "Programmed=false/Pending"),
        ("they have not heard of this edition", told(1, 5), "Programmed=false/Pending"),
        ("they say what nobody understands", "{}".to_owned(), "Programmed=false/Pending"),
        ("they have no proxies", Told::default().line(), "Programmed=true"),
    ] {
        let others = Others::of(&BTreeMap::from([("weft-1".to_owned(), line)]));
        let said = wanted(&view, &everybody_has(5), &editions(2), &others).remove(&key).unwrap();
        let Says::Itself(said) = said.says else { panic!() };
        assert!(shown(&said).ends_with(shows), "{case}: {}", shown(&said));
    }
}

#[test]
fn what_cannot_be_read_is_refused_in_the_edition_that_cannot_be_read() {
    let broken = POLICY.replace("generation: 2", "generation: 3").replace("1s", "soon");
    let (key, mut view) = (ObjectRef::new(Kind::TrafficPolicy, "shop", "p"), view(POLICY));
    // The last good version is in force.
    let texts = Texts::from([("shop.yaml".into(), Ok(broken.into()))]);
    view.findings = Arc::new(Reading::of(&texts).findings);
    let said = one(&view, &everybody_has(5), &key, 3).unwrap();
    assert_eq!(said.generation, 3);
    let Says::Itself(conditions) = said.says else { panic!() };
    assert_eq!(shown(&conditions), "Accepted=false/Invalid");
    assert!(conditions[0].message.contains("timeouts.request"), "{}", conditions[0].message);
    // An edition of which the world has not heard yet is not spoken of.
    view.findings = Arc::default();
    assert_eq!(one(&view, &everybody_has(5), &key, 3), None);
}

#[test]
fn a_route_that_cannot_be_read_is_told_so_towards_every_service_it_names() {
    let key = ObjectRef::new(Kind::HttpRoute, "shop", "r");
    let broken = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {name: r, namespace: shop, generation: 2}\nspec: {rules: 7}\n";
    let said = one(&view(broken), &everybody_has(5), &key, 2).unwrap();
    let api = json!({"group": "", "kind": "Service", "name": "api"});
    let door = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "door"});
    let object = json!({"metadata": {"uid": "u", "generation": 2}, "spec": {"parentRefs": [door, api]}});
    let merged = merge(&object, &said, "T1").unwrap();
    let parents = merged.status["parents"].as_array().unwrap();
    assert_eq!((parents.len(), &parents[0]["parentRef"]), (1, &api));
    assert_eq!(parents[0]["conditions"][0]["reason"], "Invalid");
}

fn says(kind: &str, status: bool, reason: &str) -> Condition {
    let (kind, reason) = (kind.to_owned(), reason.to_owned());
    Condition { r#type: kind, status, reason, message: "why".to_owned() }
}

fn towards_api(said: &[Condition]) -> Wanted {
    let spec = "{parentRefs: [{group: '', kind: Service, name: api}], rules: [{backendRefs: [{name: api, port: 80}]}]}";
    let (key, view) = route(spec);
    let wanted = one(&view, &everybody_has(5), &key, 2).unwrap();
    let Says::Towards(towards) = wanted.says else { panic!() };
    let says = Says::Towards(towards.into_keys().map(|parent| (parent, said.to_vec())).collect());
    Wanted { says, ..wanted }
}

fn object(parents: &Value) -> Value {
    json!({"metadata": {"uid": "u", "generation": 2, "resourceVersion": "7"}, "status": {"parents": parents}})
}

fn entry(controller: &str, parent: &str, conditions: &Value) -> Value {
    json!({"controllerName": controller, "parentRef": {"group": "", "kind": "Service", "name": parent},
        "conditions": conditions})
}

fn written(kind: &str, status: &str, reason: &str, generation: u64, since: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": "why", "observedGeneration": generation,
        "lastTransitionTime": since})
}

const OURS: &str = merge::CONTROLLER;

#[test]
fn our_part_is_written_and_nothing_else() {
    let other = entry("example.com/other", "api", &json!([{"type": "Accepted", "status": "Unknown"}]));
    let accepted = says("Accepted", true, "Accepted");
    let as_wanted = written("Accepted", "True", "Accepted", 2, "T0");
    // What the status is, what is to be said, and what our entries become; `None`: nothing is written.
    let table = [
        (
            "nothing yet",
            json!([other]),
            json!([other, entry(OURS, "api", &json!([written("Accepted", "True", "Accepted", 2, "T1")]))]),
        ),
        ("it says so", json!([entry(OURS, "api", &json!([as_wanted])), other]), Value::Null),
        (
            "of the generation before: the time of the last change stays",
            json!([entry(OURS, "api", &json!([written("Accepted", "True", "Accepted", 1, "T0")]))]),
            json!([entry(OURS, "api", &json!([as_wanted]))]),
        ),
        (
            "it turns",
            json!([entry(OURS, "api", &json!([written("Accepted", "False", "Invalid", 2, "T0")]))]),
            json!([entry(OURS, "api", &json!([written("Accepted", "True", "Accepted", 2, "T1")]))]),
        ),
        (
            "a condition that is no longer so goes",
            json!([entry(
                OURS,
                "api",
                &json!([as_wanted, written("PartiallyInvalid", "True", "UnsupportedValue", 2, "T0")])
            )]),
            json!([entry(OURS, "api", &json!([as_wanted]))]),
        ),
        (
            "a parent that the route no longer names goes",
            json!([entry(OURS, "old", &json!([as_wanted])), other, entry(OURS, "api", &json!([as_wanted]))]),
            json!([other, entry(OURS, "api", &json!([as_wanted]))]),
        ),
    ];
    let wanted = towards_api(&[accepted]);
    for (case, before, after) in table {
        let merged = merge(&object(&before), &wanted, "T1");
        let found = merged.map_or(Value::Null, |merged| merged.status["parents"].clone());
        assert_eq!(found, after, "{case}");
        if !after.is_null() {
            assert_eq!(merge(&object(&after), &wanted, "T2"), None, "{case}: once is enough");
        }
    }
}

#[test]
fn what_was_judged_is_what_is_written_to() {
    let wanted = towards_api(&[says("Accepted", true, "Accepted")]);
    let mut newer = object(&json!([]));
    newer["metadata"]["generation"] = json!(3);
    assert_eq!(merge(&newer, &wanted, "T1"), None, "another generation");
    let mut another = object(&json!([]));
    another["metadata"]["uid"] = json!("v");
    assert_eq!(merge(&another, &wanted, "T1"), None, "another object of the name");
}

#[test]
fn a_proxy_that_has_just_come_takes_nothing_back() {
    let pending = towards_api(&[says("Programmed", false, "Pending")]);
    let confirmed = |generation| {
        object(&json!([entry(
            OURS,
            "api",
            &json!([written("Programmed", "True", "Programmed", generation, "T0")])
        )]))
    };
    assert_eq!(merge(&confirmed(2), &pending, "T1"), None);
    // Of an older generation, that it was confirmed says nothing.
    let merged = merge(&confirmed(1), &pending, "T1").unwrap();
    assert_eq!(merged.status["parents"][0]["conditions"][0]["status"], "False");
    assert_eq!(merged.news, [], "and that is no news");
    let rejected = towards_api(&[says("Programmed", false, "RejectedByProxies")]);
    assert_eq!(merge(&confirmed(2), &rejected, "T1").unwrap().news.len(), 1);
}

#[test]
fn a_policy_keeps_what_others_say_of_it() {
    let wanted = Wanted {
        uid: "u".into(),
        generation: 2,
        says: Says::Itself(vec![says("Accepted", false, "Invalid")]),
    };
    let theirs = json!({"type": "Audited", "status": "True"});
    let mut policy = object(&Value::Null);
    policy["status"] =
        json!({"conditions": [theirs, written("ResolvedRefs", "True", "ResolvedRefs", 1, "T0")]});
    let Merged { status, news } = merge(&policy, &wanted, "T1").unwrap();
    assert_eq!(status, json!({"conditions": [written("Accepted", "False", "Invalid", 2, "T1"), theirs]}));
    assert_eq!(news, [says("Accepted", false, "Invalid")]);
    policy["status"] = status;
    assert_eq!(merge(&policy, &wanted, "T2"), None);
}

#[test]
fn the_same_refusal_is_the_same_event() {
    let key = ObjectRef::new(Kind::TrafficPolicy, "shop", "p");
    let said = |uid, reason, replica, now| {
        event(&key, "weft.mesh/v1alpha1", uid, &says("Accepted", false, reason), replica, now)
    };
    let first = said("u", "Invalid", "weft-0", "T0");
    let name = |event: &Value| event["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(name(&first), name(&said("u", "Invalid", "weft-1", "T1")));
    assert_ne!(name(&first), name(&said("v", "Invalid", "weft-0", "T0")));
    assert_ne!(name(&first), name(&said("u", "Conflicted", "weft-0", "T0")));
    assert_eq!(first["note"], "why");
    assert_eq!(first["regarding"]["uid"], "u");
}

/// A status as others and earlier versions of ours may have left it.
fn any_parents() -> impl Strategy<Value = Value> {
    let condition = (
        prop::sample::select(vec!["Accepted", "ResolvedRefs", "PartiallyInvalid", "Programmed", "Theirs"]),
        prop::sample::select(vec!["True", "False", "Unknown"]),
        prop::sample::select(vec!["Accepted", "Invalid", "Pending"]),
        0_u64..4,
    );
    let condition = condition
        .prop_map(|(kind, status, reason, generation)| written(kind, status, reason, generation, "T0"));
    let parts = (
        prop::sample::select(vec![OURS, "example.com/other", ""]),
        prop::sample::select(vec!["api", "old"]),
        prop::collection::vec(condition, 0..4),
    );
    let entry = parts.prop_map(|(who, parent, conditions)| entry(who, parent, &Value::from(conditions)));
    prop_oneof![
        8 => prop::collection::vec(entry, 0..6).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!("nonsense")),
        1 => Just(json!([7, {"controllerName": OURS}])),
    ]
}

fn any_said() -> impl Strategy<Value = Vec<Condition>> {
    let said = |kind| {
        (any::<bool>(), prop::sample::select(vec!["Accepted", "Invalid", "Pending"]))
            .prop_map(move |(status, reason)| says(kind, status, reason))
    };
    (said("Accepted"), prop::option::of(said("PartiallyInvalid")), said("Programmed"))
        .prop_map(|(first, maybe, last)| [Some(first), maybe, Some(last)].into_iter().flatten().collect())
}

proptest! {
    /// Whatever stands there: what others say stays, and what was written once is not written again. So no two
    /// controllers can set each other off.
    #[test]
    fn once_is_enough_and_others_are_left_alone(before in any_parents(), said in any_said()) {
        let wanted = towards_api(&said);
        let theirs = |parents: &Value| -> Vec<Value> {
            let all = parents.as_array().cloned().unwrap_or_default();
            all.into_iter().filter(|entry| entry["controllerName"] != OURS).collect()
        };
        if let Some(Merged { status, .. }) = merge(&object(&before), &wanted, "T1") {
            prop_assert_eq!(theirs(&status["parents"]), theirs(&before));
            prop_assert_eq!(merge(&object(&status["parents"]), &wanted, "T2"), None);
        }
    }
}

/// A route as the API server has it, and what is to be said of it.
fn route_of(name: &str) -> (ObjectRef, Wanted, Value) {
    let wanted = towards_api(&[says("Accepted", true, "Accepted")]);
    let parent = json!({"group": "", "kind": "Service", "name": "api"});
    let object = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "shop", "uid": &*wanted.uid, "generation": wanted.generation},
        "spec": {"parentRefs": [parent]}});
    (ObjectRef::new(Kind::HttpRoute, "shop", name), wanted, object)
}

fn has_status(server: &Server, name: &str) -> bool {
    server.object("httproutes", name).is_some_and(|route| route.pointer("/status/parents/0").is_some())
}

#[tokio::test]
async fn an_object_whose_status_is_refused_holds_up_no_other_and_is_left_alone_for_a_while() {
    for fault in
        [Fault::Status(422), Fault::Status(403), Fault::Status(500), Fault::Later(3600), Fault::Nonsense]
    {
        let server = Server::start().await;
        let mut due = Vec::new();
        for name in ["refused", "r1", "r2"] {
            let (key, wanted, object) = route_of(name);
            server.put("httproutes", &object);
            due.push((key, wanted));
        }
        server.fail_always("PATCH httproutes refused", Some(fault));
        let (_turn, standing) = Standing::of_one();
        let mut writer = Writer::new(server.client().await, "weft-0".into());
        let mut told = Said::default();
        write_due(&standing, &mut writer, due, &mut told).await.unwrap();
        assert!(has_status(&server, "r1") && has_status(&server, "r2"), "{fault:?}");
        assert!(!has_status(&server, "refused") && !told.is_done, "{fault:?}");
        assert_eq!(server.requests("PATCH"), 3, "{fault:?}: once each");
    }
}

#[tokio::test]
async fn where_no_status_can_be_written_it_is_the_api_server_and_it_is_not_asked_for_each() {
    let server = Server::start().await;
    server.fail_always("PATCH httproutes", Some(Fault::Status(500)));
    let due: Vec<_> = (0..50)
        .map(|nth| {
            let (key, wanted, object) = route_of(&format!("r{nth}"));
            server.put("httproutes", &object);
            (key, wanted)
        })
        .collect();
    let (_turn, standing) = Standing::of_one();
    let mut writer = Writer::new(server.client().await, "weft-0".into());
    let failed = write_due(&standing, &mut writer, due, &mut Said::default()).await.unwrap_err();
    assert!(failed.to_string().contains("as it was told"), "{failed}");
    assert_eq!(server.requests("PATCH"), 3);
}

#[tokio::test]
async fn a_conflict_is_read_and_written_again_and_given_up_for_now_when_others_never_stop() {
    let server = Server::start().await;
    let (key, wanted, object) = route_of("r1");
    server.put("httproutes", &object);
    let mut writer = Writer::new(server.client().await, "weft-0".into());
    server.fail("PATCH httproutes", Fault::Status(409));
    assert_eq!(writer.write(&key, &wanted).await.unwrap(), Wrote::Status);
    assert!(has_status(&server, "r1"));

    server.put("httproutes", &object);
    server.fail_always("PATCH httproutes", Some(Fault::Status(409)));
    let before = server.requests("PATCH");
    assert_eq!(writer.write(&key, &wanted).await.unwrap(), Wrote::NotNow);
    assert!((2..=8).contains(&(server.requests("PATCH") - before)), "{}", server.requests("PATCH") - before);
    server.delete("httproutes", "r1");
    assert_eq!(writer.write(&key, &wanted).await.unwrap(), Wrote::Gone);
}
