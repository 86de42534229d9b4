//! Traffic is split by weight, and the weights can be moved while it flows.

use std::collections::BTreeMap;

use weft_tests::call;

use crate::shop::Shop;

fn route(v1: u32, v2: u32) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: split, namespace: shop}},
          spec: {{parentRefs: [{{kind: Service, group: '', name: api}}],
                 rules: [{{backendRefs: [{{name: api-v1, port: 80, weight: {v1}}},
                                        {{name: api-v2, port: 80, weight: {v2}}}]}}]}}}}"
    )
}

async fn shares(shop: &Shop, requests: u32) -> BTreeMap<String, u32> {
    let mut client = shop.web.client().await;
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let reply = client.send(call::get("http://api/")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        *counts.entry(reply.origin()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn ninety_to_ten_is_ninety_to_ten_and_a_shift_holds_for_every_request_after_it() {
    let shop = Shop::open_with(&["api-v1-1", "api-v2-1"], &route(90, 10)).await;
    // Five standard deviations of a binomial with n = 1000, p = 0.1: wrong once in a million runs.
    let counts = shares(&shop, 1000).await;
    assert!((52..=148).contains(&counts["api-v2-1"]), "{counts:?}");
    assert_eq!(counts.values().sum::<u32>(), 1000);

    shop.mesh.apply("mesh.yaml", &format!("{}\n---\n{}", crate::shop::SERVICES, route(0, 1))).await;
    assert_eq!(shares(&shop, 100).await, BTreeMap::from([("api-v2-1".to_owned(), 100)]));
    shop.mesh.apply("mesh.yaml", &format!("{}\n---\n{}", crate::shop::SERVICES, route(1, 0))).await;
    assert_eq!(shares(&shop, 100).await, BTreeMap::from([("api-v1-1".to_owned(), 100)]));
}

#[tokio::test]
async fn a_thousand_requests_over_three_endpoints_reach_all_of_them() {
    let shop = Shop::open_with(&["api-1", "api-2", "api-3"], "").await;
    let counts = shares(&shop, 300).await;
    assert_eq!(counts.len(), 3, "{counts:?}");
}
