//! The Gateway API in a mesh (GEP-1294, GEP-1324, GEP-1426): which routes hold, for whom, at which ports.

use super::*;

const TO_V1: &str =
    "{parentRefs: [{group: '', kind: Service, name: api}], rules: [{backendRefs: [{name: v1, port: 80}]}]}";

fn to(parent: &str, backend: &str) -> String {
    format!(
        "{{parentRefs: [{{group: '', kind: Service, {parent}}}], rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]}}"
    )
}

#[test]
fn a_service_without_routes_is_sent_to_itself() {
    let set = set(&services(&["api"]));
    assert_eq!(goes(&set, "shop", "GET api/"), "shop/api:80");
}

#[test]
fn a_route_replaces_the_service_and_what_matches_no_rule_is_refused() {
    let spec = "{parentRefs: [{group: '', kind: Service, name: api}], \
                rules: [{matches: [{path: {value: /v1}}], backendRefs: [{name: v1, port: 80}]}]}";
    let set = set(&(services(&["api", "v1"]) + &route("HTTPRoute", "r", spec)));
    assert_eq!(goes(&set, "shop", "GET api/v1/x"), "shop/v1:80");
    assert_eq!(goes(&set, "shop", "GET api/v2"), "no_route");
}

#[test]
fn a_route_that_sends_to_its_own_parent_does_not_loop() {
    let set = set(&(services(&["api"]) + &route("HTTPRoute", "r", &to("name: api", "api"))));
    assert_eq!(goes(&set, "shop", "GET api/"), "shop/api:80");
}

#[test]
fn only_the_first_frontends_routes_apply() {
    let yaml = services(&["api", "v1", "v2"])
        + &route("HTTPRoute", "a", TO_V1)
        + &route("HTTPRoute", "b", &to("name: v1", "v2"));
    assert_eq!(goes(&set(&yaml), "shop", "GET api/"), "shop/v1:80");
}

#[test]
fn a_parent_ref_covers_the_ports_it_names_or_all() {
    let table = [
        ("name: api", ["shop/v1:80", "shop/v1:80"]),
        ("name: api, port: 80", ["shop/v1:80", "shop/api:8080"]),
        ("name: api, sectionName: alt", ["shop/api:80", "shop/v1:80"]),
        ("name: api, sectionName: http, port: 80", ["shop/v1:80", "shop/api:8080"]),
    ];
    for (parent, want) in table {
        let set = set(&(services(&["api", "v1"]) + &route("HTTPRoute", "r", &to(parent, "v1"))));
        let got = ["GET api/", "GET api:8080/"].map(|call| goes(&set, "shop", call));
        assert_eq!(got, want, "{parent}");
        assert_eq!(
            conditions(&set, Kind::HttpRoute, "r"),
            ["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"]
        );
    }
    for parent in [
        "name: api, port: 81",
        "name: api, sectionName: htpp",
        "name: api, sectionName: http, port: 8080",
        "name: apj",
    ] {
        let set = set(&(services(&["api", "v1"]) + &route("HTTPRoute", "r", &to(parent, "v1"))));
        assert_eq!(goes(&set, "shop", "GET api/"), "shop/api:80", "{parent}");
        assert_eq!(conditions(&set, Kind::HttpRoute, "r")[0], "Accepted=False/NoMatchingParent", "{parent}");
    }
}

#[test]
fn a_consumer_route_replaces_the_producers_for_its_own_namespace_only() {
    let yaml = services(&["api", "v1", "client/mock"])
        + &route("HTTPRoute", "shop/producer", TO_V1)
        + &route("HTTPRoute", "client/consumer", &to("name: api, namespace: shop, port: 80", "mock"));
    let set = set(&yaml);
    assert_eq!(goes(&set, "shop", "GET api.shop/"), "shop/v1:80");
    assert_eq!(goes(&set, "other", "GET api.shop/"), "shop/v1:80");
    assert_eq!(goes(&set, "client", "GET api.shop/"), "client/mock:80");
    // At ports that it does not cover, the producer's hold for it too.
    assert_eq!(goes(&set, "client", "GET api.shop:8080/"), "shop/v1:80");
    assert_eq!(set.class_of_routes(&ServiceName::new("shop", "api"), "client").as_deref(), Some("client"));
    assert_eq!(set.class_of_routes(&ServiceName::new("shop", "api"), "shop"), None);
    assert_eq!(conditions(&set, Kind::HttpRoute, "client/consumer")[0], "Accepted=True/Accepted");
    assert_eq!(conditions(&set, Kind::HttpRoute, "shop/producer")[0], "Accepted=True/Accepted");
}

