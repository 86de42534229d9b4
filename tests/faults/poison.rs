//! Objects that cannot be: each is refused where it is applied, and where it lies in a file it stops nobody else.

use weft_tests::eventually::eventually;
use weft_tests::figures;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;

use crate::load::API;

/// None of these is one.
const REGEXES: [&str; 10] =
    ["(", "[", "a{2,1}", "*", "(?P<a", "\\", "(?=x)", "\\p{Nope}", "[z-a]", "(a{1000}){1000}"];

/// What is wrong, by kind: everything after `metadata`.
fn wrong() -> Vec<(&'static str, String)> {
    let mut all: Vec<(&str, String)> = Vec::new();
    let to_api = "targetRefs: [{kind: Service, name: api}]";
    let parent = "parentRefs: [{kind: Service, group: '', name: api}]";
    // A rule that nobody could act by must deny, and so is not to be taken for another.
    for field in
        ["form", "too", "whom", "Rules", "rule", "from_", "methods", "paths", "principals", "notFrom"]
    {
        all.push((
            "AuthorizationPolicy",
            format!("{to_api}, action: Deny, {field}: [{{to: [{{methods: [GET]}}]}}]"),
        ));
        all.push(("AuthorizationPolicy", format!("{to_api}, action: Allow, rules: [{{{field}: [x]}}]")));
    }
    for action in ["Alow", "deny", "DENY", "", "Permit", "1"] {
        all.push((
            "AuthorizationPolicy",
            format!("{to_api}, action: '{action}', rules: [{{to: [{{methods: [GET]}}]}}]"),
        ));
    }
    for mode in ["strict", "Permisive", "None", "true", "", "STRICT", "mutual"] {
        all.push(("AuthenticationPolicy", format!("mtls: {{mode: '{mode}'}}")));
    }
    for regex in REGEXES {
        let path = format!("path: {{type: RegularExpression, value: '{regex}'}}");
        all.push((
            "HTTPRoute",
            format!("{parent}, rules: [{{matches: [{{{path}}}], backendRefs: [{{name: api, port: 80}}]}}]"),
        ));
        let header = format!("headers: [{{type: RegularExpression, name: x, value: '{regex}'}}]");
        all.push((
            "HTTPRoute",
            format!("{parent}, rules: [{{matches: [{{{header}}}], backendRefs: [{{name: api, port: 80}}]}}]"),
        ));
    }
    let route =
        |rule: String| format!("{parent}, rules: [{{{rule}, backendRefs: [{{name: api, port: 80}}]}}]");
    for regex in REGEXES {
        let query =
            format!("matches: [{{queryParams: [{{type: RegularExpression, name: x, value: '{regex}'}}]}}]");
        all.push(("HTTPRoute", route(query)));
        let header =
            format!("matches: [{{headers: [{{type: RegularExpression, name: x, value: '{regex}'}}]}}]");
        all.push(("GRPCRoute", route(header)));
        let method = format!("matches: [{{method: {{type: RegularExpression, service: '{regex}'}}}}]");
        all.push(("GRPCRoute", route(method)));
    }
    for name in ["a b", "''", "'a:b'", "é", "'a\\tb'", "'(x)'", "'x,y'", "'x;'"] {
        for modifier in ["requestHeaderModifier", "responseHeaderModifier"] {
            let kind = if modifier.starts_with("request") {
                "RequestHeaderModifier"
            } else {
                "ResponseHeaderModifier"
            };
            for verb in ["set", "add"] {
                let filter = format!(
                    "filters: [{{type: {kind}, {modifier}: {{{verb}: [{{name: {name}, value: x}}]}}}}]"
                );
                all.push(("HTTPRoute", route(filter)));
            }
        }
    }
    for code in ["200", "99", "404", "-1", "x"] {
        let filter =
            format!("type: RequestRedirect, requestRedirect: {{hostname: a.example, statusCode: {code}}}");
        all.push(("HTTPRoute", format!("{parent}, rules: [{{filters: [{{{filter}}}]}}]")));
    }
    for cidr in ["10.0.0.0/33", "10.0.0/8", "x", "::/129", "10.0.0.1/-1", "''", "fe80::1%eth0/64"] {
        all.push((
            "AuthorizationPolicy",
            format!("{to_api}, action: Allow, rules: [{{from: [{{cidrs: ['{cidr}']}}]}}]"),
        ));
    }
    for identity in ["x", "spiffe://", "spiffe:///ns/a/sa/b", "http://a/ns/b/sa/c", "spiffe://a/ns/../sa/b"] {
        let from = format!("rules: [{{from: [{{identities: ['{identity}']}}]}}]");
        all.push(("AuthorizationPolicy", format!("{to_api}, action: Allow, {from}")));
    }
    for path in ["no-slash", "", "*"] {
        let path = format!("path: {{type: PathPrefix, value: '{path}'}}");
        all.push((
            "HTTPRoute",
            format!("{parent}, rules: [{{matches: [{{{path}}}], backendRefs: [{{name: api, port: 80}}]}}]"),
        ));
    }
    for weight in ["-1", "1000001", "99999999999", "x", "1.5", "[]"] {
        all.push((
            "HTTPRoute",
            format!("{parent}, rules: [{{backendRefs: [{{name: api, port: 80, weight: {weight}}}]}}]"),
        ));
    }
    for port in ["0", "-1", "65536", "x", "80.5", "{}"] {
        all.push(("HTTPRoute", format!("{parent}, rules: [{{backendRefs: [{{name: api, port: {port}}}]}}]")));
        all.push(("Service", format!("selector: {{app: x}}, ports: [{{port: {port}}}]")));
    }
    for timeout in ["-1s", "1", "soon", "1y", "1.2.3s", "99999999999999h", "''"] {
        all.push(("HTTPRoute", format!("{parent}, rules: [{{timeouts: {{request: {timeout}}}, backendRefs: [{{name: api, port: 80}}]}}]")));
        all.push(("TrafficPolicy", format!("{to_api}, retries: {{attempts: 1, backoff: {timeout}}}")));
    }
    for timeout in ["-1s", "1", "soon", "1y", "1.2.3s", "99999999999999h", "''"] {
        all.push(("HTTPRoute", route(format!("timeouts: {{backendRequest: {timeout}}}"))));
    }
    for kind in ["Regex", "Prefix", "exact", "''", "1"] {
        for place in ["path: {type: KIND, value: /x}", "headers: [{type: KIND, name: x, value: y}]"] {
            all.push(("HTTPRoute", route(format!("matches: [{{{}}}]", place.replace("KIND", kind)))));
        }
    }
    for backend in ["nobody", "api-9", "x.y", "'*'", "API"] {
        all.push((
            "HTTPRoute",
            format!("{parent}, rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]"),
        ));
    }
    for (what, spec) in [
        ("TrafficPolicy", "loadBalancing: {type: Best}"),
        ("TrafficPolicy", "loadBalancing: {type: round_robin}"),
        ("TrafficPolicy", "retries: {attempts: -1}"),
        ("TrafficPolicy", "retries: {attempts: 1000000}"),
        ("TrafficPolicy", "retries: {attempts: 1, statuses: [99]}"),
        ("TrafficPolicy", "retries: {attempts: 1, statuses: [1000]}"),
        ("TrafficPolicy", "retries: {attempts: 1, grpcCodes: [NOPE]}"),
        ("TrafficPolicy", "retries: {attempts: 1, budget: {percent: -5}}"),
        ("TrafficPolicy", "retries: {attempts: 1, budget: {percent: 5000}}"),
        ("TrafficPolicy", "circuitBreaking: {consecutiveFailures: many}"),
        ("TrafficPolicy", "circuitBreaking: {openFor: never}"),
        ("TrafficPolicy", "limits: {maxRequests: -3}"),
        ("TrafficPolicy", "limits: {maxRequests: lots}"),
    ] {
        all.push((what, format!("{to_api}, {spec}")));
    }
    all
}

