//! The mesh's authority: its root is replaced under load, and ten thousand ask for certificates at once.

use std::time::{Duration, Instant, SystemTime};

use weft_certs::authority::{Authority, Lifetime};
use weft_certs::request::KeyAndRequest;
use weft_tests::eventually::eventually;
use weft_tests::figures;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;

use crate::load::{API, Load, all_well};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_is_replaced_under_load_and_no_call_fails() {
    let mesh = Mesh::start(API).await;
    let origin = Origin::start("api-1").await;
    let _api = mesh.beside("shop/api-1").http(origin.addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let serial = async || web.admin("/identity").await.json()["serial"].to_string();
    let load = Load::start(web.outbound, 4);
    let before = serial().await;
    assert_eq!(mesh.operator().rotate("prepare").await.unwrap().phase, "prepared");
    eventually("everybody trusts the next root", async || {
        mesh.operator().rotate("").await.unwrap().waiting_for.is_empty().then_some(())
    })
    .await;
    assert_eq!(mesh.operator().rotate("activate").await.unwrap().phase, "active");
    eventually("it has a certificate of the next root", async || (serial().await != before).then_some(()))
        .await;
    mesh.settled().await;
    load.past(200).await;
    let answered = all_well(&load.end().await, &[&origin]);
    figures::report(
        23,
        format!("the root replaced under load: 0 of {answered} requests failed"),
        answered > 100,
    );
}

#[test]
fn ten_thousand_certificates_are_signed_within_a_minute() {
    let now = SystemTime::now();
    let authority = Authority::mint(&"weft.local".parse().unwrap(), now).unwrap();
    let keys: Vec<_> = (0..50).map(|_| KeyAndRequest::generate().unwrap()).collect();
    let ids: Vec<_> =
        (0..200).map(|n| format!("spiffe://weft.local/ns/shop/sa/web-{n}").parse().unwrap()).collect();
    let begun = Instant::now();
    for nth in 0..SIGNED {
        let issued = authority
            .issue(&keys[nth % keys.len()].csr_der, &ids[nth % ids.len()], Lifetime::Default, now)
            .unwrap();
        assert!(!issued.chain_der.is_empty());
    }
    let took = begun.elapsed();
    let told =
        format!("{SIGNED} requests signed by the authority, on one core, in {:.1} s", took.as_secs_f64());
    figures::report(23, told, took < Duration::from_secs(60));
}

const SIGNED: usize = 10_000;
