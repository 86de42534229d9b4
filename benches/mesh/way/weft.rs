//! Weft itself: a control plane, a sidecar beside `web`, a sidecar beside `api`; real processes, enrolled with join
//! tokens and told by the control plane, as on any machine. There is no setting here that only a benchmark would have.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;
use weft_proto::v1;
use weft_proto::v1::admin_client::AdminClient;

use super::{Between, Change, Handshake, Http, Site, Way, loopback, ready};
use crate::machine::free_addrs;
use crate::process::Process;

mod kept;

/// Starts what lies between.
///
/// # Errors
/// What did not start, with its log.
pub(crate) async fn start(site: Site<'_>, programs: &Path, between: Between) -> anyhow::Result<Way> {
    let (manifests, state) = (site.dir.join("manifests"), site.dir.join("state"));
    fs::create_dir_all(&manifests).context("a folder for manifests")?;
    let [grpc, admin, fixed] = free_addrs()?;
    let [web, api] = [Ports::find()?, Ports::find()?];
    let mesh = include_str!("../config/mesh.yaml")
        .replace(
            "{{protocol}}",
            match between {
                Between::Mesh(Http::H2) => "kubernetes.io/h2c",
                Between::Mesh(Http::Grpc) => "grpc",
                _ => "http",
            },
        )
        .replace("{{origin}}", &site.origin.http.port().to_string())
        .replace("{{bytes}}", &site.origin.bytes.port().to_string())
        .replace("{{web inbound}}", &web.inbound.port().to_string())
        .replace("{{api inbound}}", &api.inbound.port().to_string());
    fs::write(manifests.join("mesh.yaml"), mesh).context("the manifests")?;
    let (http, bytes) = (site.origin.http.port(), site.origin.bytes.port());
    match between {
        Between::One { .. } => write_routes(&manifests, &between.paths())?,
        Between::Endpoints(count) => {
            let rest = format!("  ports: [{{name: http, port: {http}, appProtocol: http}}]\n  mesh: false");
            write_workloads(&manifests, "plain", count - 1, &rest)?;
        }
        Between::Rules(rules) => write_rules(&manifests, rules)?,
        Between::Tcp(Handshake::Full) => {
            let inbound = api.inbound.port();
            let rest = format!(
                "  ports: [{{name: bytes, port: {bytes}, appProtocol: tcp}}]\n  serviceAccount: api\n  \
                 inbound: {{port: {inbound}}}"
            );
            write_workloads(&manifests, "api", FAR_ENDS, &rest)?;
        }
        _ => {}
    }
    let change = (between == Between::Changing).then(|| Change {
        file: manifests.join("changing.yaml"),
        template: include_str!("../config/changing.yaml").to_owned(),
    });
    if let Some(change) = &change {
        change.write(0)?;
    }

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

    let beside_web = ("weft-web", "shop/web-1", "web", web);
    let beside_api = ("weft-api", "shop/api-1", "api", api);
    let sidecars = match between {
        Between::One { .. } | Between::Endpoints(_) => vec![beside_web],
        // The client is `web`: its sidecar enrols, and what it keeps is read below.
        _ => vec![beside_api, beside_web],
    };
    let (mut proxies, mut beside) = (Vec::new(), vec![control_plane]);
    for (name, workload, account, ports) in sidecars {
        let token = token(state.join("admin.sock"), workload, account).await?;
        // The many addresses of `write_workloads` are one sidecar's.
        let inbound = match between {
            Between::Tcp(Handshake::Full) => (Ipv4Addr::UNSPECIFIED, ports.inbound.port()).into(),
            _ => ports.inbound,
        };
        let mut env = vec![
            ("WEFT_WORKLOAD", workload.to_owned()),
            ("WEFT_TOKEN", token),
            ("WEFT_CONTROL_PLANE", grpc.to_string()),
            ("WEFT_INBOUND", inbound.to_string()),
            ("WEFT_OUTBOUND", ports.outbound.to_string()),
            ("WEFT_ADMIN", ports.admin.to_string()),
            ("WEFT_LOG", "warn".to_owned()),
        ];
        if let (Between::Tcp(_), "web") = (between, account) {
            env.push(("WEFT_LOCAL_PORTS", format!("{fixed}=api.shop:9000")));
        }
        if let (Between::Inbound | Between::Tcp(Handshake::Resumed), "web") = (between, account) {
            env.push(("WEFT_IDENTITY_DIR", site.dir.join("web").display().to_string()));
        }
        let mut proxy = Process::start(name, &programs.join("weft-proxy"), &[], &env, site.dir, site.cpus)?;
        ready(&mut proxy, ports.admin, "/ready").await?;
        let measured = between != Between::Inbound || account == "api";
        if measured { &mut proxies } else { &mut beside }.push(proxy);
    }
    let (mut client, mut resumes) = (None, false);
    let entry = match between {
        Between::One { .. }
        | Between::Endpoints(_)
        | Between::Mesh(_)
        | Between::Rules(_)
        | Between::Changing => web.outbound,
        Between::Tcp(handshake) => {
            if handshake == Handshake::Resumed {
                let client = kept::client(&site.dir.join("web"))?;
                resumes = kept::resumes(&client, api.inbound, site.origin.http).await?;
            }
            fixed
        }
        Between::Inbound => {
            client = Some(kept::client(&site.dir.join("web"))?);
            api.inbound
        }
    };
    Ok(Way { entry, proxies, beside, client, resumes, change })
}

