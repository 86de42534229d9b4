//! What bytes cost: for every vector, the memory that a proxy holds and the processor time that it spends on it,
//! against a plain request of the same size (catalogue, "every row"; scorecard row 14).
//!
//! Everything of the mesh runs in this process. Memory is what is allocated and not given back while the connections
//! stand open; processor time is that of the proxy's worker thread, as the kernel counts it. Both are of many
//! connections at once, and so is what they are compared with: a fixed cost of a connection is nobody's amplification.
#![cfg(test)]

mod cost;
mod vectors;

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use weft_tests::figures::report;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;

use cost::{Cost, of};
use vectors::{Vector, crafted, of_corpora, plain};

#[global_allocator]
static ALLOCATED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop},
 spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]}}
";

/// Envoy's line: from here on it is a vulnerability.
const MOST: f64 = 100.0;

#[tokio::test]
async fn no_vector_costs_a_hundred_times_what_a_plain_request_of_its_size_costs() {
    let mesh = Mesh::start(SERVICES).await;
    let origin = Origin::start("api").await;
    let api = mesh.beside("shop/api").http(origin.addr).start().await;
    mesh.serves("shop/api", 80, 1).await;

    let vectors: Vec<Vector> = of_corpora().into_iter().chain(crafted()).collect();
    assert!(vectors.len() > 150, "{} vectors", vectors.len());
    let (mut memory, mut time) = (Worst::default(), Worst::default());
    for listener in [api.inbound, api.outbound] {
        let baseline: Vec<(usize, Cost)> = {
            let mut all = Vec::new();
            for size in [64, 256, 1 << 10, 4 << 10, 16 << 10, 60 << 10] {
                let plain = plain(size);
                // Twice: what is only paid for once is paid for.
                let _first = of(listener, &plain).await;
                all.push((size, of(listener, &plain).await));
            }
            all
        };
        for vector in &vectors {
            let cost = of(listener, &vector.bytes).await;
            let at = baseline.partition_point(|(size, _)| *size <= vector.bytes.len()).saturating_sub(1);
            let (_, plain) = baseline[at];
            memory.note(cost.held as f64 / plain.held.max(FLOOR_BYTES) as f64, &vector.name);
            time.note(cost.nanos as f64 / plain.nanos.max(FLOOR_NANOS) as f64, &vector.name);
        }
    }
    let told = format!(
        "{} vectors on 2 listeners: at most {:.1} times the memory ({}) and {:.1} times the CPU ({}) of a plain \
         request of their size",
        vectors.len(),
        memory.ratio,
        memory.name,
        time.ratio,
        time.name
    );
    report(14, told.clone(), memory.ratio < MOST && time.ratio < MOST);
    assert!(memory.ratio < MOST && time.ratio < MOST, "{told}");
}

/// The dearest so far.
#[derive(Debug, Default)]
struct Worst {
    ratio: f64,
    name: String,
}

impl Worst {
    fn note(&mut self, ratio: f64, name: &str) {
        if ratio > self.ratio {
            *self = Self { ratio, name: name.to_owned() };
        }
    }
}

/// Below these, a difference is noise.
const FLOOR_BYTES: usize = 64 << 10;
const FLOOR_NANOS: u64 = 1_000_000;
