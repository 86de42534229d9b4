//! What an operator applies is in force when the wait returns, and one mistake stays one mistake.

use weft_tests::call;
use weft_tests::eventually::eventually;
use weft_tests::origin::Answer;

use crate::shop::{SERVICES, Shop};

fn redirect_to(host: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: to, namespace: shop}},
          spec: {{parentRefs: [{{kind: Service, group: '', name: api}}], rules: [
            {{filters: [{{type: RequestRedirect, requestRedirect: {{hostname: {host}}}}}]}}]}}}}"
    )
}

#[tokio::test]
async fn a_change_is_in_force_at_every_proxy_when_the_wait_returns() {
    let shop = Shop::open("").await;
    let others = [shop.mesh.beside("shop/w-1").start().await, shop.mesh.beside("shop/w-2").start().await];
    let all = || std::iter::once(&shop.web).chain(&others);
    for proxy in all() {
        assert_eq!(proxy.get("http://api/").await.status, 200);
    }
    for round in 0..10 {
        let host = format!("round-{round}.example");
        let status = shop.mesh.apply("to.yaml", &redirect_to(&host)).await;
        assert_eq!(status.proxies.iter().filter(|proxy| proxy.attached).count(), 4);
        for proxy in all() {
            let reply = proxy.get("http://api/").await;
            assert_eq!(
                reply.header("location"),
                format!("http://{host}/"),
                "{} in round {round}",
                proxy.workload
            );
        }
    }
}

#[tokio::test]
async fn a_bad_object_is_reported_with_file_line_and_field_and_leaves_all_others() {
    let shop = Shop::open(&redirect_to("before.example")).await;
    let bad = redirect_to("after.example")
        + "\n---\n"
        + &redirect_to("x")
            .replace("name: to", "name: bad")
            .replace("type: RequestRedirect", "typ: RequestRedirect");
    let reply = shop.mesh.operator().apply("more.yaml", &bad).await;
    assert!(!reply.applied, "{reply:?}");
    let errors: Vec<_> = reply.findings.iter().filter(|finding| finding.severity == "error").collect();
    assert!(errors.iter().any(|finding| finding.file == "more.yaml" && finding.line >= 4), "{errors:#?}");
    assert!(
        errors.iter().all(|finding| !finding.message.is_empty() && !finding.help.is_empty()),
        "{errors:#?}"
    );
    assert_eq!(shop.get("/").await.header("location"), "http://before.example/");
    assert!(!shop.mesh.files().join("more.yaml").exists());
}

#[tokio::test]
async fn a_file_that_somebody_breaks_by_hand_freezes_itself_and_nothing_else() {
    let shop = Shop::open("").await;
    shop.mesh.apply("to.yaml", &redirect_to("before.example")).await;
    std::fs::write(shop.mesh.files().join("to.yaml"), "kind: HTTPRoute\n  oops: [").unwrap();
    let more = "{apiVersion: v1, kind: Service, metadata: {name: alias, namespace: shop},
                 spec: {selector: {app: api}, ports: [{port: 80, targetPort: http}]}}";
    std::fs::write(shop.mesh.files().join("alias.yaml"), more).unwrap();
    eventually("the new Service is known", async || {
        (shop.web.get("http://alias/").await.status == 200).then_some(())
    })
    .await;
    let reply = shop.get("/").await;
    assert_eq!(reply.header("location"), "http://before.example/", "the last good one");
    let status = shop.mesh.operator().status(0).await;
    let route =
        status.objects.iter().find(|object| object.object == "HTTPRoute shop/to").expect("it is shown");
    assert!(route.conditions.iter().any(|condition| !condition.status), "{route:#?}");
}

#[tokio::test]
async fn what_is_deleted_is_gone_everywhere_when_the_wait_returns() {
    let shop = Shop::open("").await;
    assert_eq!(shop.get("/").await.status, 200);
    let without_api = SERVICES.replace("name: api, ", "name: api-once, ");
    shop.mesh.apply("mesh.yaml", &without_api).await;
    assert_ne!(shop.get("/").await.status, 200);
    shop.mesh.apply("mesh.yaml", SERVICES).await;
    assert_eq!(shop.get("/").await.status, 200);
}

#[tokio::test]
async fn a_change_of_routing_breaks_no_connection_that_is_under_way() {
    let shop = Shop::open("").await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    shop.origin(0).next([Answer::After(std::sync::Arc::clone(&gate))]);
    let under_way = tokio::spawn(call::through(shop.web.outbound, call::get("http://api/")));
    shop.origin(0).has_seen(1).await;
    let gone = SERVICES.replace("name: api, ", "name: api-once, ");
    shop.mesh.apply("to.yaml", &redirect_to("elsewhere.example")).await;
    assert_eq!(shop.get("/").await.header("location"), "http://elsewhere.example/");
    shop.mesh.apply("to.yaml", "").await;
    shop.mesh.apply("mesh.yaml", &gone).await;
    gate.add_permits(1);
    let reply = under_way.await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.origin().as_str()), (200, "api-1"));
}
