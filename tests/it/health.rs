//! An application that is not well is not asked, and asked again once it is.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weft_tests::eventually::eventually;
use weft_tests::mesh::Mesh;
use weft_tests::origin::{Answer, Origin};
use weft_tests::port;

use crate::shop::SERVICES;

#[tokio::test]
async fn a_workload_whose_own_proxy_finds_it_sick_leaves_service_until_it_is_well() {
    let origins = [Origin::start("api-1").await, Origin::start("api-2").await];
    // Where a manifest says the port, it has to be known before the proxy takes it.
    let ports = [0, 1].map(|_| port::of_its_own().port());
    let workload = |nth: usize| {
        format!(
            "{{apiVersion: weft.mesh/v1alpha1, kind: Workload,
              metadata: {{name: api-{}, namespace: shop, labels: {{app: api}}}},
              spec: {{address: 127.0.0.1, serviceAccount: api, inbound: {{port: {}}},
                     ports: [{{name: http, port: {}}}],
                     health: [{{http: {{path: /healthz}}, interval: 100ms, thresholds: {{unhealthy: 2}}}}]}}}}",
            nth + 1,
            ports[nth],
            origins[nth].addr.port()
        )
    };
    let mesh = Mesh::start(&format!("{SERVICES}\n---\n{}\n---\n{}", workload(0), workload(1))).await;
    let mut servers = Vec::new();
    for (nth, port) in ports.iter().enumerate() {
        let name = format!("shop/api-{}", nth + 1);
        let inbound = format!("127.0.0.1:{port}");
        servers.push(mesh.beside(&name).declared().set("WEFT_INBOUND", &inbound).start().await);
    }
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 2).await;

    origins[0].always(Answer::Status(500));
    mesh.serves("shop/api", 80, 1).await;
    for _ in 0..20 {
        assert_eq!(web.get("http://api/").await.origin(), "api-2");
    }
    origins[1].always(Answer::Status(500));
    mesh.serves("shop/api", 80, 0).await;
    let reply = web.get("http://api/").await;
    assert_eq!((reply.status.as_u16(), reply.refusal()), (503, "no_endpoint"), "{reply:?}");
    origins[0].always(Answer::Report);
    mesh.serves("shop/api", 80, 1).await;
    assert_eq!(web.get("http://api/").await.origin(), "api-1");
    assert!(origins.iter().all(|origin| origin.seen().iter().any(|seen| seen.path == "/healthz")));
}

#[tokio::test]
async fn a_workload_that_is_lost_without_a_word_is_asked_last() {
    let mesh = Mesh::start(SERVICES).await;
    let origins = [Origin::start("api-1").await, Origin::start("api-2").await];
    let lost = mesh.beside("shop/api-1").http(origins[0].addr).start().await;
    let _stays = mesh.beside("shop/api-2").http(origins[1].addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 2).await;
    drop(lost);
    eventually("it is unconfirmed", async || {
        (mesh.operator().healthy("shop/api", 80).await.len() == 1).then_some(())
    })
    .await;
    for _ in 0..10 {
        assert_eq!(web.get("http://api/").await.origin(), "api-2");
    }
}

/// Passes connections on to `to`, and what comes back by `delay` later.
async fn slow_answers_of(to: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let (mut hears, mut asks) = client.split();
                let (mut answers, mut asked) = server.split();
                let forth = tokio::io::copy(&mut hears, &mut asked);
                let back = async {
                    let mut bytes = [0; 64 << 10];
                    while let Ok(n @ 1..) = answers.read(&mut bytes).await {
                        tokio::time::sleep(delay).await;
                        if asks.write_all(&bytes[..n]).await.is_err() {
                            break;
                        }
                    }
                };
                let _ends = tokio::join!(forth, back);
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_proxy_that_has_not_been_told_its_policy_yet_is_nobodys_first_choice() {
    let mesh = Mesh::start(SERVICES).await;
    let origins = [Origin::start("api-1").await, Origin::start("api-2").await];
    let _there = mesh.beside("shop/api-1").http(origins[0].addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    // What it says of itself is heard at once; what it is told takes its time.
    let far = slow_answers_of(mesh.grpc_addr(), Duration::from_millis(300)).await;
    let joins = mesh.beside("shop/api-2").http(origins[1].addr).set("WEFT_CONTROL_PLANE", &far).start();
    let mut joins = pin!(joins);
    let _joined = loop {
        tokio::select! {
            joined = &mut joins => break joined,
            reply = web.get("http://api/") => assert_eq!((reply.status.as_u16(), reply.refusal()), (200, "")),
        }
    };
    eventually("both are asked", async || (web.get("http://api/").await.origin() == "api-2").then_some(()))
        .await;
}
