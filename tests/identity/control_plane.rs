//! Bad callers at the control plane's port, where a caller without a certificate may enrol: a bad certificate is worse
//! than none. And servers that pose as the control plane.

use tokio::io::AsyncWriteExt;
use weft_tests::call::connect;
use weft_tests::figures::report;
use weft_tests::mesh::Mesh;

use crate::bad::certificates;
use crate::counters::{Counts, counts, only};
use crate::forge::{Ca, Presented};
use crate::hello::Hello;
use crate::present::{client, rest, say, say_plainly};

const WEB: &str = "spiffe://weft.local/ns/shop/sa/web";
/// RFC 9113 §3.4, and SETTINGS: whoever is let in hears SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn refusals(mesh: &Mesh) -> Counts {
    counts(&mesh.metrics().await, "weft_control_plane_tls_refused_total", "", "reason")
}

async fn refuses(mesh: &Mesh, what: &str, presented: Option<&Presented>, alpn: &[&[u8]], reason: &str) {
    let before = refusals(mesh).await;
    let told = say(mesh.grpc_addr(), client(presented, alpn), PREFACE).await;
    assert!(told.as_ref().map_or(true, Vec::is_empty), "{what}: {told:?}");
    only(what, &before, reason, async || refusals(mesh).await).await;
}

#[tokio::test]
async fn no_bad_certificate_is_heard_and_each_is_counted_under_its_own_reason() {
    let mesh = Mesh::start("").await;
    let (stolen, root) = Ca::stolen_from(&mesh.scratch().join("state"));
    let all = certificates(&stolen, &root, WEB);
    for bad in &all {
        refuses(&mesh, &bad.what, Some(&bad.presented), &[b"h2"], bad.reason).await;
    }
    let itself = stolen.leaf("spiffe://weft.local/weft/control-plane", |_| {});
    refuses(&mesh, "its own identity", Some(&itself), &[b"h2"], "reserved_identity").await;
    let good = stolen.leaf(WEB, |_| {});
    refuses(&mesh, "no protocol", Some(&good), &[], "alpn").await;
    refuses(&mesh, "a hop between sidecars", Some(&good), &[b"weft/1-h2"], "alpn").await;
    refuses(&mesh, "HTTP/1.1", Some(&good), &[b"http/1.1"], "alpn").await;
    // A workload is served as before.
    let web = mesh.beside("shop/web").start().await;
    assert_eq!(web.admin("/ready").await.status, 200);
    report(9, format!("{} bad certificates at the control plane, 0 heard", all.len() + 5), true);
}

#[tokio::test]
async fn what_is_no_handshake_is_counted_and_forgotten() {
    let mesh = Mesh::start("").await;
    for (what, bytes, reason) in [
        ("TLS 1.2", Hello::tls12().record(), "tls_version"),
        ("plain HTTP", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), "not_tls"),
        ("HTTP/2 in plaintext", PREFACE.to_vec(), "not_tls"),
        ("zeros", vec![0; 64], "not_tls"),
        ("a protocol between sidecars", Hello::ours().record(), "alpn"),
        ("a ClientHello of 16 MB, announced", Hello::announcing(0xff_ffff), "malformed_handshake"),
        ("no cipher suite in common", Hello::ours().with_suites(&[0x00ff]).record(), "incompatible"),
    ] {
        let before = refusals(&mesh).await;
        drop(say_plainly(mesh.grpc_addr(), &bytes).await);
        only(what, &before, reason, async || refusals(&mesh).await).await;
    }
    let before = refusals(&mesh).await;
    drop(connect(mesh.grpc_addr()).await);
    only("somebody who hangs up at once", &before, "closed", async || refusals(&mesh).await).await;

    let before = refusals(&mesh).await;
    let mut slow = connect(mesh.grpc_addr()).await;
    slow.write_all(&Hello::ours().record()[..40]).await.unwrap();
    drop(rest(&mut slow).await);
    only("half a ClientHello", &before, "handshake_timeout", async || refusals(&mesh).await).await;
}
