//! What is written down of those who were refused: the reason, in our words, and nothing of theirs.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use weft_proto::v1::denial::Whom;
use weft_tests::call::connect;
use weft_tests::eventually::eventually;
use weft_tests::mesh::Mesh;
use weft_tests::peer::Peer;

use crate::der::name;
use crate::enrolment::{enrol, request};
use crate::forge::{Ca, San};
use crate::present::{client, rest, say};

/// What nobody but an attacker says.
const MARK: &str = "zzmarkzz";

/// Everything that this process logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_refusal_is_logged_with_its_reason_and_with_nothing_that_the_refused_has_written() {
    let log = Log::default();
    let writer = log.clone();
    let level = tracing_subscriber::filter::LevelFilter::DEBUG;
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let mesh = Mesh::start("").await;
    let application = Peer::after_end().await;
    let api = mesh.beside("shop/api").http(application.addr).start().await;
    let (stolen, _) = Ca::stolen_from(&mesh.scratch().join("state"));
    let web = "spiffe://weft.local/ns/shop/sa/web";
    let marked = [
        stolen.leaf(&format!("{web}?{MARK}"), |_| {}),
        stolen.leaf(&format!("{web}\n{MARK} INFO all is well"), |_| {}),
        stolen.leaf(web, |it| {
            (it.subject, it.names) = (name(MARK), vec![San::uri(&format!("SPIFFE://{MARK}"))])
        }),
        stolen.leaf(&format!("spiffe://{MARK}/ns/shop/sa/web"), |_| {}),
        stolen.leaf(web, |it| (it.subject, it.life) = (name(MARK), (-100, -1))),
        Ca::unknown(&name(MARK)).leaf(web, |_| {}),
    ];
    for presented in &marked {
        drop(say(api.inbound, client(Some(presented), &[b"weft/1-h1"]), b"GET / HTTP/1.1\r\n\r\n").await);
        drop(say(mesh.grpc_addr(), client(Some(presented), &[b"h2"]), b"PRI").await);
    }
    // What is neither TLS nor short.
    for addr in [api.inbound, mesh.grpc_addr()] {
        let mut stream = connect(addr).await;
        let _ = stream.write_all(&[&[22, 3, 1, 0, 200, 1][..], &MARK.as_bytes().repeat(30)].concat()).await;
        drop(rest(&mut stream).await);
    }
    // Tokens, workloads and requests.
    for (token, workload, csr) in [
        (MARK.to_owned(), "shop/web".to_owned(), Vec::new()),
        (format!("weft1.{MARK}.{}.{}", "0".repeat(64), "0".repeat(64)), MARK.to_owned(), Vec::new()),
        (mesh.token("shop/web", "web").await, format!("shop/{MARK}"), Vec::new()),
        (mesh.token("shop/web", "web").await, "shop/web".to_owned(), MARK.as_bytes().to_vec()),
    ] {
        enrol(&mesh, request(&token, &workload, csr)).await.unwrap_err();
    }
    let _ = mesh.operator().deny(Whom::Identity(format!("{MARK}\n"))).await.unwrap_err();

    let reasons = ["bad_spiffe_id", "unknown_trust_domain", "expired", "untrusted", "client_hello"];
    let refusals = ["token_malformed", "token_other_trust_domain", "token_other_workload", "csr_malformed"];
    eventually("every reason has been logged", async || {
        let text = log.text();
        reasons.iter().chain(&refusals).all(|reason| text.contains(reason)).then_some(())
    })
    .await;
    let text = log.text();
    let leaked: Vec<&str> = text.lines().filter(|line| line.contains(MARK)).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
}
