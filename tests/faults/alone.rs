//! A control plane that is away, and sidecars that are killed and come back meanwhile.

use std::time::{Duration, Instant};

use weft_tests::call;
use weft_tests::eventually::eventually;
use weft_tests::figures;
use weft_tests::machine::Machine;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;

use crate::load::{API, Load, all_well};

/// For how long it is away, in seconds; `make outage` says 3 600.
fn length() -> Duration {
    Duration::from_secs(std::env::var("OUTAGE").ok().and_then(|text| text.parse().ok()).unwrap_or(8))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_control_plane_is_away_nobody_misses_it_and_who_is_killed_comes_back_without_it() {
    let test = "while_the_control_plane_is_away_nobody_misses_it";
    let mut mesh = Mesh::start(API).await;
    let origin = Origin::start("api-1").await;
    let kept = |name: &str| mesh.scratch().join(format!("{name}.kept")).display().to_string();
    let (web_kept, api_kept) = (kept("web"), kept("api"));
    let api = mesh.beside("shop/api-1").http(origin.addr).set("WEFT_IDENTITY_DIR", &api_kept);
    let Some(api) = Machine::start(api, "", test).await else { return };
    let web = Machine::start(mesh.beside("shop/web").set("WEFT_IDENTITY_DIR", &web_kept), "", test).await;
    let web = web.expect("the program was there before");
    api.ready().await;
    web.ready().await;
    mesh.serves("shop/api", 80, 1).await;
    assert_eq!(call::through(web.outbound, call::get("http://api/")).await.status, 200);
    eventually("both have written down what they know", async || {
        let knows = |folder: &str| {
            let bytes = std::fs::read(format!("{folder}/discovered.bin")).unwrap_or_default();
            bytes.windows(8).any(|words| words == b"shop/api")
        };
        (knows(&web_kept) && knows(&api_kept)).then_some(())
    })
    .await;

    mesh.stop().await;
    let load = Load::start(web.outbound, 2);
    tokio::time::sleep(length()).await;
    let answered = all_well(&load.end().await, &[&origin]);

    // The one that calls is killed and started where it was.
    let again = mesh.beside("shop/web").token("").set("WEFT_IDENTITY_DIR", &web_kept);
    drop(web);
    let begun = Instant::now();
    let web = Machine::start(again, "", test).await.expect("the program was there before");
    let first = eventually("it answers", async || {
        let stream = tokio::net::TcpStream::connect(web.outbound).await.ok()?;
        let mut client = call::Client::on(stream, call::Form::Absolute).await;
        let reply = client.try_send(call::get("http://api/")).await.ok()?;
        (reply.status() == 200).then(|| begun.elapsed())
    })
    .await;

    // A control plane that comes back is told so by new certificates.
    let identity = async || {
        let url = format!("http://{}/identity", web.admin);
        call::to(web.admin, call::get(&url)).await.json()["serial"].to_string()
    };
    let before = identity().await;
    mesh.resume().await;
    mesh.serves("shop/api", 80, 1).await;
    assert_eq!(mesh.operator().rotate("prepare").await.unwrap().phase, "prepared");
    eventually("everybody trusts the next root", async || {
        mesh.operator().rotate("").await.unwrap().waiting_for.is_empty().then_some(())
    })
    .await;
    assert_eq!(mesh.operator().rotate("activate").await.unwrap().phase, "active");
    eventually("it has a new certificate", async || (identity().await != before).then_some(())).await;
    assert_eq!(call::through(web.outbound, call::get("http://api/")).await.status, 200);
    let told = format!(
        "the control plane away for {} s: 0 of {answered} requests failed; a proxy killed meanwhile served {} ms after its \
         start; new certificates when it was back",
        length().as_secs(),
        first.as_millis()
    );
    figures::report(18, told, first <= Duration::from_secs(1) && length() >= Duration::from_secs(8));
}
