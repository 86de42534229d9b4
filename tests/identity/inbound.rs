//! Bad callers at the inbound port of a sidecar whose application may be called over mTLS only.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft_tests::call::connect;
use weft_tests::eventually::eventually;
use weft_tests::figures::report;
use weft_tests::mesh::Mesh;
use weft_tests::peer::Peer;
use weft_tests::sidecar::Sidecar;

use crate::bad::certificates;
use crate::counters::{Counts, counts, only};
use crate::forge::{Ca, Presented};
use crate::hello::Hello;
use crate::present::{client, rest, say, say_plainly};

const WEB: &str = "spiffe://weft.local/ns/shop/sa/web";
const HOP: &[u8] = b"weft/1-h1";

/// `shop/api`, strict, and its application, which counts connections and answers every one of them.
struct Api {
    mesh: Mesh,
    sidecar: Sidecar,
    application: Peer,
}

impl Api {
    async fn start() -> Self {
        let mesh = Mesh::start(
            "{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop},
              spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]}}
            ---
            {apiVersion: weft.mesh/v1alpha1, kind: AuthenticationPolicy, metadata: {name: strict, namespace: shop},
             spec: {mtls: {mode: Strict}}}"
                .replace("\n            ", "\n")
                .as_str(),
        )
        .await;
        let application = Peer::start(async |mut stream| {
            let _ = stream.read(&mut [0; 1024]).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await
        })
        .await;
        let sidecar = mesh.beside("shop/api").http(application.addr).start().await;
        Self { mesh, sidecar, application }
    }

    fn authority(&self) -> (Ca, Ca) {
        Ca::stolen_from(&self.mesh.scratch().join("state"))
    }

    fn request(&self) -> Vec<u8> {
        let port = self.application.addr.port();
        let hop = format!("weft-hop-port: {port}\r\nweft-hop-version: 1.1\r\n");
        format!("GET / HTTP/1.1\r\nhost: api\r\n{hop}connection: close\r\n\r\n").into_bytes()
    }

    async fn refusals(&self) -> Counts {
        counts(&self.sidecar.metrics().await, "weft_tls_refused_total", "side=\"inbound\"", "reason")
    }

    /// Somebody who presents this is refused for this reason, and the application hears nothing.
    async fn refuses(&self, what: &str, presented: Option<&Presented>, alpn: &[&[u8]], reason: &str) {
        let before = self.refusals().await;
        let told = say(self.sidecar.inbound, client(presented, alpn), &self.request()).await;
        assert!(told.as_ref().map_or(true, Vec::is_empty), "{what}: {told:?}");
        self.has_refused(what, &before, reason).await;
    }

    async fn has_refused(&self, what: &str, before: &Counts, reason: &str) {
        only(what, before, reason, async || self.refusals().await).await;
        assert_eq!(self.application.accepted(), 0, "{what} reached the application");
    }

    /// After all that was refused, somebody good is served: it was not a sidecar that lets nobody in.
    async fn lets_the_good_in(&self) {
        let good = self.authority().0.leaf(WEB, |_| {});
        let told = say(self.sidecar.inbound, client(Some(&good), &[HOP]), &self.request()).await.unwrap();
        assert!(told.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&told));
        assert_eq!(self.application.accepted(), 1);
    }
}

#[tokio::test]
async fn no_bad_certificate_reaches_the_application_and_each_is_counted_under_its_own_reason() {
    let api = Api::start().await;
    let (stolen, root) = api.authority();
    let all = certificates(&stolen, &root, WEB);
    assert!(all.len() >= 80, "only {} certificates", all.len());
    for bad in &all {
        api.refuses(&bad.what, Some(&bad.presented), &[HOP], bad.reason).await;
    }
    let control_plane = stolen.leaf("spiffe://weft.local/weft/control-plane", |_| {});
    api.refuses("the control plane's identity", Some(&control_plane), &[HOP], "reserved_identity").await;
    api.refuses("no certificate", None, &[HOP], "no_certificate").await;
    api.lets_the_good_in().await;
    report(
        9,
        format!("{} bad certificates at a sidecar, 0 accepted, each counted by its reason", all.len() + 2),
        true,
    );
}

