//! What the mesh adds to a pod: to its admission, and to the time until it is ready.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::{Value, json};

use crate::api::Api;

/// Of each namespace, how long the API server takes to admit a pod by a dry run. In turns, so that what else goes on in
/// the machine falls on both.
pub(crate) async fn admission(
    api: &mut Api,
    plain: &str,
    meshed: &str,
) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let mut took = (Vec::with_capacity(TIMES), Vec::with_capacity(TIMES));
    for nth in 0..TIMES + WARM {
        for (namespace, took, is_meshed) in [(plain, &mut took.0, false), (meshed, &mut took.1, true)] {
            let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
            let began = Instant::now();
            let made = api.post(&path, &pod("tried")).await?;
            if nth >= WARM {
                took.push(began.elapsed());
            }
            let has_proxy = made.to_string().contains("\"weft-proxy\"");
            if has_proxy != is_meshed {
                bail!(
                    "a pod of {namespace} was admitted {} a proxy",
                    if has_proxy { "with" } else { "without" }
                );
            }
        }
    }
    Ok(took)
}

/// Of each namespace, how long a pod takes from its creation until it is ready.
pub(crate) async fn starts(
    api: &mut Api,
    plain: &str,
    meshed: &str,
) -> anyhow::Result<(Vec<Duration>, Vec<Duration>)> {
    let mut took = (Vec::with_capacity(STARTS), Vec::with_capacity(STARTS));
    for nth in 0..STARTS {
        for (namespace, took) in [(plain, &mut took.0), (meshed, &mut took.1)] {
            let name = format!("start-{nth}");
            let began = Instant::now();
            api.post(&format!("/api/v1/namespaces/{namespace}/pods"), &pod(&name)).await?;
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
            while !api.get(&path).await?.is_some_and(|pod| is_ready(&pod)) {
                if began.elapsed() > PATIENCE {
                    bail!("the pod {namespace}/{name} is not ready after {PATIENCE:?}");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            took.push(began.elapsed());
            api.delete(&format!("{path}?gracePeriodSeconds=0")).await?;
        }
    }
    Ok(took)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "app", "image": "weft.local/probe:1", "imagePullPolicy": "Never", "args": ["serve"],
            "ports": [{"name": "http", "containerPort": 8080}]}]}})
}

const TIMES: usize = 300;
const WARM: usize = 10;
const STARTS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(120);
