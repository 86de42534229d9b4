//! Servers that others wrote, each made to say what it has read.
//!
//! Those that run code say it themselves (`servers/`). nginx, Apache, HAProxy and lighttpd pass on what they have read
//! to hyper in this process, which says it for them: what arrives there is their reading and no longer ours. What is
//! not installed is skipped, and said to be (`servers/install.sh` installs it where it can).

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use weft_tests::eventually::eventually;
use weft_tests::port;
use weft_tests::program::{Process, command};

/// One of them.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) addr: SocketAddr,
    _process: Option<Process>,
}

/// All that are there, and what they need to run. They end with it.
#[derive(Debug)]
pub(crate) struct Backends {
    pub(crate) running: Vec<Backend>,
    _folder: TempDir,
    _hyper: JoinSet<()>,
}

impl Backends {
    pub(crate) async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut tasks = JoinSet::new();
        let hyper = hyper(&mut tasks).await;
        let mut running = vec![Backend { name: "hyper", addr: hyper, _process: None }];
        for (name, program, line) in LINES {
            if let Some(program) = found(program) {
                running.push(start(name, &program, line, folder.path(), hyper).await);
            }
        }
        Self { running, _folder: folder, _hyper: tasks }
    }
}

/// Name, program, arguments. `PORT` is where it listens, `CONF` its configuration below, `SERVERS` the folder of ours.
const LINES: [(&str, &str, &str); 8] = [
    ("http.server", "python3", "SERVERS/stdlib.py PORT"),
    ("node", "node", "--max-http-header-size=300000 SERVERS/with_node.js PORT"),
    ("h11", "h11", "SERVERS/with_h11.py PORT"),
    (
        "gunicorn",
        "gunicorn",
        "--chdir SERVERS --bind 127.0.0.1:PORT --worker-class gthread --threads 4 --limit-request-line 0 \
         --limit-request-field_size 0 --limit-request-fields 300 --log-level error wsgi",
    ),
    ("nginx", "nginx", "-p DIR -c CONF"),
    ("apache", "apache2", "-X -d DIR -f CONF"),
    ("haproxy", "haproxy", "-db -f CONF"),
    ("lighttpd", "lighttpd", "-D -f CONF"),
];

