//! A proxy that confirms what it has not taken: its next word shows it, and coming back mends it.

use super::proxy::metric;
use super::*;

#[tokio::test]
async fn a_proxy_that_does_not_hold_what_it_confirmed_is_sent_away_to_come_back() {
    let mut mesh = Mesh::start().await;
    let mut web = web(&mut mesh).await;
    let holding = |held: &Held| v1::Report {
        holding: Some(v1::Holding { types: held.retained() }),
        ..v1::Report::default()
    };
    // It holds what it was told: nothing comes of saying so, nor of saying nothing.
    web.report(holding(&web.held)).await;
    web.report(v1::Report::default()).await;
    mesh.write("more.yaml", &workload("api-2", "api", "127.0.0.4"));
    web.until(|held| addresses(held).len() == 2).await;
    // The next change is confirmed, and is not there.
    let before = web.held.retained();
    mesh.write("more.yaml", &workload("api-2", "api", "127.0.0.5"));
    let lost = web.take().await.unwrap();
    web.acknowledge(lost.committed.ack).await;
    web.report(v1::Report { holding: Some(v1::Holding { types: before.clone() }), ..v1::Report::default() })
        .await;
    let ended = web.end().await.unwrap_err();
    assert_eq!(ended.code(), Code::Aborted, "{ended}");
    assert!(ended.message().contains("ENDPOINTS"), "{ended}");
    let line = "weft_control_plane_astray_total{place=\"proxy\"}";
    assert_eq!(metric(mesh.running.admin_addr, line).await, 1);
}
