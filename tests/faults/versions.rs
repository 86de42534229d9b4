//! What an upgrade is while it is under way: sidecars of the version before beside those of this one, under a control plane
//! of this one; and what it is when it is taken back: sidecars of this version under a control plane of the version before.
//! `make test-upgrade` builds the version before.

use std::path::Path;

use weft_tests::call;
use weft_tests::eventually::eventually;
use weft_tests::machine::Machine;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;
use weft_tests::program;

use crate::load::{API, Load, all_well};

/// Says something that only a changed route says.
const CHANGED: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: api, port: 80}]
  rules:
  - filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-changed, value: 'yes'}]}}]
    backendRefs: [{name: api, port: 80}]
";

/// A sidecar of some version, ready; with an application behind it where there is one.
async fn start(mesh: &Mesh, program: &Path, workload: &str, origin: Option<&Origin>) -> Machine {
    let beside = mesh.beside(workload);
    let beside = match origin {
        Some(origin) => beside.http(origin.addr),
        None => beside,
    };
    let machine = Machine::of(program, beside, "").await;
    machine.ready().await;
    machine
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sidecars_of_the_version_before_serve_and_are_served_while_they_are_replaced() {
    let test = "sidecars_of_the_version_before";
    let (Some(before), Some(this)) = (program::before("weft-proxy", test), program::ours("weft-proxy", test))
    else {
        return;
    };
    let mesh = Mesh::start(API).await;
    let origins = [Origin::start("api-1").await, Origin::start("api-2").await];
    let mut api_1 = start(&mesh, &before, "shop/api-1", Some(&origins[0])).await;
    let mut web = start(&mesh, &before, "shop/web", None).await;
    mesh.serves("shop/api", 80, 1).await;
    let load = Load::start(web.outbound, 2);
    load.past(100).await;

    // This version beside the version before, and called by it.
    let mut api_2 = start(&mesh, &this, "shop/api-2", Some(&origins[1])).await;
    mesh.serves("shop/api", 80, 2).await;
    load.past(200).await;
    assert!(origins.iter().all(|origin| origin.count() > 20), "both are called");
    mesh.apply("route.yaml", CHANGED).await;
    eventually("a change is in force at the version before", async || {
        let reply = call::through(web.outbound, call::get("http://api/asked")).await;
        (reply.headers.get("x-changed")? == "yes").then_some(())
    })
    .await;
    assert_eq!(mesh.operator().rotate("prepare").await.unwrap().phase, "prepared");
    eventually("both versions trust the next root", async || {
        mesh.operator().rotate("").await.unwrap().waiting_for.is_empty().then_some(())
    })
    .await;
    assert_eq!(mesh.operator().rotate("activate").await.unwrap().phase, "active");
    load.past(100).await;
    let mut told = load.end().await;

    // The caller is replaced: this version calls both.
    web.terminate();
    assert_eq!(web.ended().await, 0);
    web = start(&mesh, &this, "shop/web", None).await;
    let load = Load::start(web.outbound, 2);
    load.past(200).await;
    // And who is called, at last.
    api_1.terminate();
    assert_eq!(api_1.ended().await, 0);
    mesh.serves("shop/api", 80, 1).await;
    load.past(100).await;
    // Back again: what this version has said and kept does not keep the version before from taking its place.
    let _serving = start(&mesh, &before, "shop/api-1", Some(&origins[0])).await;
    mesh.serves("shop/api", 80, 2).await;
    api_2.terminate();
    assert_eq!(api_2.ended().await, 0);
    load.past(100).await;
    told.extend(load.end().await);
    let calls = all_well(&told, &[&origins[0], &origins[1]]);
    println!("{calls} calls between sidecars of two versions, each answered, while each replaced the other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_of_the_version_before_takes_the_place_of_this_one_and_gives_it_back() {
    let test = "a_control_plane_of_the_version_before";
    let (Some(before), Some(this)) =
        (program::before("weft-control-plane", test), program::ours("weft-proxy", test))
    else {
        return;
    };
    let mut mesh = Mesh::start(API).await;
    let origins = [Origin::start("api-1").await, Origin::start("api-2").await];
    let _api_1 = start(&mesh, &this, "shop/api-1", Some(&origins[0])).await;
    let web = start(&mesh, &this, "shop/web", None).await;
    mesh.serves("shop/api", 80, 1).await;
    let load = Load::start(web.outbound, 2);
    load.past(100).await;

    mesh.stop().await;
    mesh.resume_as(&before).await;
    mesh.serves("shop/api", 80, 1).await;
    load.past(100).await;
    // It is followed, and admits one who is new.
    mesh.apply("route.yaml", CHANGED).await;
    let changed = async || call::through(web.outbound, call::get("http://api/asked")).await.headers;
    eventually("its change is in force", async || (changed().await.get("x-changed")? == "yes").then_some(()))
        .await;
    let _api_2 = start(&mesh, &this, "shop/api-2", Some(&origins[1])).await;
    mesh.serves("shop/api", 80, 2).await;
    load.past(100).await;

    mesh.stop().await;
    mesh.resume().await;
    mesh.serves("shop/api", 80, 2).await;
    mesh.apply("route.yaml", "").await;
    eventually("the change back is in force", async || {
        changed().await.get("x-changed").is_none().then_some(())
    })
    .await;
    load.past(100).await;
    assert!(origins.iter().all(|origin| origin.count() > 20), "both are called");
    let calls = all_well(&load.end().await, &[&origins[0], &origins[1]]);
    println!(
        "{calls} calls, each answered, while a control plane of the version before took over and gave back"
    );
}
