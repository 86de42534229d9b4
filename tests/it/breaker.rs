//! An endpoint that fails is left alone, and asked again after a while.

use weft_tests::eventually::eventually;
use weft_tests::origin::Answer;

use crate::shop::Shop;

fn breaker(open_for: &str) -> String {
    format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {{name: api, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: api}}], loadBalancing: {{type: RoundRobin}},
                 circuitBreaking: {{consecutiveFailures: 3, openFor: {open_for}, maxOpenFor: {open_for}}}}}}}"
    )
}

#[tokio::test]
async fn after_so_many_failures_in_a_row_the_endpoint_rests_and_comes_back_when_it_is_well() {
    let shop = Shop::open(&breaker("2s")).await;
    shop.origin(0).always(Answer::Status(500));
    for _ in 0..3 {
        assert_eq!(shop.get("/").await.status, 500);
    }
    let refused = shop.get("/").await;
    assert_eq!((refused.status.as_u16(), refused.refusal()), (503, "breakers_open"), "{refused:?}");
    assert_eq!(shop.origin(0).count(), 3, "an open breaker asks nobody");
    let told = shop.web.admin("/breakers").await.json();
    assert_eq!(told[0]["state"], "open", "{told}");

    shop.origin(0).always(Answer::Report);
    eventually("the breaker has let a probe through", async || {
        (shop.get("/").await.status == 200).then_some(())
    })
    .await;
    for _ in 0..5 {
        assert_eq!(shop.get("/").await.status, 200);
    }
    assert_eq!(shop.web.admin("/breakers").await.json()[0]["state"], "closed");
}

#[tokio::test]
async fn an_open_breaker_sends_everything_to_the_others() {
    let shop = Shop::open_with(&["api-1", "api-2"], &breaker("1h")).await;
    shop.origin(0).always(Answer::Status(500));
    let mut failed = 0;
    for _ in 0..60 {
        failed += u32::from(shop.get("/").await.status == 500);
    }
    assert_eq!(failed, 3, "three failures open it, and then nobody sees another");
    assert_eq!(shop.origin(0).count(), 3);
}

#[tokio::test]
async fn what_a_proxy_has_learned_survives_a_change_of_the_manifests() {
    let shop = Shop::open(&breaker("1h")).await;
    shop.origin(0).always(Answer::Status(500));
    for _ in 0..3 {
        assert_eq!(shop.get("/").await.status, 500);
    }
    let other = "{apiVersion: v1, kind: Service, metadata: {name: other, namespace: shop},
                  spec: {selector: {app: api}, ports: [{port: 81, targetPort: http}]}}";
    shop.mesh.apply("other.yaml", other).await;
    assert_eq!(shop.get("/").await.refusal(), "breakers_open");
}

#[tokio::test]
async fn a_limit_on_requests_under_way_refuses_the_one_too_many_and_only_that() {
    let limit =
        "{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {name: api, namespace: shop},
                  spec: {targetRefs: [{kind: Service, name: api}], limits: {maxRequests: 2}}}";
    let shop = Shop::open(limit).await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    shop.origin(0).always(Answer::After(std::sync::Arc::clone(&gate)));
    let (first, second, third) = tokio::join!(shop.get("/1"), shop.get("/2"), async {
        shop.origin(0).has_seen(2).await;
        let third = shop.get("/3").await;
        gate.add_permits(2);
        third
    });
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));
    assert_eq!((third.status.as_u16(), third.refusal()), (503, "over_limit"));
    gate.add_permits(1);
    assert_eq!(shop.get("/4").await.status, 200);
}
