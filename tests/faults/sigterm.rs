//! Sidecars that are told to go under load, one after the other, as in a rollout that does not end.

use weft_tests::eventually::eventually;
use weft_tests::figures;
use weft_tests::machine::Machine;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;

use crate::load::{API, Load, none_failed};

/// How many; `make sigterms` says 1 000.
fn times() -> usize {
    std::env::var("SIGTERMS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sidecars_that_are_told_to_go_under_load_lose_no_request() {
    let test = "sidecars_that_are_told_to_go_under_load_lose_no_request";
    let mesh = Mesh::start(API).await;
    let origins = [Origin::start("api-1").await, Origin::start("api-2").await];
    let start = async |nth: usize| {
        let beside = mesh.beside(&format!("shop/api-{}", nth % 2 + 1)).http(origins[nth % 2].addr);
        Machine::start(beside, "", test).await
    };
    let Some(mut old) = start(0).await else { return };
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/api", 80, 1).await;
    let (times, mut answered, mut once) = (times(), 0, 0);
    let mut load = Load::start(web.outbound, 4);
    for nth in 1..=times {
        let new = start(nth).await.expect("the program was there before");
        eventually("the new one is ready", async || new.is_ready().await.then_some(())).await;
        mesh.serves("shop/api", 80, 2).await;
        old.terminate();
        assert_eq!(old.ended().await, 0, "what was under way has finished");
        mesh.serves("shop/api", 80, 1).await;
        old = new;
        // What origins and clients remember is looked at, and forgotten, now and then.
        if nth % 50 == 0 || nth == times {
            let told = load.end().await;
            once += none_failed(&told, &[&origins[0], &origins[1]]);
            answered += told.len();
            origins.iter().for_each(Origin::forget);
            load = Load::start(web.outbound, 4);
        }
    }
    load.end().await;
    figures::report(16, format!("{once} that are not idempotent, each arrived once"), true);
    figures::report(
        17,
        format!("{times} SIGTERMs under load, 0 of {answered} requests failed"),
        times >= 1000,
    );
}
