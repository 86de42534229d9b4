//! A proxy that goes lets what is under way finish, by one deadline.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use weft_tests::call;
use weft_tests::eventually::{eventually, soon};
use weft_tests::origin::Answer;

use crate::shop::Shop;

#[tokio::test]
async fn requests_under_way_finish_on_both_sides_and_new_ones_go_elsewhere() {
    let mut shop = Shop::open_with(&["api-1", "api-2"], "").await;
    let gate = Arc::new(Semaphore::new(0));
    for nth in 0..2 {
        shop.origin(nth).always(Answer::After(Arc::clone(&gate)));
    }
    let under_way: Vec<_> = (0..4)
        .map(|n| tokio::spawn(call::through(shop.web.outbound, call::get(&format!("http://api/{n}")))))
        .collect();
    eventually("all four have arrived", async || {
        (shop.origin(0).count() + shop.origin(1).count() == 4).then_some(())
    })
    .await;
    let left = shop.origin(0).count();
    let draining = tokio::spawn(shop.servers.remove(0).drain());
    shop.mesh.serves("shop/api", 80, 1).await;
    // It is out of service: new requests go to the other one.
    shop.origin(1).always(Answer::Report);
    for _ in 0..10 {
        assert_eq!(shop.get("/").await.origin(), "api-2");
    }
    assert_eq!(shop.origin(0).count(), left);
    assert!(!draining.is_finished() || left == 0);
    gate.add_permits(4);
    for request in under_way {
        assert_eq!(soon("a request under way", request).await.unwrap().status, 200);
    }
    assert!(soon("the end of the drain", draining).await.unwrap(), "nothing was cut off");
}

#[tokio::test]
async fn a_callers_proxy_finishes_its_calls_and_takes_no_new_connections() {
    let shop = Shop::open("").await;
    let gate = Arc::new(Semaphore::new(0));
    shop.origin(0).always(Answer::After(Arc::clone(&gate)));
    let (outbound, admin) = (shop.web.outbound, shop.web.admin);
    let under_way = tokio::spawn(call::through(outbound, call::get("http://api/")));
    shop.origin(0).has_seen(1).await;
    let Shop { web, mesh, .. } = &shop;
    let _ = (web, mesh);
    let (origin, draining) = {
        let Shop { web, .. } = shop;
        (gate, tokio::spawn(web.drain()))
    };
    eventually("nobody accepts any more", async || TcpStream::connect(outbound).await.is_err().then_some(()))
        .await;
    let ready = call::to(admin, call::get("http://localhost/ready")).await;
    assert_eq!(ready.status, 503, "readiness is off while it drains: {ready:?}");
    origin.add_permits(1);
    assert_eq!(soon("the call under way", under_way).await.unwrap().status, 200);
    assert!(soon("the end of the drain", draining).await.unwrap());
}

#[tokio::test]
async fn what_does_not_end_is_cut_off_at_the_deadline_and_the_drain_says_so() {
    let shop = Shop::open("").await;
    let short = shop.mesh.beside("shop/short").set("WEFT_DRAIN_SECS", "0.2").start().await;
    shop.origin(0).always(Answer::Silence);
    let mut stream = call::connect(short.outbound).await;
    stream.write_all(b"GET http://api/ HTTP/1.1\r\nHost: api\r\n\r\n").await.unwrap();
    shop.origin(0).has_seen(1).await;
    assert!(!soon("the end of the drain", short.drain()).await);
    let _ = soon("the connection's end", stream.read(&mut [0; 1])).await;
}
