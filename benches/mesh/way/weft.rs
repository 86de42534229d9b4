//! Weft itself: a control plane, a sidecar beside `web`, a sidecar beside `api`; real processes, enrolled with join
//! tokens and told by the control plane, as on any machine.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;
use weft_proto::v1;
use weft_proto::v1::admin_client::AdminClient;

use super::{Site, Way, ready};
use crate::machine::free_addrs;
use crate::process::Process;

/// Starts the mesh in front of the origin.
///
/// # Errors
/// What did not start, with its log.
pub(crate) async fn start(site: Site<'_>, programs: &Path, body: usize) -> anyhow::Result<Way> {
    let (manifests, state) = (site.dir.join("manifests"), site.dir.join("state"));
    fs::create_dir_all(&manifests).context("a folder for manifests")?;
    let [grpc, admin] = free_addrs()?;
    let [web, api] = [Ports::find()?, Ports::find()?];
    let mesh = include_str!("../config/mesh.yaml")
        .replace("{{origin}}", &site.origin.port().to_string())
        .replace("{{web inbound}}", &web.inbound.port().to_string())
        .replace("{{api inbound}}", &api.inbound.port().to_string());
    fs::write(manifests.join("mesh.yaml"), mesh).context("the manifests")?;

    let env = [
        ("WEFT_CONFIG_DIR", manifests.display().to_string()),
        ("WEFT_STATE_DIR", state.display().to_string()),
        ("WEFT_LISTEN", grpc.to_string()),
        ("WEFT_ADMIN", admin.to_string()),
        ("WEFT_LOG", "warn".to_owned()),
    ];
    let program = programs.join("weft-control-plane");
    let mut control_plane =
        Process::start("weft-control-plane", &program, &["--init"], &env, site.dir, site.cpus)?;
    ready(&mut control_plane, admin, "/ready").await?;

    let mut proxies = Vec::new();
    let sidecars = [("weft-web", "shop/web-1", "web", web), ("weft-api", "shop/api-1", "api", api)];
    for (name, workload, account, ports) in sidecars {
        let token = token(state.join("admin.sock"), workload, account).await?;
        let env = [
            ("WEFT_WORKLOAD", workload.to_owned()),
            ("WEFT_TOKEN", token),
            ("WEFT_CONTROL_PLANE", grpc.to_string()),
            ("WEFT_INBOUND", ports.inbound.to_string()),
            ("WEFT_OUTBOUND", ports.outbound.to_string()),
            ("WEFT_ADMIN", ports.admin.to_string()),
            ("WEFT_LOG", "warn".to_owned()),
        ];
        let mut proxy = Process::start(name, &programs.join("weft-proxy"), &[], &env, site.dir, site.cpus)?;
        ready(&mut proxy, ports.admin, "/ready").await?;
        proxies.push(proxy);
    }
    let way =
        Way { name: "weft", entry: web.outbound, proxies, beside: vec![control_plane], idle: Vec::new() };
    way.proven(body).await
}

/// Where one sidecar listens.
#[derive(Clone, Copy, Debug)]
struct Ports {
    inbound: SocketAddr,
    outbound: SocketAddr,
    admin: SocketAddr,
}

impl Ports {
    fn find() -> anyhow::Result<Self> {
        let [inbound, outbound, admin] = free_addrs()?;
        Ok(Self { inbound, outbound, admin })
    }
}

/// A join token from the operator's socket.
async fn token(socket: PathBuf, workload: &str, account: &str) -> anyhow::Result<String> {
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The address is never used: the connector knows where to go.
    let channel = Endpoint::from_static("http://admin.sock").connect_with_connector(connector).await;
    let request = v1::CreateTokenRequest {
        workload: workload.to_owned(),
        service_account: account.to_owned(),
        lifetime_secs: 600,
        uses: 1,
    };
    let reply = AdminClient::new(channel.context("the operator's socket")?).create_token(request).await;
    Ok(reply.with_context(|| format!("a token for {workload}"))?.into_inner().token)
}