/// What a sidecar's HTTP/1 hop carries besides: the application's port, and what its client speaks.
pub(crate) fn hop_lines(application: SocketAddr) -> String {
    format!("weft-hop-port: {}\r\nweft-hop-version: 1.1\r\n", application.port())
}

/// One route for each path, as many in an object as there may be, all on one host.
fn write_routes(manifests: &Path, paths: &[String]) -> anyhow::Result<()> {
    for (file, some) in paths.chunks(RULES * OBJECTS_OF_A_FILE).enumerate() {
        let mut yaml = String::new();
        for (object, rules) in some.chunks(RULES).enumerate() {
            let name = format!("plain-{file}-{object}");
            let _ = write!(
                yaml,
                "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: shop}}\n\
                 spec:\n  parentRefs: [{{group: \"\", kind: Service, name: plain, port: 80}}]\n  rules:\n"
            );
            for path in rules {
                let _ = writeln!(
                    yaml,
                    "  - {{matches: [{{path: {{type: Exact, value: \"{path}\"}}}}], backendRefs: [{{name: plain, port: 80}}]}}"
                );
            }
            yaml.push_str("---\n");
        }
        fs::write(manifests.join(format!("routes-{file}.yaml")), yaml).context("the routes")?;
    }
    Ok(())
}

/// Rules about others, beside the one that lets `web` call; their policies come before its own by name.
fn write_rules(manifests: &Path, rules: usize) -> anyhow::Result<()> {
    let others: Vec<_> = (1..rules).map(|n| format!("shop/caller-{n}")).collect();
    let mut yaml = String::new();
    for (n, some) in others.chunks(RULES_OF_A_POLICY).enumerate() {
        let _ = write!(
            yaml,
            "apiVersion: weft.mesh/v1alpha1\nkind: AuthorizationPolicy\n\
             metadata: {{name: a-others-{n}, namespace: shop}}\n\
             spec:\n  targetRefs: [{{kind: Service, name: api}}]\n  action: Allow\n  rules:\n"
        );
        for other in some {
            let _ = writeln!(yaml, "  - from: [{{serviceAccounts: [{other}]}}]");
        }
        yaml.push_str("---\n");
    }
    fs::write(manifests.join("rules.yaml"), yaml).context("the rules")
}

const RULES_OF_A_POLICY: usize = 100;

/// So many workloads of `app` beside the one that it has, at addresses of this host; `rest` is the rest of their `spec`.
fn write_workloads(manifests: &Path, app: &str, count: u16, rest: &str) -> anyhow::Result<()> {
    let mut yaml = String::new();
    for n in 1..=count {
        let _ = write!(
            yaml,
            "apiVersion: weft.mesh/v1alpha1\nkind: Workload\n\
             metadata: {{name: {app}-at-{n}, namespace: shop, labels: {{app: {app}}}}}\n\
             spec:\n  address: {}\n{rest}\n---\n",
            loopback(n)
        );
    }
    fs::write(manifests.join("workloads.yaml"), yaml).context("the workloads")
}

/// Endpoints of `api` where each handshake is to be a full one: so many that hardly any connection goes where an earlier one
/// went. Sidecars resume a session with the one they had it with, and no setting keeps them from it; this is far more than
/// the sessions that a sidecar keeps. All of the addresses are this host's, and answered by one sidecar.
const FAR_ENDS: u16 = 8000;
/// As many as the Gateway API lets an object have.
const RULES: usize = 16;
const OBJECTS_OF_A_FILE: usize = 100;

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
