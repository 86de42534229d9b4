//! Two Envoys in the place of the two sidecars, doing the same: HTTP/1.1 in, one hop of HTTP/2 over mutual TLS 1.3
//! on which each end checks the other's SPIFFE ID, HTTP/1.1 out.
//!
//! They are set up as their friends would: one worker each, as our sidecars have, no access log, no statistics
//! per request, no request id, limits out of the way. Their certificates are of the same shape as ours, from the
//! same code: P-256, leaf under an intermediate under a root.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, ensure};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, sleep};
use weft_certs::authority::{Authority, Lifetime};
use weft_certs::bundle::{DenyList, TrustBundle};
use weft_certs::request::KeyAndRequest;
use weft_policy::identity::{SpiffeId, TrustDomain};

use super::{PATIENCE, Site, Way};
use crate::machine::free_addrs;
use crate::process::Process;

/// Starts both in front of the origin.
///
/// # Errors
/// What did not start, with its log.
pub(crate) async fn start(site: Site<'_>, program: &Path, body: usize) -> anyhow::Result<Way> {
    let domain: TrustDomain = "weft.local".parse()?;
    let authority = Authority::mint(&domain, SystemTime::now())?;
    let bundle = TrustBundle::new(domain.clone(), 1, [authority.root().clone()], DenyList::default())?;
    fs::write(site.dir.join("root.pem"), bundle.to_pem()).context("the root's certificate")?;

    let [web, api] = free_addrs()?;
    let ends = [
        End {
            account: "web",
            listen: web,
            next: api,
            peer: "api",
            template: include_str!("../config/envoy-web.yaml"),
        },
        End {
            account: "api",
            listen: api,
            next: site.origin,
            peer: "web",
            template: include_str!("../config/envoy-api.yaml"),
        },
    ];
    let mut proxies = Vec::new();
    for (name, end) in ["envoy-web", "envoy-api"].into_iter().zip(ends) {
        let config = end.write(site.dir, &authority, &domain)?.display().to_string();
        let args = ["-c", &config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"];
        let mut process = Process::start(name, program, &args, &[], site.dir, site.cpus)?;
        listening(&mut process, end.listen).await?;
        proxies.push(process);
    }
    let way = Way { name: "envoy", entry: web, proxies, beside: Vec::new(), idle: Vec::new() };
    way.proven(body).await
}

/// The first line of what it says of its version.
pub(crate) fn version(program: &Path) -> anyhow::Result<String> {
    let output = std::process::Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("cannot start {}", program.display()))?;
    ensure!(output.status.success(), "{} does not say its version", program.display());
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.split_whitespace().last().unwrap_or("unknown");
    // commit/version/state/kind/TLS library
    Ok(version.split('/').nth(1).unwrap_or(version).to_owned())
}

/// One of the two.
struct End {
    account: &'static str,
    listen: SocketAddr,
    next: SocketAddr,
    peer: &'static str,
    template: &'static str,
}

impl End {
    /// Its certificate, key and configuration.
    fn write(
        &self,
        dir: &Path,
        authority: &Authority,
        domain: &TrustDomain,
    ) -> anyhow::Result<std::path::PathBuf> {
        let (us, peer) = (
            SpiffeId::workload(domain, "shop", self.account)?,
            SpiffeId::workload(domain, "shop", self.peer)?,
        );
        let request = KeyAndRequest::generate()?;
        let issued = authority.issue(&request.csr_der, &us, Lifetime::Default, SystemTime::now())?;
        let chain: Vec<_> =
            issued.chain_der.into_iter().map(|der| pem::Pem::new("CERTIFICATE", der)).collect();
        let file = |suffix: &str| dir.join(format!("{}.{suffix}", self.account));
        fs::write(file("pem"), pem::encode_many(&chain)).context("a certificate")?;
        fs::write(file("key"), request.key.to_pem()).context("a key")?;
        let config = self
            .template
            .replace("{{listen port}}", &self.listen.port().to_string())
            .replace("{{next port}}", &self.next.port().to_string())
            .replace("{{chain}}", &file("pem").display().to_string())
            .replace("{{key}}", &file("key").display().to_string())
            .replace("{{root}}", &dir.join("root.pem").display().to_string())
            .replace("{{peer}}", peer.as_str());
        fs::write(file("yaml"), config).context("an Envoy's configuration")?;
        Ok(file("yaml"))
    }
}

/// Waits until somebody accepts at `addr`.
async fn listening(process: &mut Process, addr: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(addr).await.is_err() {
        process.check()?;
        ensure!(Instant::now() < deadline, "{} does not listen; {}", process.name(), process.obituary());
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
