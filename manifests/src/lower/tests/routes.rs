//! Rules, matches, filters and backends of one route.

use super::*;

/// A set with Services `api`, `v1`, `v2`, `db`, and an HTTPRoute for `api` with these rules.
fn with_rules(rules: &str) -> ObjectSet {
    let spec = format!("{{parentRefs: [{{group: '', kind: Service, name: api, port: 80}}], rules: {rules}}}");
    let mut yaml = services(&["api", "v1", "v2"]) + &route("HTTPRoute", "r", &spec);
    yaml.push_str("---\napiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\nspec: {ports: [{port: 5432, appProtocol: tcp}]}\n");
    set(&yaml)
}

fn accepted(rules: &str) -> String {
    conditions(&with_rules(rules), Kind::HttpRoute, "r")[0].clone()
}

#[test]
fn matches_mean_what_the_gateway_api_says() {
    let matched = |matched: &str| {
        with_rules(&format!(
            "[{{matches: [{matched}], backendRefs: [{{name: v1, port: 80}}]}}, {{backendRefs: [{{name: v2, port: 80}}]}}]"
        ))
    };
    // (match, calls that fit, calls that do not)
    let table: [(&str, &[&str], &[&str]); 9] = [
        (
            "{path: {value: /v2}}",
            &["GET api/v2", "GET api/v2/", "GET api/v2/x"],
            &["GET api/v2x", "GET api/V2"],
        ),
        ("{path: {value: /v2/}}", &["GET api/v2", "GET api/v2/x"], &["GET api/v2x"]),
        (
            "{path: {type: Exact, value: /one}}",
            &["GET api/one"],
            &["GET api/one/", "GET api/One", "GET api/one/x"],
        ),
        (
            "{path: {type: RegularExpression, value: '/[a-z]+'}}",
            &["GET api/abc"],
            &["GET api/abc1", "GET api/x/abc"],
        ),
        ("{method: POST}", &["POST api/"], &["GET api/"]),
        (
            "{headers: [{name: X-Color, value: blue}]}",
            &["GET api/ x-color:blue"],
            &["GET api/", "GET api/ x-color:Blue"],
        ),
        ("{headers: [{name: a, value: b}, {name: A, value: c}]}", &["GET api/ a:b"], &["GET api/ a:c"]),
        (
            "{queryParams: [{name: q, value: '1'}]}",
            &["GET api/?q=1", "GET api/?q=1&q=2"],
            &["GET api/?q=2&q=1", "GET api/?Q=1"],
        ),
        (
            "{headers: [{name: v, value: '[0-9]', type: RegularExpression}]}",
            &["GET api/ v:5"],
            &["GET api/ v:55"],
        ),
    ];
    for (one, fit, do_not) in table {
        let set = matched(one);
        for call in fit {
            assert_eq!(goes(&set, "shop", call), "shop/v1:80", "{one}: {call}");
        }
        for call in do_not {
            assert_eq!(goes(&set, "shop", call), "shop/v2:80", "{one}: {call}");
        }
    }
}

#[test]
fn a_route_with_a_value_nobody_knows_is_not_accepted_as_a_whole() {
    let long = "a".repeat(1025);
    let table = [
        ("UnsupportedValue", "[{matches: [{path: {type: Fuzzy, value: /x}}]}]".to_owned()),
        ("UnsupportedValue", "[{matches: [{path: {value: x}}]}]".to_owned()),
        ("UnsupportedValue", "[{matches: [{path: {value: /a/../b}}]}]".to_owned()),
        ("UnsupportedValue", "[{matches: [{path: {value: /a%2Fb}}]}]".to_owned()),
        ("UnsupportedValue", format!("[{{matches: [{{path: {{type: RegularExpression, value: {long}}}}}]}}]")),
        ("UnsupportedValue", "[{matches: [{path: {type: RegularExpression, value: '('}}]}]".to_owned()),
        ("UnsupportedValue", "[{matches: [{path: {type: RegularExpression, value: '(a{1000}){1000}'}}]}]".to_owned()),
        ("UnsupportedValue", "[{matches: [{headers: [{name: a, value: b, type: Glob}]}]}]".to_owned()),
        ("UnsupportedValue", "[{matches: [{headers: [{name: 'a b', value: b}]}]}]".to_owned()),
        ("UnsupportedValue", "[{matches: [{method: get}]}]".to_owned()),
        ("UnsupportedValue", "[{timeouts: {request: 1s, backendRequest: 2s}}]".to_owned()),
        ("UnsupportedValue", "[{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 200}}]}]".to_owned()),
        ("UnsupportedValue", "[{filters: [{type: RequestRedirect, requestRedirect: {scheme: ftp}}]}]".to_owned()),
        ("UnsupportedValue", "[{filters: [{type: URLRewrite, urlRewrite: {hostname: '*.x'}}]}]".to_owned()),
        ("UnsupportedValue", "[{filters: [{type: URLRewrite, urlRewrite: {path: {type: Other}}}]}]".to_owned()),
        ("UnsupportedValue", "[{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: \"b\\nc\"}]}}]}]".to_owned()),
        ("IncompatibleFilters", "[{filters: [{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}]}]".to_owned()),
        ("IncompatibleFilters", "[{filters: [{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {}}]}]".to_owned()),
        ("IncompatibleFilters", "[{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: v1, port: 80}]}]".to_owned()),
    ];
    for (reason, rules) in table {
        let set = with_rules(&rules);
        assert_eq!(
            conditions(&set, Kind::HttpRoute, "r"),
            [format!("Accepted=False/{reason}"), "ResolvedRefs=True/ResolvedRefs".into()]
        );
        assert_eq!(goes(&set, "shop", "GET api/"), "shop/api:80", "it is as if there were no route: {rules}");
    }
}

