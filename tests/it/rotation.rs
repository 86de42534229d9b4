//! A root is replaced under a mesh that works: nothing is restarted, and no connection is dropped.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_tests::eventually::{eventually, soon};

use crate::shop::Shop;

#[tokio::test]
async fn a_root_is_replaced_and_every_proxy_moves_to_the_new_one_without_losing_a_connection() {
    let shop = Shop::open("").await;
    let operator = shop.mesh.operator();
    let mut socket = shop.upgraded().await;
    let mut echoes = async |word: &[u8; 4]| {
        socket.write_all(word).await.unwrap();
        let mut back = [0; 4];
        soon("an echo", socket.read_exact(&mut back)).await.unwrap();
        assert_eq!(&back, word);
    };
    let works = async || assert_eq!(shop.get("/").await.status, 200);
    let serial = async || shop.web.admin("/identity").await.json()["serial"].as_str().unwrap().to_owned();
    let before = serial().await;
    echoes(b"one ").await;

    assert_eq!(operator.rotate("prepare").await.unwrap().phase, "prepared");
    works().await;
    // Whoever has not heard of the new root holds the change up, and is named.
    eventually("both proxies trust the new root", async || {
        let status = operator.rotate("").await.unwrap();
        status.waiting_for.is_empty().then_some(())
    })
    .await;
    echoes(b"two ").await;
    assert_eq!(operator.rotate("activate").await.unwrap().phase, "active");
    works().await;
    // Both are asked to renew, and the next certificate is the new root's.
    eventually("the proxy has another certificate", async || (serial().await != before).then_some(())).await;
    works().await;
    echoes(b"thre").await;
    let roots = operator.status(0).await.roots;
    assert_eq!(roots.iter().map(|root| root.phase.as_str()).collect::<Vec<_>>().len(), 2, "{roots:?}");
}

#[tokio::test]
async fn a_rotation_that_is_called_off_leaves_everything_as_it_was() {
    let shop = Shop::open("").await;
    let operator = shop.mesh.operator();
    let before = operator.status(0).await.roots;
    assert!(operator.rotate("activate").await.is_err(), "nothing is prepared");
    operator.rotate("prepare").await.unwrap();
    assert_eq!(operator.rotate("abort").await.unwrap().phase, "stable");
    assert_eq!(operator.status(0).await.roots, before);
    assert_eq!(shop.get("/").await.status, 200);
}