/// `UP` is where they pass on what they have read.
const CONFIGURATIONS: [(&str, &str); 4] = [
    (
        "nginx",
        "pid DIR/nginx.pid; daemon off; master_process off; error_log stderr; events { worker_connections 64; }
         http { access_log off; client_body_temp_path DIR; proxy_temp_path DIR; fastcgi_temp_path DIR;
                uwsgi_temp_path DIR; scgi_temp_path DIR; client_max_body_size 64m;
                large_client_header_buffers 8 256k; proxy_headers_hash_max_size 4096;
                server { listen 127.0.0.1:PORT; location / { proxy_pass http://UP; proxy_http_version 1.1;
                         proxy_set_header Host $http_host; } } }",
    ),
    (
        "apache",
        "ServerName localhost\nListen 127.0.0.1:PORT\nPidFile DIR/apache.pid\nErrorLog DIR/apache.log
         DefaultRuntimeDir DIR\nLoadModule mpm_event_module MODULES/mod_mpm_event.so
         LoadModule authz_core_module MODULES/mod_authz_core.so\nLoadModule proxy_module MODULES/mod_proxy.so
         LoadModule proxy_http_module MODULES/mod_proxy_http.so\nLimitRequestLine 300000
         LimitRequestFieldSize 300000\nLimitRequestFields 300\nAllowEncodedSlashes NoDecode\nMergeSlashes Off
         ProxyPreserveHost On\nProxyPass \"/\" \"http://UP/\" nocanon\nProxyAddHeaders Off\n",
    ),
    (
        "haproxy",
        "global\n tune.bufsize 300000\n tune.http.maxhdr 400\ndefaults\n mode http\n timeout client 20s
         timeout server 20s\n timeout connect 5s\nfrontend it\n bind 127.0.0.1:PORT\n default_backend it
         backend it\n server it UP\n",
    ),
    (
        "lighttpd",
        "server.document-root = \"DIR\"\nserver.bind = \"127.0.0.1\"\nserver.port = PORT
         server.modules = (\"mod_proxy\")\nserver.max-request-field-size = 300000
         server.http-parseopts = (\"url-normalize\" => \"disable\")
         proxy.server = (\"\" => ((\"host\" => \"UPHOST\", \"port\" => UPPORT)))\nproxy.forwarded = ()\n",
    ),
];

/// Where a program is; says so where it is not.
fn found(program: &str) -> Option<PathBuf> {
    let venv = std::env::var_os("WEFT_TEST_VENV").map(PathBuf::from);
    let venv = venv.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/weft-test-venv")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    let found = match program {
        // A package of the virtual environment, and its interpreter.
        "h11" | "gunicorn" => venv
            .map(|venv| venv.join("bin"))
            .filter(|bin| bin.join("gunicorn").is_file())
            .map(|bin| bin.join(if program == "h11" { "python" } else { program })),
        "apache2" if !Path::new(APACHE_MODULES).is_dir() => None,
        _ => folders.map(|folder| folder.join(program)).find(|file| file.is_file()),
    };
    if found.is_none() {
        println!(
            "skipped: {program} reads nothing: not installed (tests/h1/servers/install.sh does, where it can)"
        );
    }
    found
}

async fn start(name: &'static str, program: &Path, line: &str, dir: &Path, up: SocketAddr) -> Backend {
    let addr = port::of_its_own();
    let servers = Path::new(env!("CARGO_MANIFEST_DIR")).join("h1/servers");
    let config = dir.join(format!("{name}.conf"));
    let fill = |text: &str| {
        text.replace("SERVERS", &servers.display().to_string())
            .replace("MODULES", APACHE_MODULES)
            .replace("CONF", &config.display().to_string())
            .replace("DIR", &dir.display().to_string())
            .replace("UPHOST", &up.ip().to_string())
            .replace("UPPORT", &up.port().to_string())
            .replace("UP", &up.to_string())
            .replace("PORT", &addr.port().to_string())
    };
    if let Some((_, text)) = CONFIGURATIONS.iter().find(|(of, _)| *of == name) {
        std::fs::write(&config, fill(text)).unwrap();
    }
    let mut command = command(&fill(&format!("{} {line}", program.display())));
    // No bytecode beside our sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let said = dir.join(format!("{name}.said"));
    let process = Process::start(command, &said);
    let text = || std::fs::read_to_string(&said).unwrap_or_default();
    eventually(format!("{name} listens: {}", text()), async || TcpStream::connect(addr).await.ok()).await;
    Backend { name, addr, _process: Some(process) }
}

/// Says what hyper reads.
async fn hyper(tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.spawn(async move {
                let server =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(say)).await;
                drop(server);
            });
            while open.try_join_next().is_some() {}
        }
    });
    addr
}

async fn say(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let host = parts.headers.get("host").map(|host| host.as_bytes().to_vec()).unwrap_or_default();
    let mut response = Response::new(Full::default());
    match body.collect().await {
        Ok(body) => {
            let host = String::from_utf8_lossy(&host).into_owned();
            let read = reading(parts.method.as_str(), &parts.uri.to_string(), &host, &body.to_bytes());
            response.headers_mut().insert("x-read", read.parse().unwrap());
        }
        Err(_) => *response.status_mut() = http::StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

/// `METHOD TARGET HOST LENGTH FNV-1a`, as `servers/` say it too.
pub(crate) fn reading(method: &str, target: &str, host: &str, body: &[u8]) -> String {
    let step = |digest: u32, byte: &u8| (digest ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let digest = body.iter().fold(0x811c_9dc5, step);
    format!("{method} {target} {host} {} {digest:08x}", body.len())
}

const APACHE_MODULES: &str = "/usr/lib/apache2/modules";