#[tokio::test]
async fn a_good_certificate_behind_no_protocol_of_ours_reaches_nobody() {
    let api = Api::start().await;
    let good = api.authority().0.leaf(WEB, |_| {});
    for (what, alpn) in [
        ("no protocol", &[][..]),
        ("HTTP/2 as on the web", &[&b"h2"[..]]),
        ("a hop of the next version", &[&b"weft/2-h2"[..]]),
        ("a name in other letters", &[&b"WEFT/1-H1"[..]]),
        ("a name with something behind it", &[&b"weft/1-h1\0"[..]]),
    ] {
        api.refuses(what, Some(&good), alpn, "alpn").await;
    }
    // It knows the name, and the listener between sidecars does not speak it.
    api.lets_the_good_in().await;
}

#[tokio::test]
async fn a_handshake_that_is_not_one_reaches_nobody() {
    let api = Api::start().await;
    let early = [Hello::ours().with_early_data().record(), Hello::early_data(40)].concat();
    for (what, bytes, reason) in [
        ("TLS 1.2", Hello::tls12().record(), "tls_version"),
        ("TLS 1.0", Hello::tls10().record(), "tls_version"),
        ("a ClientHello of 64 KiB", Hello::ours().padded(65_000).record(), "client_hello"),
        ("a ClientHello of 16 MB, announced", Hello::announcing(0xff_ffff), "client_hello"),
        ("a record that is empty", vec![22, 3, 1, 0, 0], "client_hello"),
        ("a ClientHello of zeros", [&[22, 3, 1, 0, 64, 1, 0, 0, 60][..], &[0; 60]].concat(), "client_hello"),
        ("no cipher suite in common", Hello::ours().with_suites(&[0x00ff]).record(), "incompatible"),
        ("no group in common", Hello::ours().with_group(0x0100).record(), "incompatible"),
        ("two names for one server", Hello::ours().twice_named().record(), "client_hello"),
        ("0-RTT without end", early, "undecryptable"),
    ] {
        let before = api.refusals().await;
        let told = say_plainly(api.sidecar.inbound, &bytes).await;
        // An alert at most: nothing that an application has said.
        assert!(!told.windows(4).any(|window| window == b"HTTP"), "{what}: {told:?}");
        api.has_refused(what, &before, reason).await;
    }
    api.lets_the_good_in().await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_in_its_handshake_is_counted_and_forgotten() {
    let api = Api::start().await;
    let before = api.refusals().await;
    let mut stream = connect(api.sidecar.inbound).await;
    stream.write_all(&Hello::ours().record()).await.unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.unwrap();
    drop(stream);
    api.has_refused("half a handshake", &before, "closed").await;
    api.lets_the_good_in().await;
}

#[tokio::test]
async fn whoever_takes_his_time_over_a_handshake_is_cut_off_at_its_deadline() {
    let api = Api::start().await;
    // A byte now and then, for longer than anybody waits.
    let before = api.refusals().await;
    let mut stream = connect(api.sidecar.inbound).await;
    for byte in Hello::ours().record() {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        if api.refusals().await != before {
            break;
        }
    }
    drop(rest(&mut stream).await);
    api.has_refused("a ClientHello, byte by byte", &before, "handshake_timeout").await;

    // A whole ClientHello, and then nothing more.
    let before = api.refusals().await;
    let mut stream = connect(api.sidecar.inbound).await;
    stream.write_all(&Hello::ours().record()).await.unwrap();
    drop(rest(&mut stream).await);
    eventually("the silent one is counted", async || (api.refusals().await != before).then_some(())).await;
    api.has_refused("silence after the ClientHello", &before, "handshake_timeout").await;
    api.lets_the_good_in().await;
}
