//! The floor in the place of the sidecars: a proxy of the same libraries that does nothing but carry (`benches/floor`).

use std::fs;
use std::net::SocketAddr;
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
    let mut proxies = Vec::new();
    let mut begin = async |name, listen: SocketAddr, next: SocketAddr, (from, to), end: Option<&str>| {
        let mut args = vec![listen.to_string(), next.to_string(), from, to];
        if let Some(end) = end {
            args.push(folder(site.dir, &certificates, end)?);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut process = Process::start(name, &programs.join("floor"), &args, &[], site.dir, site.cpus)?;
        listening(&mut process, listen).await?;
        proxies.push(process);
        anyhow::Ok(())
    };
    if let Between::One { .. } = between {
        begin("floor", web, target, ("h1".to_owned(), "h1".to_owned()), None).await?;
    } else {
        let (outer, hop) = (outer.to_owned(), hop.to_owned());
        begin("floor-api", api, target, (hop.clone(), outer.clone()), Some("api")).await?;
        begin("floor-web", web, api, (outer, hop), Some("web")).await?;
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
