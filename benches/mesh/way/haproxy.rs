//! HAProxy in the place of the sidecars: one thread, no log, connections to the next one shared by all requests.
//!
//! It checks that its peer has a certificate of the mesh's authority, not whose: a SPIFFE ID is nothing that it reads.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use super::certificates::Certificates;
use super::{Between, Handshake, Http, Site, Way, listening};
use crate::machine::free_addrs;
use crate::process::Process;

/// Starts what lies between.
///
/// # Errors
/// What did not start, with its log.
pub(crate) async fn start(site: Site<'_>, program: &Path, between: Between) -> anyhow::Result<Way> {
    let certificates = Certificates::mint(site.dir)?;
    let [web, api] = free_addrs()?;
    let target = between.target(site.origin);
    let targets = between.targets(site.origin);
    let ends = match between {
        Between::One { .. } | Between::Endpoints(_) => {
            vec![("haproxy", web, plain(web, &targets, between, site.dir)?)]
        }
        Between::Mesh(_) | Between::Tcp(_) | Between::Rules(_) | Between::Changing => vec![
            ("haproxy-api", api, inbound(api, target, between, &certificates)),
            ("haproxy-web", web, outbound(web, api, (between, site.body), &certificates)),
        ],
        Between::Inbound => vec![("haproxy-api", web, inbound(web, target, between, &certificates))],
    };
    let mut proxies = Vec::new();
    for (name, listen, config) in ends {
        let file = site.dir.join(format!("{name}.cfg"));
        fs::write(&file, config).context("HAProxy's configuration")?;
        let args = ["-db", "-f", &file.display().to_string()];
        let mut process = Process::start(name, program, &args, &[], site.dir, site.cpus)?;
        listening(&mut process, listen).await?;
        proxies.push(process);
    }
    let client = (between == Between::Inbound).then(|| certificates.web());
    Ok(Way { entry: web, proxies, beside: Vec::new(), client, resumes: true, change: None })
}

/// HTTP in plaintext on both sides; many routes are one look into a map, of many servers it takes the less loaded of two.
fn plain(listen: SocketAddr, next: &[SocketAddr], between: Between, dir: &Path) -> anyhow::Result<String> {
    let mut routes = String::new();
    if let Between::One { routes: 2.. } = between {
        let map = dir.join("routes.map");
        let lines = between.paths().iter().fold(String::new(), |mut all, path| {
            let _ = writeln!(all, "{path} next");
            all
        });
        fs::write(&map, lines).context("HAProxy's routes")?;
        let _ = writeln!(routes, "  use_backend %[path,map_str({})]", map.display());
    } else {
        routes.push_str("  default_backend next\n");
    }
    let mut servers = String::new();
    if next.len() > 1 {
        servers.push_str("  balance random(2)\n");
    }
    for (n, next) in next.iter().enumerate() {
        let _ = writeln!(servers, "  server next-{n} {next}");
    }
    Ok(format!("{}\nfrontend web\n  bind {listen}\n{routes}\nbackend next\n{servers}", settings(between)))
}

/// Beside the caller.
fn outbound(
    listen: SocketAddr,
    next: SocketAddr,
    (between, body): (Between, usize),
    certificates: &Certificates,
) -> String {
    let (client, hop) = match between {
        // One hop of HTTP/2 costs it less than 64 of HTTP/1.1.
        // For small answers one connection of HTTP/2 costs it less than many of HTTP/1.1 (3.6 CPU-s per 100 000 instead of
        // 5.7), for large ones more (23.4 instead of 20.9).
        Between::Mesh(Http::H1) if body > SMALL => ("", "alpn http/1.1"),
        Between::Mesh(Http::H1) => ("", "alpn h2"),
        Between::Mesh(Http::H2 | Http::Grpc) => (" proto h2", "alpn h2"),
        Between::Tcp(Handshake::Full) => ("", "no-ssl-reuse"),
        _ => ("", ""),
    };
    let tls =
        format!("ssl crt {} ca-file {} verify required {hop}", certificates.both("web"), certificates.root());
    format!(
        "{}\nfrontend web\n  bind {listen}{client}\n  default_backend next\n\nbackend next\n  server next {next} {tls}\n",
        settings(between)
    )
}

/// In bytes.
const SMALL: usize = 16 * 1024;

/// Beside the application.
fn inbound(listen: SocketAddr, next: SocketAddr, between: Between, certificates: &Certificates) -> String {
    let (hop, application) = match between {
        Between::Mesh(Http::H1) => ("alpn h2,http/1.1", ""),
        Between::Mesh(Http::H2 | Http::Grpc) => ("alpn h2", " proto h2"),
        Between::Tcp(Handshake::Full) => ("no-tls-tickets", ""),
        _ => ("", ""),
    };
    let tls =
        format!("ssl crt {} ca-file {} verify required {hop}", certificates.both("api"), certificates.root());
    format!(
        "{}\nfrontend hop\n  bind {listen} {tls}\n  default_backend application\n\nbackend application\n  server application {next}{application}\n",
        settings(between)
    )
}

/// What both ends have in common.
fn settings(between: Between) -> String {
    let (mode, http) = match between {
        Between::Tcp(_) => ("tcp", ""),
        _ => ("http", "  http-reuse always\n  option http-keep-alive\n"),
    };
    let connections = between.connections();
    format!(
        "global\n  nbthread 1\n  maxconn {connections}\n  no strict-limits\n  \
         ssl-default-bind-options ssl-min-ver TLSv1.3\n  \
         ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256\n  \
         ssl-default-server-options ssl-min-ver TLSv1.3\n  \
         ssl-default-server-ciphersuites TLS_AES_128_GCM_SHA256\n\n\
         defaults\n  mode {mode}\n  timeout connect 5s\n  timeout client 300s\n  timeout server 300s\n{http}"
    )
}