fn object((kind, spec): &(&str, String), nth: usize) -> String {
    let version = match *kind {
        "Service" => "v1",
        "HTTPRoute" | "GRPCRoute" => "gateway.networking.k8s.io/v1",
        _ => "weft.mesh/v1alpha1",
    };
    format!(
        "{{apiVersion: {version}, kind: {kind}, metadata: {{name: bad-{nth}, namespace: shop}}, spec: {{{spec}}}}}\n"
    )
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name_and_stops_nobody_else() {
    let mesh = Mesh::start(API).await;
    let origin = Origin::start("api-1").await;
    let _api = mesh.beside("shop/api-1").http(origin.addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let wrong = wrong();
    let mut taken = Vec::new();
    for (nth, one) in wrong.iter().enumerate() {
        let text = object(one, nth);
        let reply = mesh.operator().apply("bad.yaml", &text).await;
        let told =
            reply.findings.iter().any(|finding| !finding.message.is_empty() && !finding.help.is_empty());
        if reply.applied || !told {
            taken.push(text);
        }
    }
    assert!(taken.is_empty(), "{} were taken:\n{}", taken.len(), taken.concat());
    assert_eq!(web.get("http://api/").await.status, 200);

    // The same, written past `apply`, each in a file of its own; and one that is right among them. What cannot be read as
    // an object of this kind denies only where denying is what it was for: not here, where nothing names the routes.
    let harmless =
        wrong.iter().enumerate().filter(|(_, (kind, _))| matches!(*kind, "TrafficPolicy" | "Service"));
    for (nth, one) in harmless {
        std::fs::write(mesh.files().join(format!("bad-{nth}.yaml")), object(one, nth)).unwrap();
    }
    let other = "{apiVersion: v1, kind: Service, metadata: {name: other, namespace: shop},
                  spec: {selector: {app: api}, ports: [{port: 80, targetPort: http}]}}";
    std::fs::write(mesh.files().join("good.yaml"), other).unwrap();
    eventually("what is right among them is in force", async || {
        (web.get("http://other/").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(web.get("http://api/").await.status, 200, "and what was right before");
    let proxies = mesh.operator().status(0).await.proxies;
    assert!(proxies.iter().all(|proxy| proxy.attached && proxy.rejected.is_empty()), "{proxies:?}");
    let count = wrong.len();
    let told =
        format!("{count} bad objects, {count} refused by name, 0 proxies left what was good, others applied");
    figures::report(25, told, count >= 200);
}