#[test]
fn a_prefix_is_replaced_only_where_the_rule_has_exactly_one() {
    let rule = |matches: &str| {
        format!(
            "[{{matches: {matches}, filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /y}}}}}}], backendRefs: [{{name: v1, port: 80}}]}}]"
        )
    };
    let table = [
        ("[]", true),
        ("[{path: {value: /x}}]", true),
        ("[{headers: [{name: a, value: b}]}]", true),
        ("[{path: {type: Exact, value: /x}}]", false),
        ("[{path: {value: /x}}, {path: {value: /z}}]", false),
    ];
    for (matches, want) in table {
        assert_eq!(accepted(&rule(matches)) == "Accepted=True/Accepted", want, "{matches}");
    }
}

#[test]
fn a_backend_that_leads_nowhere_answers_its_share_and_the_other_rules_work() {
    let table = [
        ("{name: nobody, port: 80}", "BackendNotFound"),
        ("{name: v1, port: 81}", "BackendNotFound"),
        ("{name: v1}", "BackendNotFound"),
        ("{name: v1, namespace: other, port: 80}", "BackendNotFound"),
        ("{kind: Bucket, name: v1, port: 80}", "InvalidKind"),
        ("{group: example.com, name: v1, port: 80}", "InvalidKind"),
        ("{name: db, port: 5432}", "UnsupportedProtocol"),
    ];
    for (backend, reason) in table {
        let set = with_rules(&format!(
            "[{{matches: [{{path: {{value: /bad}}}}], backendRefs: [{backend}]}}, {{backendRefs: [{{name: v1, port: 80}}]}}]"
        ));
        assert_eq!(goes(&set, "shop", "GET api/bad"), "invalid_backend", "{backend}");
        assert_eq!(goes(&set, "shop", "GET api/good"), "shop/v1:80", "{backend}");
        let want = ["Accepted=True/Accepted".to_owned(), format!("ResolvedRefs=False/{reason}")];
        assert_eq!(conditions(&set, Kind::HttpRoute, "r"), want, "{backend}");
    }
}

#[test]
fn weights_divide_and_zero_takes_nothing() {
    let table = [
        ("[{name: v1, port: 80, weight: 0}, {name: v2, port: 80}]", "shop/v2:80"),
        // A backend without weight may as well not exist (conformance test MeshGRPCRouteWeight).
        ("[{name: nobody, port: 80, weight: 0}, {name: v2, port: 80}]", "shop/v2:80"),
        ("[{name: v1, port: 80, weight: 0}, {name: v2, port: 80, weight: 0}]", "invalid_backend"),
        ("[]", "invalid_backend"),
    ];
    for (backends, want) in table {
        let set = with_rules(&format!("[{{backendRefs: {backends}}}]"));
        assert_eq!(goes(&set, "shop", "GET api/"), want, "{backends}");
        assert_eq!(conditions(&set, Kind::HttpRoute, "r")[0], "Accepted=True/Accepted");
    }
    let nothing = with_rules("[]");
    assert_eq!(goes(&nothing, "shop", "GET api/"), "invalid_backend", "no rules are the CRD's default rule");
}

#[test]
fn a_filter_that_is_not_carried_out_refuses_and_says_so() {
    for filter in ["RequestMirror", "CORS", "ExtensionRef", "ExternalAuth", "Teleport"] {
        let set = with_rules(&format!(
            "[{{filters: [{{type: {filter}}}], backendRefs: [{{name: v1, port: 80}}]}}]"
        ));
        assert_eq!(goes(&set, "shop", "GET api/"), "unsupported_filter", "{filter}");
        let conditions = conditions(&set, Kind::HttpRoute, "r");
        assert_eq!(conditions.last().unwrap(), "PartiallyInvalid=True/UnsupportedValue", "{filter}");
    }
}

#[test]
fn a_redirect_answers() {
    let set = with_rules("[{filters: [{type: RequestRedirect, requestRedirect: {hostname: example.com}}]}]");
    assert_eq!(goes(&set, "shop", "GET api/"), "redirect");
}

#[test]
fn timeouts_and_retries_of_a_rule_travel_with_it() {
    let set = with_rules(
        "[{backendRefs: [{name: v1, port: 80}], timeouts: {request: 2s, backendRequest: 500ms}, retry: {codes: [503, 500, 503], attempts: 3, backoff: 2s}}]",
    );
    let routes = routes(&set, &ServiceName::new("shop", "api"), None).value.unwrap();
    let rule = &routes.table(80).unwrap().routes()[0].rules[0];
    assert_eq!(rule.timeouts.request, Some(std::time::Duration::from_secs(2)));
    let retry = rule.retry.as_ref().unwrap();
    assert_eq!((retry.attempts, retry.statuses.as_slice()), (3, &[500, 503][..]));
    assert!(retry.on_reset && retry.on_timeout && !retry.non_idempotent);
    assert_eq!(retry.max_backoff, retry.backoff);
}
