//! Envoys in the place of the sidecars, doing the same: each end of the hop checks the other's SPIFFE ID.
//!
//! They are set up as their friends would: one worker each, as our sidecars have, no access log, no statistics per
//! request, no request id, limits out of the way.

mod config;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use config::Config;

use super::certificates::Certificates;
use super::{Between, Site, Way, listening};
use crate::machine::free_addrs;
use crate::process::Process;

/// Starts what lies between.
///
/// # Errors
/// What did not start, with its log.
pub(crate) async fn start(site: Site<'_>, program: &Path, between: Between) -> anyhow::Result<Way> {
    let certificates = Certificates::mint(site.dir)?;
    let [web, api] = free_addrs()?;
    let targets = between.targets(site.origin);
    let change = if between == Between::Changing { Some(config::change(site.dir)?) } else { None };
    let routes = change.as_ref().map(|change| change.file.display().to_string());
    let config = |place, listen, next: &[SocketAddr]| {
        let routes = routes.clone().filter(|_| place == Place::BesideCaller);
        Config { place, between, listen, next: next.to_vec(), certificates: &certificates, routes }
    };
    let ends = match between {
        Between::One { .. } | Between::Endpoints(_) => vec![("envoy", config(Place::Alone, web, &targets))],
        Between::Mesh(_) | Between::Tcp(_) | Between::Rules(_) | Between::Changing => vec![
            ("envoy-api", config(Place::BesideApplication, api, &targets)),
            ("envoy-web", config(Place::BesideCaller, web, &[api])),
        ],
        Between::Inbound => vec![("envoy-api", config(Place::BesideApplication, web, &targets))],
    };
    let mut proxies = Vec::new();
    for (name, config) in ends {
        let file = site.dir.join(format!("{name}.json"));
        fs::write(&file, config.to_json()?.to_string()).context("an Envoy's configuration")?;
        let file = file.display().to_string();
        let args = [
            "-c",
            &file,
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "error",
            "--service-node",
            name,
            "--service-cluster",
            "shop",
        ];
        let mut process = Process::start(name, program, &args, &[], site.dir, site.cpus)?;
        listening(&mut process, config.listen).await?;
        proxies.push(process);
    }
    let client = (between == Between::Inbound).then(|| certificates.web());
    Ok(Way { entry: web, proxies, beside: Vec::new(), client, resumes: true, change })
}

/// Where an Envoy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Plaintext on both sides.
    Alone,
    BesideCaller,
    BesideApplication,
}
