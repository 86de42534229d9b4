//! What an operator can see of requests, from outside.

use http::Method;
use weft_tests::call;
use weft_tests::eventually::eventually;

use crate::shop::Shop;

#[tokio::test]
async fn requests_are_counted_once_on_each_side_and_what_peers_choose_makes_no_series() {
    let shop = Shop::open("").await;
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(shop.get("/").await.status, 200);
    let before = series(&shop.web.metrics().await);
    for n in 0..50 {
        let method = Method::from_bytes(format!("METHOD{n}").as_bytes()).unwrap();
        let request = call::request(method, &format!("http://api/{n}"), "");
        shop.web.send(call::with(request, "user-agent", &format!("agent-{n}"))).await;
        assert_eq!(shop.get(&format!("/{n}?q={n}")).await.status, 200);
    }
    eventually("101 requests are counted on both sides", async || {
        let out = shop.web.counter("weft_requests_total", &["outbound"]).await;
        let counted = [out, shop.servers[0].counter("weft_requests_total", &["inbound"]).await];
        (counted == [101.0, 101.0]).then_some(())
    })
    .await;
    let text = shop.web.metrics().await;
    let after = series(&text);
    assert!(after <= before + 60, "{before} series became {after}");
    assert!(!text.contains("METHOD7") && !text.contains("agent-7"), "{text}");
    assert!(text.trim_end().ends_with("# EOF"), "the end of OpenMetrics");
}

#[tokio::test]
async fn a_log_line_tells_of_a_request_and_never_of_its_secrets() {
    let shop = Shop::open("").await;
    let request = call::request(Method::POST, "http://api/pay?card=4111111111111111", "body-secret");
    let request = call::with(request, "authorization", "Bearer header-secret");
    assert_eq!(shop.web.send(request).await.status, 200);
    for sidecar in [&shop.web, &shop.servers[0]] {
        let line = &sidecar.logged(1, |line| line["path"] == "/pay").await[0];
        assert_eq!((&line["method"], &line["request_bytes"]), (&"POST".into(), &11.into()), "{line}");
        let text = std::fs::read_to_string(&sidecar.log).unwrap();
        for secret in ["4111111111111111", "header-secret", "body-secret", &sidecar.token] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn a_snapshot_shows_what_a_proxy_has_been_told_and_an_identity_who_it_is() {
    let shop = Shop::open("").await;
    assert_eq!(shop.get("/").await.status, 200);
    let snapshot = shop.web.admin("/snapshot").await.json();
    assert_eq!(snapshot["workload"], "shop/web");
    assert_eq!(snapshot["services"][0]["service"], "shop/api", "{snapshot}");
    assert_eq!(
        snapshot["endpoints"][0]["endpoints"][0]["identity"], "spiffe://weft.local/ns/shop/sa/api",
        "{snapshot}"
    );
    assert_eq!(shop.web.admin("/identity").await.json()["identity"], "spiffe://weft.local/ns/shop/sa/web");
    assert_eq!(shop.web.admin("/nothing").await.status, 404);
}
