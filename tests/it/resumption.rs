//! A connection to a far end that was there before is resumed and not begun anew, until anything changes that a full
//! handshake would look at.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_proto::v1::denial::Whom;
use weft_tests::eventually::{eventually, soon};
use weft_tests::sidecar::Sidecar;

use crate::shop::Shop;

/// How many handshakes there have been, in full and resumed.
async fn handshakes(sidecar: &Sidecar, side: &str) -> (f64, f64) {
    let side = format!("side=\"{side}\"");
    let kind = async |kind| sidecar.counter("weft_tls_handshakes_total", &[&side, kind]).await;
    (kind("kind=\"full\"").await, kind("kind=\"resumed\"").await)
}

/// Opens a connection of its own through both sidecars, and says by what kind of handshake it came about: the number
/// of full ones and of resumed ones by which each side's counters went up.
async fn opened(shop: &Shop) -> [(f64, f64); 2] {
    let count =
        async || [handshakes(&shop.web, "outbound").await, handshakes(&shop.servers[0], "inbound").await];
    let before = count().await;
    let mut socket = shop.upgraded().await;
    socket.write_all(b"echo").await.unwrap();
    let mut back = [0; 4];
    soon("an echo", socket.read_exact(&mut back)).await.unwrap();
    let after = count().await;
    [0, 1].map(|side| (after[side].0 - before[side].0, after[side].1 - before[side].1))
}

const FULL: [(f64, f64); 2] = [(1.0, 0.0); 2];
const RESUMED: [(f64, f64); 2] = [(0.0, 1.0); 2];

#[tokio::test]
async fn a_far_end_is_met_again_by_its_session_until_trust_or_a_certificate_changes() {
    let shop = Shop::open("").await;
    let operator = shop.mesh.operator();
    assert_eq!(opened(&shop).await, FULL, "the first");
    assert_eq!(opened(&shop).await, RESUMED, "the second");

    let other = Whom::Identity("spiffe://weft.local/ns/shop/sa/else".to_owned());
    assert!(operator.deny(other.clone()).await.unwrap().changed);
    eventually("both have heard whom to deny", async || {
        operator.deny(other.clone()).await.unwrap().waiting_for.is_empty().then_some(())
    })
    .await;
    assert_eq!(opened(&shop).await, FULL, "after a denial of somebody else");
    assert_eq!(opened(&shop).await, RESUMED, "and once more");

    assert_eq!(operator.rotate("prepare").await.unwrap().phase, "prepared");
    eventually("both trust the new root", async || {
        operator.rotate("").await.unwrap().waiting_for.is_empty().then_some(())
    })
    .await;
    assert_eq!(opened(&shop).await, FULL, "after a new root");
    assert_eq!(opened(&shop).await, RESUMED, "and once more");

    let serial = async |sidecar: &Sidecar| {
        sidecar.admin("/identity").await.json()["serial"].as_str().unwrap().to_owned()
    };
    let (web, api) = (serial(&shop.web).await, serial(&shop.servers[0]).await);
    assert_eq!(operator.rotate("activate").await.unwrap().phase, "active");
    eventually("both have another certificate", async || {
        (serial(&shop.web).await != web && serial(&shop.servers[0]).await != api).then_some(())
    })
    .await;
    assert_eq!(opened(&shop).await, FULL, "after both were given new certificates");
    assert_eq!(opened(&shop).await, RESUMED, "and once more");
}
