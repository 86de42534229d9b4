//! A proxy beside an application, started through its own settings as a process would be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weft_proxy::config::{Config, Secret};
use weft_proxy::{Proxy, StartError};

use crate::call::{self, Client, Form, Reply};
use crate::eventually::soon;
use crate::log;
use crate::mesh::Mesh;
use crate::port;

/// A sidecar that is not started yet.
#[derive(Debug)]
pub struct Beside<'m> {
    mesh: &'m Mesh,
    workload: String,
    account: String,
    ports: Vec<(String, u16)>,
    labels: Vec<(String, String)>,
    registers: bool,
    settings: BTreeMap<String, String>,
    token: Option<String>,
}

impl<'m> Beside<'m> {
    pub(crate) fn of(mesh: &'m Mesh, workload: &str) -> Self {
        let name = workload.split('/').next_back().unwrap_or_default();
        // `api-v2-1` runs as `api-v2` and is selected by `app: api-v2`, unless something else is said.
        let app = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-').to_owned();
        let app = if app.is_empty() || app.ends_with("-v") { name.to_owned() } else { app };
        Self {
            mesh,
            workload: workload.to_owned(),
            labels: vec![("app".to_owned(), app.clone())],
            account: app,
            ports: Vec::new(),
            registers: true,
            settings: BTreeMap::new(),
            token: None,
        }
    }

    /// Its application listens here, under this name.
    #[must_use]
    pub fn port(mut self, name: &str, addr: SocketAddr) -> Self {
        self.ports.push((name.to_owned(), addr.port()));
        self
    }

    /// Its application's HTTP port is here.
    #[must_use]
    pub fn http(self, addr: SocketAddr) -> Self {
        self.port("http", addr)
    }

    /// Its service account, where it is not the app's name.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        account.clone_into(&mut self.account);
        self
    }

    /// One more label, or another value for one.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.retain(|(known, _)| known != key);
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A manifest says where it is, so it does not register itself.
    #[must_use]
    pub const fn declared(mut self) -> Self {
        self.registers = false;
        self
    }

    /// One of the proxy's own settings.
    #[must_use]
    pub fn set(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    /// Another token than one that is made for it.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// The directory in which its mesh keeps whatever a test keeps.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.mesh.scratch()
    }

    /// The settings, as a proxy reads them from its environment.
    ///
    /// # Panics
    /// If no token can be made.
    pub async fn settings(&self) -> BTreeMap<String, String> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => self.mesh.token(&self.workload, &self.account).await,
        };
        let log = self.mesh.scratch().join(format!("{}.log", self.workload.replace('/', "-")));
        let join = |pairs: &[(String, String)]| {
            pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
        };
        let ports: Vec<_> = self.ports.iter().map(|(name, port)| (name.clone(), port.to_string())).collect();
        let mut all: BTreeMap<String, String> = [
            ("WEFT_WORKLOAD", self.workload.clone()),
            ("WEFT_CONTROL_PLANE", self.mesh.grpc_addr().to_string()),
            ("WEFT_TOKEN", token),
            // Whoever remembers a sidecar that is gone meets nobody there, and it may come back to where it was.
            ("WEFT_INBOUND", port::of_its_own().to_string()),
            ("WEFT_OUTBOUND", port::of_its_own().to_string()),
            ("WEFT_ADMIN", "127.0.0.1:0".to_owned()),
            ("WEFT_ACCESS_LOG", log.display().to_string()),
            ("WEFT_DRAIN_SECS", "10".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if self.registers {
            all.insert("WEFT_REGISTER_ADDRESS".to_owned(), "127.0.0.1".to_owned());
            all.insert("WEFT_REGISTER_PORTS".to_owned(), join(&ports));
            all.insert("WEFT_REGISTER_LABELS".to_owned(), join(&self.labels));
        }
        all.extend(self.settings.clone());
        all
    }

    /// Starts it.
    ///
    /// # Errors
    /// What the proxy itself says.
    pub async fn try_start(self) -> Result<Sidecar, StartError> {
        let settings = self.settings().await;
        let config = Config::read(|name| settings.get(name).cloned()).map_err(StartError::Settings)?;
        let token = config.token.as_ref().map(Secret::reveal).unwrap_or_default().to_owned();
        let log = PathBuf::from(&settings["WEFT_ACCESS_LOG"]);
        let proxy = Proxy::start(config).await?;
        let [inbound, outbound, admin, fixed @ ..] = proxy.addrs.as_slice() else {
            panic!("a proxy has three listeners: {:?}", proxy.addrs)
        };
        let (inbound, outbound, admin, fixed) = (*inbound, *outbound, *admin, fixed.to_vec());
        Ok(Sidecar { workload: self.workload, inbound, outbound, admin, fixed, token, log, proxy })
    }

    /// Starts it, and waits until it has policy for its application and has said so.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(self) -> Sidecar {
        let (mesh, workload) = (self.mesh, self.workload.clone());
        let sidecar = self.try_start().await;
        let sidecar = sidecar.unwrap_or_else(|error| panic!("{workload} does not start: {error}"));
        soon(format!("policy for {workload}"), sidecar.proxy.ready()).await;
        mesh.settled().await;
        sidecar
    }
}

/// A running sidecar.
#[derive(Debug)]
pub struct Sidecar {
    /// `namespace/name`
    pub workload: String,
    /// Where its peers reach it.
    pub inbound: SocketAddr,
    /// Where its application's own calls go.
    pub outbound: SocketAddr,
    /// Its admin listener.
    pub admin: SocketAddr,
    /// Its fixed local ports.
    pub fixed: Vec<SocketAddr>,
    /// The join token that it has used up.
    pub token: String,
    /// Its access log.
    pub log: PathBuf,
    /// The proxy itself.
    pub proxy: Proxy,
}

impl Sidecar {
    /// `GET`s as its application would with `HTTP_PROXY` set.
    pub async fn get(&self, url: &str) -> Reply {
        self.send(call::get(url)).await
    }

    /// Sends a request as its application would with `HTTP_PROXY` set.
    pub async fn send(&self, request: call::Request) -> Reply {
        call::through(self.outbound, request).await
    }

    /// A connection to it as to an HTTP proxy, kept for many requests.
    pub async fn client(&self) -> Client {
        Client::connect(self.outbound, Form::Absolute).await
    }

    /// What its admin listener says.
    pub async fn admin(&self, path: &str) -> Reply {
        call::to(self.admin, call::get(&format!("http://{}{path}", self.admin))).await
    }

    /// What its metrics say.
    ///
    /// # Panics
    /// If they are no text.
    pub async fn metrics(&self) -> String {
        String::from_utf8(self.admin("/metrics").await.body.to_vec()).expect("metrics are text")
    }

    /// The sum of a counter over all its series that have all of these in their labels.
    pub async fn counter(&self, name: &str, labels: &[&str]) -> f64 {
        let metrics = self.metrics().await;
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        let series = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Every line of its access log so far, once there are `count` of those that `wanted` wants.
    pub async fn logged(&self, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        log::lines(&self.log, count, wanted).await
    }

    /// Drains it.
    pub async fn drain(self) -> bool {
        self.proxy.drain().await
    }
}
