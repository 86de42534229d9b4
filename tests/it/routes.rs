//! Routes in the language of the Gateway API, observed from outside.

use crate::shop::Shop;

/// An HTTPRoute of `api` with these rules.
fn route(name: &str, rules: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: {name}, namespace: shop}},
          spec: {{parentRefs: [{{kind: Service, group: '', name: api}}], rules: [{rules}]}}}}"
    )
}

const V1: &str = "backendRefs: [{name: api-v1, port: 80}]";
const V2: &str = "backendRefs: [{name: api-v2, port: 80}]";

#[tokio::test]
async fn a_header_selects_a_version_and_the_access_log_says_by_which_rule() {
    let rules = format!(
        "{{name: canary, matches: [{{headers: [{{name: x-canary, value: always}}]}}], {V2}}}, {{name: rest, {V1}}}"
    );
    let shop = Shop::open_with(&["api-v1-1", "api-v2-1"], &route("canary", &rules)).await;
    assert_eq!(shop.get("/").await.origin(), "api-v1-1");
    assert_eq!(shop.get_with("/", &[("x-canary", "always")]).await.origin(), "api-v2-1");
    assert_eq!(shop.get_with("/", &[("x-canary", "never")]).await.origin(), "api-v1-1");
    let lines = shop.web.logged(3, |_| true).await;
    let told: Vec<_> =
        lines.iter().map(|line| (line["route"].as_str().unwrap(), line["rule"].as_str().unwrap())).collect();
    assert_eq!(
        told,
        [
            ("HTTPRoute shop/canary", "rest"),
            ("HTTPRoute shop/canary", "canary"),
            ("HTTPRoute shop/canary", "rest")
        ]
    );
}

#[tokio::test]
async fn the_longest_prefix_wins_over_a_shorter_one_and_an_exact_path_over_both() {
    let path = |kind: &str, value: &str| format!("matches: [{{path: {{type: {kind}, value: {value}}}}}]");
    let rules = format!(
        "{{{}, {V1}}}, {{{}, {V2}}}, {{{}, {V1}}}",
        path("PathPrefix", "/"),
        path("PathPrefix", "/cart"),
        path("Exact", "/cart/size")
    );
    let shop = Shop::open_with(&["api-v1-1", "api-v2-1"], &route("paths", &rules)).await;
    for (path, origin) in [
        ("/", "api-v1-1"),
        ("/cart", "api-v2-1"),
        ("/cart/7", "api-v2-1"),
        ("/carts", "api-v1-1"),
        ("/cart/size", "api-v1-1"),
    ] {
        assert_eq!(shop.get(path).await.origin(), origin, "{path}");
    }
}

#[tokio::test]
async fn a_redirect_is_answered_by_the_proxy_with_a_location_that_leads_there() {
    let rules = "{matches: [{path: {type: PathPrefix, value: /old}}], filters: [{type: RequestRedirect,
        requestRedirect: {scheme: https, hostname: new.example, statusCode: 301,
        path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]}";
    let shop = Shop::open(&route("moved", rules)).await;
    let reply = shop.get("/old/page?x=1").await;
    assert_eq!(reply.status, 301, "{reply:?}");
    assert_eq!(reply.header("location"), "https://new.example/new/page?x=1");
    assert_eq!(shop.origin(0).count(), 0);
}

#[tokio::test]
async fn paths_hosts_and_headers_are_rewritten_on_the_way_and_on_the_way_back() {
    let rules = format!(
        "{{matches: [{{path: {{type: PathPrefix, value: /shop}}}}], {V1}, filters: [
          {{type: URLRewrite, urlRewrite: {{hostname: inner.example, path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}}},
          {{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-set, value: new}}],
             add: [{{name: x-add, value: more}}], remove: [x-remove]}}}},
          {{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: content-type, value: text/x}}],
             add: [{{name: x-back, value: here}}]}}}}]}}"
    );
    let shop = Shop::open_with(&["api-v1-1"], &route("rewrite", &rules)).await;
    let headers = [("x-set", "old"), ("x-add", "first"), ("x-remove", "me")];
    let reply = shop.get_with("/shop/cart/1?q=%2F", &headers).await;
    let seen = reply.json();
    assert_eq!((&seen["path"], &seen["query"]), (&"/cart/1".into(), &"q=%2F".into()));
    assert_eq!(seen["host"], "inner.example");
    assert_eq!(
        (&seen["headers"]["x-set"], &seen["headers"]["x-add"]),
        (&"new".into(), &"first, more".into())
    );
    assert!(seen["headers"].get("x-remove").is_none(), "{seen}");
    assert_eq!((reply.header("content-type"), reply.header("x-back")), ("text/x", "here"));
}

#[tokio::test]
async fn what_no_rule_matches_is_404_and_a_backend_that_leads_nowhere_500() {
    let rules = format!(
        "{{matches: [{{path: {{type: Exact, value: /here}}}}], {V1}}},
         {{matches: [{{path: {{type: Exact, value: /gone}}}}], backendRefs: [{{name: nobody, port: 80}}]}},
         {{matches: [{{path: {{type: Exact, value: /zero}}}}], backendRefs: [{{name: api-v1, port: 80, weight: 0}}]}},
         {{matches: [{{path: {{type: Exact, value: /empty}}}}], {V2}}}"
    );
    let shop = Shop::open_with(&["api-v1-1"], &route("some", &rules)).await;
    for (path, status, cause) in [
        ("/here", 200, ""),
        ("/elsewhere", 404, "no_route"),
        ("/gone", 500, "invalid_backend; HTTPRoute shop/some"),
        ("/zero", 500, "invalid_backend; HTTPRoute shop/some"),
        ("/empty", 503, "no_endpoint"),
    ] {
        let reply = shop.get(path).await;
        assert_eq!(reply.status, status, "{path}: {reply:?}");
        assert!(reply.header("weft-error").starts_with(cause), "{path}: {reply:?}");
    }
}

#[tokio::test]
async fn half_of_the_weight_on_nobody_is_half_of_the_answers_500() {
    let rules = "{backendRefs: [{name: api-v1, port: 80, weight: 1}, {name: nobody, port: 80, weight: 1}]}";
    let shop = Shop::open_with(&["api-v1-1"], &route("half", rules)).await;
    let mut client = shop.web.client().await;
    let mut failed = 0;
    for _ in 0..400 {
        let status = client.send(weft_tests::call::get("http://api/")).await.status.as_u16();
        assert!(status == 200 || status == 500, "{status}");
        failed += u32::from(status == 500);
    }
    // Five standard deviations of a binomial with n = 400, p = 0.5.
    assert!((150..=250).contains(&failed), "{failed}");
}
