//! A client that ends its own direction may be done speaking, or gone: the first hears its answer, the second holds
//! nothing for long.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use weft_tests::call;
use weft_tests::eventually::{eventually, soon};
use weft_tests::origin::Answer;

use crate::shop::Shop;

/// Writes a request, ends its direction, and reads what comes: `printf … | nc -N`.
async fn say_and_listen(shop: &Shop, request: &str, before_reading: impl AsyncFnOnce()) -> String {
    let mut stream = call::connect(shop.web.outbound).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    before_reading().await;
    let mut all = Vec::new();
    soon("an answer and its end", stream.read_to_end(&mut all)).await.unwrap();
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn a_client_that_is_done_speaking_hears_its_answer() {
    let shop = Shop::open("").await;
    let get = "GET http://api/x HTTP/1.1\r\nHost: api\r\n\r\n";
    let old = "GET http://api/x HTTP/1.0\r\nHost: api\r\n\r\n";
    let post = "POST http://api/x HTTP/1.1\r\nHost: api\r\nContent-Length: 5\r\n\r\nhello";
    for request in [get, old, post] {
        let answer = say_and_listen(&shop, request, async || {}).await;
        assert!(answer.contains(" 200 OK\r\n") && answer.contains("\"path\":\"/x\""), "{request}: {answer}");
    }
    // The server takes its time: the end has long arrived when the answer is made.
    let gate = Arc::new(Semaphore::new(0));
    shop.origin(0).next([Answer::After(Arc::clone(&gate))]);
    let answer = say_and_listen(&shop, get, async || {
        shop.origin(0).has_seen(4).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
    });
    assert!(answer.await.contains(" 200 OK\r\n"));
    // More than any buffer holds.
    shop.origin(0).next([Answer::Echo]);
    let much = "x".repeat(8 << 20);
    let request =
        format!("PUT http://api/x HTTP/1.1\r\nHost: api\r\nContent-Length: {}\r\n\r\n{much}", much.len());
    let answer = say_and_listen(&shop, &request, async || {}).await;
    assert!(answer.ends_with(&much), "{} bytes", answer.len());
}

#[tokio::test]
async fn a_client_that_is_gone_gives_back_its_place_whichever_way_it_went() {
    let limit =
        "{apiVersion: weft.mesh/v1alpha1, kind: TrafficPolicy, metadata: {name: api, namespace: shop},
        spec: {targetRefs: [{kind: Service, name: api}], limits: {maxRequests: 1}}}";
    let shop = Shop::open(limit).await;
    shop.origin(0).always(Answer::Silence);
    for (round, resets) in [(1, false), (2, true)] {
        let mut stream = call::connect(shop.web.outbound).await;
        stream.write_all(b"GET http://api/ HTTP/1.1\r\nHost: api\r\n\r\n").await.unwrap();
        shop.origin(0).has_seen(round).await;
        if resets {
            stream.set_zero_linger().unwrap();
        }
        drop(stream);
        eventually("its place is free", async || {
            (shop.web.counter("weft_requests_in_flight", &[]).await == 0.0).then_some(())
        })
        .await;
    }
    shop.origin(0).always(Answer::Report);
    assert_eq!(shop.get("/").await.status, 200);
}