#[test]
fn consumer_and_producer_rules_are_never_merged() {
    let only_v2 = "{parentRefs: [{group: '', kind: Service, name: api, namespace: shop}], \
                   rules: [{matches: [{path: {value: /v2}}], backendRefs: [{name: v2, namespace: shop, port: 80}]}]}";
    let yaml = services(&["api", "v1", "v2"])
        + &route("HTTPRoute", "shop/producer", TO_V1)
        + &route("HTTPRoute", "client/consumer", only_v2);
    let set = set(&yaml);
    assert_eq!(goes(&set, "client", "GET api.shop/v2"), "shop/v2:80", "no ReferenceGrant is needed");
    assert_eq!(goes(&set, "client", "GET api.shop/v1"), "no_route");
}

#[test]
fn routes_of_one_group_are_merged_by_precedence() {
    let exact = "{parentRefs: [{group: '', kind: Service, name: api}], \
                 rules: [{matches: [{path: {type: Exact, value: /x}}], backendRefs: [{name: v2, port: 80}]}]}";
    let yaml =
        services(&["api", "v1", "v2"]) + &route("HTTPRoute", "a", TO_V1) + &route("HTTPRoute", "b", exact);
    let set = set(&yaml);
    assert_eq!(goes(&set, "shop", "GET api/x"), "shop/v2:80");
    assert_eq!(goes(&set, "shop", "GET api/y"), "shop/v1:80");
}

#[test]
fn of_equal_matches_the_older_route_wins_then_the_first_name() {
    let yaml = services(&["api", "v1", "v2"])
        + &route("HTTPRoute", "a", TO_V1)
        + &route("HTTPRoute", "b", &to("name: api", "v2"));
    assert_eq!(goes(&set(&yaml), "shop", "GET api/"), "shop/v1:80");
    let younger =
        yaml.replace("name: a, namespace", "creationTimestamp: '2026-02-01T00:00:00Z', name: a, namespace");
    let younger = younger
        .replace("name: b, namespace", "creationTimestamp: '2026-01-01T00:00:00Z', name: b, namespace");
    assert_eq!(goes(&set(&younger), "shop", "GET api/"), "shop/v2:80");
}

#[test]
fn a_grpc_route_displaces_http_routes_at_its_ports() {
    let grpc = "{parentRefs: [{group: '', kind: Service, name: api, port: 80}], \
                rules: [{matches: [{method: {service: shop.Cart}}], backendRefs: [{name: v2, port: 80}]}]}";
    let yaml =
        services(&["api", "v1", "v2"]) + &route("HTTPRoute", "h", TO_V1) + &route("GRPCRoute", "g", grpc);
    let both = set(&yaml);
    assert_eq!(goes(&both, "shop", "POST api/shop.Cart/Add"), "shop/v2:80");
    assert_eq!(goes(&both, "shop", "GET api:8080/"), "shop/v1:80");
    assert_eq!(
        conditions(&both, Kind::HttpRoute, "h")[0],
        "Accepted=True/Accepted",
        "it still holds at 8080"
    );
    let one_port = set(&yaml.replace("name: api}", "name: api, port: 80}"));
    assert_eq!(conditions(&one_port, Kind::HttpRoute, "h")[0], "Accepted=False/Conflicted");
    assert_eq!(conditions(&one_port, Kind::GrpcRoute, "g")[0], "Accepted=True/Accepted");
}

#[test]
fn a_headless_service_is_no_parent() {
    let yaml = services(&["api", "v1"]).replacen("spec: {", "spec: {clusterIP: None, ", 1)
        + &route("HTTPRoute", "r", TO_V1);
    let set = set(&yaml);
    assert_eq!(conditions(&set, Kind::HttpRoute, "r")[0], "Accepted=False/NoMatchingParent");
    assert!(service(&set, &ServiceName::new("shop", "api"), None).value.unwrap().vips.is_empty());
}

#[test]
fn host_names_of_a_mesh_route_are_ignored() {
    let spec = TO_V1.replace("rules:", "hostnames: [example.com], rules:");
    let set = set(&(services(&["api", "v1"]) + &route("HTTPRoute", "r", &spec)));
    assert_eq!(goes(&set, "shop", "GET api/"), "shop/v1:80");
}

#[test]
fn a_parent_of_another_kind_is_none_of_our_business() {
    for parent in ["{name: api}", "{kind: Service, name: api}", "{group: '', kind: Pod, name: api}"] {
        let spec = format!("{{parentRefs: [{parent}], rules: [{{backendRefs: [{{name: v1, port: 80}}]}}]}}");
        let set = set(&(services(&["api", "v1"]) + &route("HTTPRoute", "r", &spec)));
        assert_eq!(goes(&set, "shop", "GET api/"), "shop/api:80", "{parent}");
        assert!(conditions(&set, Kind::HttpRoute, "r").is_empty(), "{parent}");
    }
}
