//! A request from one application to another passes both sidecars, and the one knows who the other is.

use http::Method;
use weft_tests::call;
use weft_tests::eventually::eventually;
use weft_tests::mesh::Mesh;
use weft_tests::origin::{Answer, Origin};

use crate::shop::Shop;

const WEB: &str = "spiffe://weft.local/ns/shop/sa/web";

#[tokio::test]
async fn a_request_passes_both_sidecars_and_the_server_learns_who_called() {
    let shop = Shop::open("").await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = call::with(call::get("http://api.shop/things?page=2"), "traceparent", trace);
    let reply = shop.web.send(request).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = reply.json();
    assert_eq!(seen["origin"], "api-1");
    assert_eq!((&seen["path"], &seen["query"]), (&"/things".into(), &"page=2".into()));
    assert_eq!(seen["host"], "api.shop");
    assert_eq!(seen["version"], "HTTP/1.1");
    assert_eq!(seen["headers"]["weft-client-id"], WEB);
    assert_eq!(shop.origin(0).count(), 1);

    // Both sidecars have written it down, each its side.
    let went = &shop.web.logged(1, |_| true).await[0];
    let (service, backend, endpoint) = (&went["service"], &went["backend"], &went["endpoint"]);
    assert_eq!((service, backend), (&"shop/api".into(), &"shop/api:80".into()), "{went}");
    assert_eq!(
        endpoint,
        &shop.servers[0].inbound.to_string(),
        "it went to the sidecar, not to the application"
    );
    let came = &shop.servers[0].logged(1, |_| true).await[0];
    assert_eq!((&came["direction"], &came["peer"]), (&"inbound".into(), &WEB.into()), "{came}");
    assert_eq!(
        seen["headers"]["traceparent"], trace,
        "with nowhere to send spans, the trace passes as it came"
    );
    for line in [went, came] {
        assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c", "{line}");
    }
}

#[tokio::test]
async fn identity_headers_that_a_client_makes_up_do_not_arrive() {
    let shop = Shop::open("").await;
    let admin = "spiffe://weft.local/ns/shop/sa/admin";
    let forged = |mut request| {
        for name in ["weft-client-id", "x-forwarded-client-cert", "weft_client_id", "l5d-client-id"] {
            request = call::with(request, name, admin);
        }
        request
    };
    let seen = shop.web.send(forged(call::request(Method::POST, "http://api/", "hello"))).await.json();
    assert_eq!(seen["headers"]["weft-client-id"], WEB, "{seen}");
    assert!(!seen.to_string().contains("sa/admin"), "{seen}");
    assert_eq!((&seen["method"], &seen["body"]), (&"POST".into(), &"hello".into()));

    // Nor do they in plaintext, where nobody is proven.
    let seen = call::to(shop.servers[0].inbound, forged(call::get("http://api/"))).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    assert!(!seen.json().to_string().contains("spiffe"), "{seen:?}");
}

#[tokio::test]
async fn a_port_that_becomes_strict_refuses_plaintext_from_then_on_and_mtls_goes_on() {
    let shop = Shop::open("").await;
    let inbound = shop.servers[0].inbound;
    assert_eq!(call::to(inbound, call::get("http://api/")).await.status, 200);
    let strict = "
        {apiVersion: weft.mesh/v1alpha1, kind: AuthenticationPolicy, metadata: {name: strict, namespace: shop},
         spec: {targetRefs: [{kind: Service, name: api}], mtls: {mode: Strict}}}";
    shop.mesh.apply("strict.yaml", strict).await;
    let refused = call::to(inbound, call::get("http://api/")).await;
    assert_eq!((refused.status.as_u16(), refused.refusal()), (403, "plaintext_denied"), "{refused:?}");
    assert_eq!(shop.get("/").await.status, 200);
    assert_eq!(shop.origin(0).count(), 2, "what was refused did not reach the application");
}

#[tokio::test]
async fn two_hundred_requests_share_few_connections_between_the_sidecars() {
    let shop = Shop::open("").await;
    let mut client = shop.web.client().await;
    for _ in 0..200 {
        assert_eq!(client.send(call::get("http://api/")).await.status, 200);
    }
    let server = &shop.servers[0];
    eventually("the server's sidecar has counted 200 requests", async || {
        (server.counter("weft_requests_total", &["inbound"]).await == 200.0).then_some(())
    })
    .await;
    let connections = server.counter("weft_detected_connections_total", &["tls"]).await;
    assert!((1.0..=2.0).contains(&connections), "{connections}");
}

