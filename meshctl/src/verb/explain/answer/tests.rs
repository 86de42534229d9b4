use std::sync::Arc;

use http::Method;
use weft_manifests::load::load;
use weft_manifests::lower;
use weft_manifests::set::{ObjectSet, ResourceKey};
use weft_manifests::settings::MeshSettings;
use weft_policy::object::{Kind, ObjectRef, ServiceName, ServicePort};
use weft_proto::value::{Enforced, Value};
use weft_proto::{encode, v1};

use super::*;
use crate::verb::explain::question::Question;

const MESH: &str = "
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080, appProtocol: http}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: api}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /cart}}]
      filters:
        - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-tier, value: gold}]}}
      backendRefs: [{name: api, port: 80}]
    - matches: [{path: {type: PathPrefix, value: /old}}]
      filters:
        - {type: RequestRedirect, requestRedirect: {hostname: new.shop, statusCode: 301}}
---
apiVersion: weft.mesh/v1alpha1
kind: Workload
metadata: {name: api-1, namespace: shop, labels: {app: api}}
spec: {address: 127.0.0.1, ports: [{port: 8080}], serviceAccount: api}
---
apiVersion: weft.mesh/v1alpha1
kind: AuthorizationPolicy
metadata: {name: gold-only, namespace: shop}
spec:
  targetRefs: [{kind: Service, name: api}]
  action: Allow
  rules:
    - from: [{serviceAccounts: [shop/web]}]
      to: [{headers: [{name: x-tier, values: [gold]}]}]
";

/// What a control plane of these manifests would answer.
fn reply(from_identity: &str) -> v1::ExplainReply {
    let set = ObjectSet::of(MeshSettings::default(), load(&[("mesh.yaml", MESH)]).accepted());
    let api = ServiceName::new("shop", "api");
    let workload = ObjectRef::new(Kind::Workload, "shop", "api-1");
    let keys = [
        ResourceKey::Service { name: api.clone(), class: Some(Arc::from("shop")) },
        ResourceKey::Routes { service: api, class: None },
        ResourceKey::Endpoints(ServicePort::new("shop", "api", 80)),
    ];
    let resource = |key: &ResourceKey| {
        let value = match lower::resource(&set, key).value.unwrap() {
            lower::Resource::Service(value) => Value::Service(value.into()),
            lower::Resource::Routes(value) => Value::Routes(value.into()),
            lower::Resource::Endpoints(value) => Value::Endpoints(value.into()),
            lower::Resource::Inbound(value) => {
                Value::Inbound(Arc::new(Enforced { inbound: value.inbound.into(), health: value.health }))
            }
        };
        encode::resource(&value)
    };
    v1::ExplainReply {
        now: Some(v1::Seen { epoch: vec![1], revision: 9 }),
        outbound: keys.iter().map(resource).collect(),
        inbound: vec![resource(&ResourceKey::Inbound(workload))],
        applied_revision: 8,
        gone: vec![v1::Tombstone {
            r#type: v1::Type::Service.into(),
            name: "host/elsewhere".into(),
            why: v1::tombstone::Why::NotFound.into(),
        }],
        from_identity: from_identity.into(),
    }
}

fn explain(from_identity: &str, to: &str, method: Method, path: &str) -> Answer {
    let question = Question::new(to.parse().unwrap(), method, path, Vec::new(), Some(7)).unwrap();
    Answer::of("shop/web-1", &question, &Told::read(&reply(from_identity)).unwrap())
}

const WEB: &str = "spiffe://weft.local/ns/shop/sa/web";

#[test]
fn a_request_is_followed_to_the_endpoint_and_past_its_policy() {
    let answer = explain(WEB, "api.shop", Method::GET, "/cart/1");
    assert!(answer.delivered, "{answer:#?}");
    let to = answer.to.as_ref().unwrap();
    assert_eq!((to.backend.as_str(), to.address.as_str()), ("shop/api:80", "127.0.0.1:4143"));
    assert_eq!(to.identity, "spiffe://weft.local/ns/shop/sa/api");
    let stages = |steps: &[Considered]| steps.iter().map(|step| step.stage).collect::<Vec<_>>();
    assert!(stages(&answer.outbound).starts_with(&["service", "route", "filter"]), "{answer:#?}");
    // The policy asks for a header that only the route's filter sets: the request is judged as it arrives there.
    assert!(stages(&answer.inbound).contains(&"authorize"), "{answer:#?}");
}

#[test]
fn what_the_mesh_answers_itself_says_who_answers_and_how() {
    for (from, to, path, status, by) in [
        ("spiffe://weft.local/ns/shop/sa/other", "api.shop", "/cart", 403, "the endpoint's proxy"),
        (WEB, "api.shop", "/nothing", 404, "the caller's proxy"),
        (WEB, "api.shop:81", "/cart", 502, "the caller's proxy"),
    ] {
        let answer = explain(from, to, Method::GET, path);
        let refusal = answer.refusal.as_ref().unwrap();
        assert_eq!((refusal.status, refusal.by, answer.delivered), (status, by, false), "{to}{path}");
    }
}

#[test]
fn a_redirect_and_a_way_out_of_the_mesh_are_no_refusals() {
    let redirect = explain(WEB, "api.shop", Method::GET, "/old/x");
    assert!(
        redirect.delivered && redirect.verdict.contains("301 to http://new.shop"),
        "{}",
        redirect.verdict
    );
    let outside = explain(WEB, "elsewhere", Method::GET, "/");
    assert!(outside.delivered && outside.verdict.contains("passed through"), "{}", outside.verdict);
}

#[test]
fn the_page_names_every_step_the_verdict_and_what_is_not_known() {
    let mut page = Page::new(false);
    explain(WEB, "api.shop", Method::GET, "/cart").tell(&mut page);
    let text = page.into_text();
    for part in [
        "GET http://api.shop:80/cart",
        "HTTPRoute shop/api",
        "AuthorizationPolicy shop/gold-only",
        "delivered to",
        "draw 0000000000000007",
        "revision 9 (applied 8)",
        "breakers, latencies",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_resource_that_this_build_cannot_read_is_an_error_and_no_guess() {
    let mut reply = reply(WEB);
    reply.outbound[0].version ^= 1;
    let error = Told::read(&reply).unwrap_err();
    assert!(format!("{error:#}").contains("SERVICE shop/api"), "{error:#}");
}
