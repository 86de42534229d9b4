//! A request from one application to another passes both sidecars, and the one knows who the other is.

use http::Method;
use weft_tests::call;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;
use weft_tests::sidecar::Sidecar;

const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]}
";

/// web → api.
struct Shop {
    mesh: Mesh,
    origin: Origin,
    web: Sidecar,
    api: Sidecar,
}

impl Shop {
    async fn open() -> Self {
        let mesh = Mesh::start(SHOP).await;
        let origin = Origin::start("api").await;
        let api = mesh.beside("shop/api-1").http(origin.addr).start().await;
        let web = mesh.beside("shop/web").start().await;
        mesh.serves("shop/api", 80, 1).await;
        Self { mesh, origin, web, api }
    }
}

#[tokio::test]
async fn a_request_passes_both_sidecars_and_the_server_learns_who_called() {
    let shop = Shop::open().await;
    let reply = shop.web.get("http://api.shop/things?page=2").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen = reply.json();
    assert_eq!(seen["origin"], "api");
    assert_eq!((&seen["path"], &seen["query"]), (&"/things".into(), &"page=2".into()));
    assert_eq!(seen["host"], "api.shop");
    assert_eq!(seen["version"], "HTTP/1.1");
    assert_eq!(seen["headers"]["weft-client-id"], "spiffe://weft.local/ns/shop/sa/web");
    let [line] = &shop.api.logged(1, |line| line["direction"] == "inbound").await[..] else { panic!() };
    assert_eq!(line["peer"], "spiffe://weft.local/ns/shop/sa/web", "{line}");
    drop(shop.mesh);
    assert_eq!(shop.origin.count(), 1);
}

#[tokio::test]
async fn identity_headers_that_a_client_makes_up_do_not_arrive() {
    let shop = Shop::open().await;
    let request = call::request(Method::POST, "http://api/", "hello");
    let request = call::with(request, "weft-client-id", "spiffe://weft.local/ns/shop/sa/admin");
    let request = call::with(request, "x-forwarded-client-cert", "URI=spiffe://weft.local/ns/shop/sa/admin");
    let seen = shop.web.send(request).await.json();
    assert_eq!(seen["headers"]["weft-client-id"], "spiffe://weft.local/ns/shop/sa/web", "{seen}");
    assert!(!seen.to_string().contains("sa/admin"), "{seen}");
    assert_eq!((&seen["method"], &seen["body"]), (&"POST".into(), &"hello".into()));

    // Nor do they in plaintext, where nobody is proven.
    let plain =
        call::with(call::get("http://api/"), "weft-client-id", "spiffe://weft.local/ns/shop/sa/admin");
    let seen = call::to(shop.api.inbound, plain).await;
    assert!(!String::from_utf8_lossy(&seen.body).contains("spiffe"), "{seen:?}");
}