#[tokio::test]
async fn two_thousand_requests_at_once_all_arrive_once() {
    let shop = Shop::open_with(&["api-1", "api-2"], "").await;
    let outbound = shop.web.outbound;
    let clients: Vec<_> = (0..40)
        .map(|client| {
            tokio::spawn(async move {
                let mut connection = call::Client::connect(outbound, call::Form::Absolute).await;
                for request in 0..50 {
                    let path = format!("/{client}/{request}");
                    let reply = connection.send(call::get(&format!("http://api{path}"))).await;
                    assert_eq!(
                        (reply.status.as_u16(), reply.json()["path"].as_str()),
                        (200, Some(path.as_str()))
                    );
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(shop.origin(0).count() + shop.origin(1).count(), 2000);
    assert!(shop.origin(0).count() > 0 && shop.origin(1).count() > 0, "both had a part in it");
}

#[tokio::test]
async fn two_workers_share_what_holds_for_the_proxy_and_nothing_else_changes() {
    let policy = "{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {name: api, namespace: shop},
        spec: {targetRefs: [{kind: Service, name: api}], circuitBreaking: {consecutiveFailures: 4, openFor: 1h}}}";
    let shop = Shop::open(policy).await;
    let wide = shop.mesh.beside("shop/wide").set("WEFT_WORKERS", "2").start().await;
    // Connections go to the worker with the fewest: four are two for each.
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = wide.client().await;
        assert_eq!(client.send(call::get("http://api/")).await.status, 200);
        clients.push(client);
    }
    shop.origin(0).always(Answer::Status(500));
    for client in &mut clients {
        assert_eq!(client.send(call::get("http://api/")).await.status, 500);
    }
    for client in &mut clients {
        let reply = client.send(call::get("http://api/")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.refusal()),
            (503, "breakers_open"),
            "one breaker for all workers"
        );
    }
    drop(clients);
    assert!(wide.drain().await);
}

#[tokio::test]
async fn whoever_answers_at_an_endpoint_without_being_it_gets_no_request() {
    let shop = Shop::open("").await;
    let origin = Origin::start("vault").await;
    let vault = shop.mesh.beside("shop/vault").http(origin.addr).start().await;
    // A manifest says that at this address is `api`; who is there is `vault`.
    let impostor = format!(
        "{{apiVersion: weft.mesh/v1alpha1, kind: Workload,
          metadata: {{name: impostor, namespace: shop, labels: {{app: api-v1}}}},
          spec: {{address: 127.0.0.1, serviceAccount: api-v1, inbound: {{port: {}}},
                 ports: [{{name: http, port: {}}}]}}}}",
        vault.inbound.port(),
        origin.addr.port()
    );
    shop.mesh.apply("impostor.yaml", &impostor).await;
    let reply = shop.web.get("http://api-v1/").await;
    assert_eq!((reply.status.as_u16(), reply.refusal()), (503, "wrong_identity"), "{reply:?}");
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn a_certificate_of_another_mesh_opens_no_door() {
    let shop = Shop::open("").await;
    // Same names, another root: their `api` is said to be where ours is.
    let theirs = format!(
        "{}\n---\n{{apiVersion: weft.mesh/v1alpha1, kind: Workload,
          metadata: {{name: api-9, namespace: shop, labels: {{app: api}}}},
          spec: {{address: 127.0.0.1, serviceAccount: api, inbound: {{port: {}}},
                 ports: [{{name: http, port: {}}}]}}}}",
        crate::shop::SERVICES,
        shop.servers[0].inbound.port(),
        shop.origin(0).addr.port()
    );
    let other = Mesh::start(&theirs).await;
    let stranger = other.beside("shop/web").start().await;
    let reply = stranger.get("http://api/").await;
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.refusal(), "wrong_identity", "{reply:?}");
    assert_eq!(shop.origin(0).count(), 0);
}

#[tokio::test]
async fn a_mesh_on_ipv6_is_a_mesh() {
    let mesh = Mesh::start(crate::shop::SERVICES).await;
    let origin = Origin::start_at("api-1", "[::1]:0".parse().unwrap()).await;
    let six = [("WEFT_INBOUND", "[::1]:0"), ("WEFT_OUTBOUND", "[::1]:0"), ("WEFT_APPLICATION", "::1")];
    let on_six = |workload| {
        let beside = mesh.beside(workload).set("WEFT_REGISTER_ADDRESS", "::1");
        six.iter().fold(beside, |beside, (name, value)| beside.set(name, *value))
    };
    let _api = on_six("shop/api-1").http(origin.addr).start().await;
    let web = on_six("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let reply = web.get("http://api/").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["headers"]["weft-client-id"], WEB);
    // An address outside of the mesh, in brackets.
    let outside = Origin::start_at("outside", "[::1]:0".parse().unwrap()).await;
    assert_eq!(web.get(&format!("http://{}/", outside.addr)).await.origin(), "outside");
}
