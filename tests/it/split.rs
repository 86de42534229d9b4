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

fn balance(balance: &str) -> String {
    format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {{name: api, namespace: shop}},
          spec: {{targetRefs: [{{kind: Service, name: api}}], loadBalancing: {{{balance}}}}}}}"
    )
}

#[tokio::test]
async fn round_robin_gives_each_endpoint_the_same() {
    let shop = Shop::open_with(&["api-1", "api-2", "api-3"], &balance("type: RoundRobin")).await;
    assert_eq!(shares(&shop, 300).await.into_values().collect::<Vec<_>>(), [100, 100, 100]);
}

#[tokio::test]
async fn a_hash_of_a_header_sends_a_key_to_one_endpoint_whoever_comes_and_goes() {
    let hash = balance("type: RingHash, hashOn: {header: x-user}");
    let mut shop = Shop::open_with(&["api-1", "api-2", "api-3"], &hash).await;
    let mut homes = BTreeMap::new();
    for round in 0..3 {
        for user in 0..40 {
            let user = format!("user-{user}");
            let origin = shop.get_with("/", &[("x-user", &user)]).await.origin();
            let home = homes.entry(user.clone()).or_insert_with(|| origin.clone());
            assert_eq!(*home, origin, "{user} in round {round}");
        }
    }
    assert!((1..=3).all(|n| homes.values().any(|home| *home == format!("api-{n}"))), "{homes:?}");
    // Who was at home elsewhere stays there when one of the three leaves.
    assert!(shop.servers.remove(0).drain().await);
    shop.mesh.serves("shop/api", 80, 2).await;
    for (user, home) in homes.iter().filter(|(_, home)| *home != "api-1") {
        assert_eq!(shop.get_with("/", &[("x-user", user)]).await.origin(), *home, "{user}");
    }
}
