//! Bodies of a gibibyte both ways, and the memory of both sidecars, which does not know how long a body is.
//!
//! `BODY_MB` says how large they are; without it they are smaller, which says the same of memory in less time.

use weft_tests::eventually::eventually;

use crate::lab::{Family, Lab, Plan, Port, WEB, program_file};

const HOSTS: &[(&str, &[Port])] = &[
    ("web", &[]),
    ("server", &[Port("http", 80, 8082, Some("http")), Port("opaque", 81, 8083, Some("tcp"))]),
];
/// What a sidecar's peak may grow by while bodies pass, in KiB: buffers of both directions, and of TLS. Far less than a body.
const GROWTH: u64 = 12 * 1024;

#[tokio::test]
async fn a_gibibyte_each_way_leaves_the_memory_of_both_sidecars_as_it_was() {
    let Some(mut lab) = Lab::build(Plan::pair("large bodies", &["node"], HOSTS)).await else { return };
    for (name, port) in [("http", 8082), ("opaque", 8083)] {
        lab.start("server", name, &format!("node {} {port}", program_file("server.js")));
        lab.listens("server", port).await;
    }
    let megabytes: u64 = std::env::var("BODY_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(64);
    let bytes = megabytes << 20;
    let curl = "curl --silent --show-error --fail --max-time 280";
    let down = |url: &str, bytes: u64| format!("{curl} 'http://{url}/zeros?word={bytes}' | wc --bytes");
    let up = |url: &str, bytes: u64| {
        format!("head --bytes={bytes} /dev/zero | {curl} --upload-file - http://{url}/count")
    };
    for service in ["http", "opaque"] {
        let url =
            Family::V4.at(&lab.cluster_ip(service, Family::V4), if service == "http" { 80 } else { 81 });
        let pass = |bytes: u64| {
            for line in [down(&url, bytes), up(&url, bytes)] {
                assert_eq!(lab.said("web", &line).trim(), bytes.to_string(), "{line}");
            }
        };
        // Every buffer that there will be is there after the first of these.
        pass(16 << 20);
        let before = ["web", "server"].map(|host| lab.process(host).peak());
        pass(bytes);
        let after = ["web", "server"].map(|host| lab.process(host).peak());
        println!(
            "{service}: peaks of both sidecars before and after {megabytes} MiB each way, in KiB: {before:?} {after:?}"
        );
        for (before, after) in before.into_iter().zip(after) {
            assert!(after.saturating_sub(before) < GROWTH, "{service}: from {before} KiB to {after} KiB");
        }
    }
    eventually("all of it went through the mesh", async || {
        let lines = lab.carried("server");
        let requests = lines.iter().filter(|line| line["method"].is_string() && line["peer"] == WEB).count();
        (requests == 4 && lines.len() == 8).then_some(())
    })
    .await;
}
