//! A request has so much time and no more; whatever is cut off says whose limit it was.

use weft_tests::call::Reply;
use weft_tests::origin::Answer;

use crate::shop::Shop;

fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {{name: api, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: api}}], {spec}}}}}"
    )
}

fn told(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.refusal())
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_when_the_requests_time_is_up() {
    let shop = Shop::open(&policy("timeouts: {request: 200ms}")).await;
    shop.origin(0).always(Answer::Silence);
    assert_eq!(told(&shop.get("/").await), (504, "request_timeout"));
    shop.origin(0).always(Answer::Report);
    assert_eq!(shop.get("/").await.status, 200);
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_made_again_where_the_policy_says_so() {
    let spec = "timeouts: {request: 10s, backendRequest: 150ms}, retries: {attempts: 2, onTimeout: true, backoff: 1ms}";
    let shop = Shop::open(&policy(spec)).await;
    shop.origin(0).next([Answer::Silence]);
    assert_eq!(shop.get("/").await.status, 200);
    assert_eq!(shop.origin(0).count(), 2);
    shop.origin(0).always(Answer::Silence);
    assert_eq!(told(&shop.get("/").await), (504, "try_timeout"));
    assert_eq!(shop.origin(0).count(), 2 + 3);
}

#[tokio::test]
async fn a_rules_own_timeout_goes_before_that_of_the_policy() {
    let route =
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: slow, namespace: shop},
        spec: {parentRefs: [{kind: Service, group: '', name: api}], rules: [
          {matches: [{path: {value: /slow}}], timeouts: {request: 0s}, backendRefs: [{name: api, port: 80}]},
          {backendRefs: [{name: api, port: 80}]}]}}";
    let shop = Shop::open(&format!("{}\n---\n{route}", policy("timeouts: {request: 150ms}"))).await;
    shop.origin(0).always(Answer::Silence);
    assert_eq!(told(&shop.get("/fast").await), (504, "request_timeout"));
    // Zero is no limit (Gateway API, HTTPRouteTimeouts): it waits as long as it takes.
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    shop.origin(0).always(Answer::After(std::sync::Arc::clone(&gate)));
    let (slow, fast) = tokio::join!(shop.get("/slow"), async {
        shop.origin(0).has_seen(2).await;
        let fast = shop.get("/fast").await;
        gate.add_permits(2);
        fast
    });
    assert_eq!((slow.status.as_u16(), told(&fast)), (200, (504, "request_timeout")));
}
