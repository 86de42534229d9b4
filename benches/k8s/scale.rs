//! A thousand Services of five endpoints each, made at the API server, and changes of them a hundred times a second.
//! Nobody calls them, and kube-proxy is asked to leave them alone: what is measured is who compiles them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::api::Api;

const SERVICES: usize = 1000;
const ENDPOINTS: usize = 5;
/// Between two changes.
const EVERY: Duration = Duration::from_millis(10);

/// Makes them, four at a time.
pub(crate) async fn fill(api: &Api, namespace: &str) -> anyhow::Result<()> {
    let makers: Vec<JoinHandle<anyhow::Result<()>>> = (0..4)
        .map(|part| {
            let (mut api, namespace) = (api.clone(), namespace.to_owned());
            tokio::spawn(async move {
                for nth in (part..SERVICES).step_by(4) {
                    api.post(&format!("/api/v1/namespaces/{namespace}/services"), &service(nth)).await?;
                    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
                    api.post(&slices, &slice(nth)).await?;
                }
                Ok(())
            })
        })
        .collect();
    for maker in makers {
        maker.await??;
    }
    Ok(())
}

/// Changes that go on until they are ended.
pub(crate) struct Load {
    written: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    began: Instant,
    writer: JoinHandle<anyhow::Result<()>>,
}

/// Begins to change one endpoint after the other.
pub(crate) fn change(api: &Api, namespace: &str) -> anyhow::Result<Load> {
    let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (mut api, namespace) = (api.clone(), namespace.to_owned());
    let (count, stopped) = (Arc::clone(&written), Arc::clone(&stop));
    let writer = tokio::spawn(async move {
        let mut ticks = interval(EVERY);
        // What was late is caught up with, so that the rate holds where it can.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for nth in 0_usize.. {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            ticks.tick().await;
            let (of, round) = (nth % SERVICES, nth / SERVICES);
            let path =
                format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{}", name(of));
            api.patch(&path, &json!({"endpoints": endpoints(of, round.is_multiple_of(2))})).await?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
    Ok(Load { written, stop, began: Instant::now(), writer })
}

impl Load {
    /// How many there were, in which time.
    pub(crate) async fn end(self) -> anyhow::Result<(u64, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        self.writer.await??;
        Ok((self.written.load(Ordering::Relaxed), self.began.elapsed()))
    }
}

fn name(nth: usize) -> String {
    format!("many-{nth}")
}

fn service(nth: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name(nth), "labels": {"service.kubernetes.io/service-proxy-name": "nobody"}},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
}

fn slice(nth: usize) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name(nth), "labels": {"kubernetes.io/service-name": name(nth),
            "endpointslice.kubernetes.io/managed-by": "benchmark"}},
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints(nth, false)})
}

fn endpoints(nth: usize, without_the_last: bool) -> Value {
    let endpoints = (0..ENDPOINTS).map(|one| {
        let ready = !(without_the_last && one + 1 == ENDPOINTS);
        let host = nth * ENDPOINTS + one;
        json!({"addresses": [format!("10.200.{}.{}", host / 250, host % 250 + 1)], "conditions": {"ready": ready}})
    });
    endpoints.collect()
}
