//! From the write of a route to a call that sees it: each change writes another header into answers, and a caller in the
//! mesh says when an answer had it first.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::api::Api;
use crate::watch::HEADER;

/// A caller in the mesh, and what it calls.
pub(crate) struct Watched {
    lines: Lines<BufReader<ChildStdout>>,
    _caller: Child,
    routes: String,
    nth: usize,
}

impl Watched {
    /// By a command that passes on what `watch URL` says in a pod of the mesh.
    pub(crate) async fn start(command: &str, namespace: &str) -> anyhow::Result<Self> {
        let mut caller =
            Command::new("sh").args(["-c", command]).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let lines = BufReader::new(caller.stdout.take().context("the caller has no output")?).lines();
        let routes = format!("/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes");
        let mut watched = Self { lines, _caller: caller, routes, nth: 0 };
        // It says at first what it sees without any route.
        watched.until("").await?;
        Ok(watched)
    }

    /// So many changes, each after the one before was seen: how long each took.
    pub(crate) async fn changes(&mut self, api: &mut Api, times: usize) -> anyhow::Result<Vec<Duration>> {
        let path = format!("{}/echo", self.routes);
        if api.get(&path).await?.is_none() {
            api.post(&self.routes, &self.route("first")).await?;
            self.until("first").await?;
        }
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            self.nth += 1;
            let value = format!("v{}", self.nth);
            let spec = self.route(&value)["spec"].clone();
            let began = now();
            api.patch(&path, &json!({"spec": spec})).await?;
            took.push(self.until(&value).await?.saturating_sub(began));
        }
        Ok(took)
    }

    /// The route goes, and with it what it did: how long that took, some times over.
    pub(crate) async fn deleted(&mut self, api: &mut Api) -> anyhow::Result<Vec<Duration>> {
        let mut took = Vec::new();
        for nth in 0..DELETIONS {
            let began = now();
            api.delete(&format!("{}/echo", self.routes)).await?;
            took.push(self.until("").await?.saturating_sub(began));
            let value = format!("again{nth}");
            api.post(&self.routes, &self.route(&value)).await?;
            self.until(&value).await?;
        }
        Ok(took)
    }

    /// When this was first seen, since 1970.
    async fn until(&mut self, value: &str) -> anyhow::Result<Duration> {
        let seen = async {
            while let Some(line) = self.lines.next_line().await? {
                let (at, seen) = line.split_once(' ').context("the caller says something else")?;
                if seen == value {
                    return Ok(Duration::from_micros(at.parse()?));
                }
            }
            bail!("the caller has ended")
        };
        timeout(PATIENCE, seen).await.with_context(|| format!("`{value}` is not seen after {PATIENCE:?}"))?
    }

    fn route(&self, value: &str) -> Value {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "echo"}, "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "echo"}],
            "rules": [{
                "filters": [{"type": "ResponseHeaderModifier",
                    "responseHeaderModifier": {"set": [{"name": HEADER, "value": value}]}}],
                "backendRefs": [{"name": "echo", "port": 80}]}]}})
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

const DELETIONS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);
