//! The control plane can be gone for hours, and nobody who knows where to go notices.

use weft_tests::call;
use weft_tests::eventually::eventually;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;

use crate::shop::SERVICES;

#[tokio::test]
async fn without_a_control_plane_what_is_known_works_and_what_is_not_is_answered_in_time() {
    let mut mesh = Mesh::start(SERVICES).await;
    let (one, two) = (Origin::start("api-v1-1").await, Origin::start("api-v2-1").await);
    let _v1 = mesh.beside("shop/api-v1-1").http(one.addr).start().await;
    let _v2 = mesh.beside("shop/api-v2-1").http(two.addr).start().await;
    let web = mesh.beside("shop/web").set("WEFT_DISCOVERY_WAIT_SECS", "0.3").start().await;
    mesh.serves("shop/api-v1", 80, 1).await;
    mesh.serves("shop/api-v2", 80, 1).await;
    // So short a wait may be over before the first answer comes.
    eventually("it is known where api-v1 is", async || {
        (web.get("http://api-v1/").await.status == 200).then_some(())
    })
    .await;

    mesh.stop().await;
    for _ in 0..20 {
        assert_eq!(web.get("http://api-v1/").await.origin(), "api-v1-1");
    }
    let unknown = web.get("http://api-v2/").await;
    assert_eq!((unknown.status.as_u16(), unknown.refusal()), (503, "discovery_timeout"), "{unknown:?}");
    assert_eq!(web.admin("/ready").await.status, 200, "it can do what it is for");

    mesh.resume().await;
    eventually("the proxy is back and asks what it could not ask", async || {
        (web.get("http://api-v2/").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(web.get("http://api-v1/").await.status, 200);
}

#[tokio::test]
async fn not_one_request_fails_while_the_control_plane_restarts_three_times() {
    let mut mesh = Mesh::start(SERVICES).await;
    let origin = Origin::start("api-1").await;
    let _api = mesh.beside("shop/api-1").http(origin.addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    assert_eq!(web.get("http://api/").await.status, 200);
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let outbound = web.outbound;
    let traffic = tokio::spawn(async move {
        let mut sent = 0;
        while stopped.try_recv().is_err() {
            let reply = call::through(outbound, call::get("http://api/")).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            sent += 1;
        }
        sent
    });
    for _ in 0..3 {
        mesh.stop().await;
        mesh.resume().await;
        mesh.serves("shop/api", 80, 1).await;
    }
    let other = "{apiVersion: v1, kind: Service, metadata: {name: alias, namespace: shop},
                  spec: {selector: {app: api}, ports: [{port: 80, targetPort: http}]}}";
    mesh.apply("alias.yaml", other).await;
    assert_eq!(web.get("http://alias/").await.status, 200, "a change after the restarts arrives");
    stop.send(()).unwrap();
    assert!(traffic.await.unwrap() > 10);
}

#[tokio::test]
async fn a_proxy_that_starts_before_its_control_plane_waits_for_it_and_refuses_until_it_has_policy() {
    let mut mesh = Mesh::start(SERVICES).await;
    let origin = Origin::start("api-1").await;
    let token = mesh.token("shop/api-1", "api").await;
    mesh.stop().await;
    let starting = mesh.beside("shop/api-1").http(origin.addr).token(&token).settings().await;
    let config = weft_proxy::config::Config::read(|name| starting.get(name).cloned()).unwrap();
    let starting = tokio::spawn(weft_proxy::Proxy::start(config));
    // It has asked in vain at least once by the time that somebody listens again.
    tokio::task::yield_now().await;
    assert!(!starting.is_finished());
    mesh.resume().await;
    let proxy = starting.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    proxy.ready().await;
    mesh.serves("shop/api", 80, 1).await;
}
