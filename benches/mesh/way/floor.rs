//! The floor in the place of the sidecars: a proxy of the same libraries that does nothing but carry (`benches/floor`).

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::certificates::{Certificates, identity};
use super::{Between, Http, Site, Way, listening};
use crate::machine::free_addrs;
use crate::process::Process;

/// Starts what lies between.
///
/// # Errors
/// What did not start, with its log.
pub(crate) async fn start(site: Site<'_>, programs: &Path, between: Between) -> anyhow::Result<Way> {
    let certificates = Certificates::mint(site.dir)?;
    let [web, api] = free_addrs()?;
    let target = between.target(site.origin);
    let (outer, hop) = match between {
        Between::Tcp(_) => ("bytes", "bytes-tls"),
        Between::Mesh(Http::H2) => ("h2", "h2-tls"),
        _ => ("h1", "h2-tls"),
    };
    let ends = match between {
        Between::One { .. } => vec![("floor", web, target, ("h1", "h1"), None)],
        _ => vec![
            ("floor-api", api, target, (hop, outer), Some("api")),
            ("floor-web", web, api, (outer, hop), Some("web")),
        ],
    };
    let mut proxies = Vec::new();
    for (name, listen, next, (from, to), end) in ends {
        let (at, next) = (listen.to_string(), next.to_string());
        let folder = end.map(|end| folder(site.dir, &certificates, end)).transpose()?;
        let args: Vec<&str> = [&*at, &*next, from, to].into_iter().chain(folder.as_deref()).collect();
        let mut process = Process::start(name, &programs.join("floor"), &args, &[], site.dir, site.cpus)?;
        listening(&mut process, listen).await?;
        proxies.push(process);
    }
    Ok(Way { entry: web, proxies, beside: Vec::new(), client: None, resumes: false, change: None })
}

/// What one end needs, in a folder of its own.
fn folder(dir: &Path, certificates: &Certificates, end: &str) -> anyhow::Result<String> {
    let folder = dir.join(format!("floor-{end}"));
    fs::create_dir_all(&folder).context("a folder for the floor")?;
    let peer = if end == "web" { "api" } else { "web" };
    fs::write(folder.join("peer"), identity(peer)?.to_string()).context("the far end's identity")?;
    for (from, to) in [
        (certificates.root(), "root.pem"),
        (certificates.chain(end), "end.pem"),
        (certificates.key(end), "end.key"),
    ] {
        fs::copy(&from, folder.join(to)).with_context(|| format!("cannot copy {from}"))?;
    }
    Ok(folder.display().to_string())
}
