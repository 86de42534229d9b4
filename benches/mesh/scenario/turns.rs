//! All peers of a scenario are up together and measured in turns, A B C, B C A: a machine that slows down slows all of
//! them, and none has always the same neighbour.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use super::work::Turn;
use super::{Scenario, Variant, Work, derived};
use crate::figures::Results;
use crate::machine::Cpus;
use crate::origin::Origin;
use crate::settings::Settings;
use crate::way::{self, Between, Handshake, Http, Peer, Site, Way};

/// What holds for all scenarios.
#[derive(Debug)]
pub(crate) struct Bench<'b> {
    pub(crate) settings: &'b Settings,
    pub(crate) cpus: Cpus,
    /// For configurations and logs.
    pub(crate) scratch: PathBuf,
    /// Of each peer that has a program: its version, or why it is not there.
    pub(crate) versions: HashMap<&'static str, Result<String, String>>,
}

/// One peer in one variant.
struct Contender {
    peer: Peer,
    variant: &'static Variant,
    /// `None`: started for each turn.
    way: Option<Way>,
}

/// Measures all of `scenario`.
///
/// # Errors
/// A wrong or lost answer, a peer that does not start, or a figure that cannot be.
pub(crate) async fn run(
    scenario: &'static Scenario,
    bench: &Bench<'_>,
    results: &mut Results,
) -> anyhow::Result<()> {
    let at = if scenario.is_anywhere() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let origin = Origin::start(at, scenario.body)?;
    let mut contenders = Vec::new();
    for variant in scenario.variants {
        for &peer in &bench.settings.peers {
            if peer == Peer::Direct && scenario.work.is_of_memory() {
                continue;
            }
            if let Some(why) = bench.is_missing(peer, variant.between) {
                eprintln!("  {}: {} {} not measured: {why}", scenario.name, peer.name(), variant.label);
                results.miss(scenario.name, peer, variant.label, &why);
                continue;
            }
            let way = match scenario.begins_afresh() {
                true => None,
                false => Some(bench.start(scenario, variant, peer, &origin).await?),
            };
            if variant.between == Between::Tcp(Handshake::Resumed)
                && way.as_ref().is_some_and(|way| !way.resumes)
            {
                results.miss(scenario.name, peer, variant.label, "its proxies resume no sessions");
                continue;
            }
            contenders.push(Contender { peer, variant, way });
        }
    }
    for run in 0..scenario.runs(bench.settings.runs) {
        for place in 0..contenders.len() {
            let Some(contender) = contenders.get((place + run as usize) % contenders.len()) else { continue };
            let Contender { peer, variant, way } = contender;
            let fresh = match way {
                Some(_) => None,
                None => Some(bench.start(scenario, variant, *peer, &origin).await?),
            };
            let way = way.as_ref().or(fresh.as_ref()).context("a way was started")?;
            let turn = Turn { scenario, variant, origin: &origin, way, each: bench.settings.each };
            let figures = turn.measure().await.with_context(|| {
                format!("{} through {} failed\n{}", scenario.name, peer.name(), way.obituary())
            })?;
            let said: Vec<_> = figures.iter().map(ToString::to_string).collect();
            eprintln!("  {} run {}: {:7} {}", scenario.name, run + 1, peer.name(), said.join(", "));
            for figure in figures {
                results.add(scenario.name, *peer, run, figure)?;
            }
            sleep(PAUSE).await;
        }
    }
    derived::add(scenario, results)?;
    results.check_against_envoy(scenario.name)
}

impl Bench<'_> {
    /// Why it cannot be measured here.
    fn is_missing(&self, peer: Peer, between: Between) -> Option<String> {
        if let Some(Err(why)) = self.versions.get(peer.name()) {
            return Some(why.clone());
        }
        match (peer, between) {
            (Peer::Nginx, Between::Tcp(_)) if way::nginx::stream_module().is_none() => {
                Some("its module for TCP is not here (Debian: libnginx-mod-stream)".to_owned())
            }
            (Peer::Haproxy | Peer::Nginx, Between::Rules(_)) => {
                Some("it has no rules about SPIFFE IDs".to_owned())
            }
            (Peer::Haproxy | Peer::Nginx, Between::Changing) => {
                Some("it follows no file: a change is another process".to_owned())
            }
            (
                Peer::Floor,
                Between::One { routes: 2.. } | Between::Endpoints(_) | Between::Rules(_) | Between::Changing,
            ) => Some("it does nothing but carry".to_owned()),
            (Peer::Floor, Between::Mesh(Http::Grpc) | Between::Inbound) => {
                Some("it is not set up here".to_owned())
            }
            (Peer::Direct, Between::Endpoints(_)) => Some("it chooses nobody".to_owned()),
            (Peer::Direct, Between::Changing) => Some("it has no configuration".to_owned()),
            (Peer::Nginx, Between::Mesh(Http::Grpc)) => Some("its gRPC is not set up here".to_owned()),
            (Peer::Direct, Between::Tcp(Handshake::Resumed)) => Some("it has no handshake".to_owned()),
            _ => None,
        }
    }

    /// Starts a way and proves that it carries something.
    async fn start(
        &self,
        scenario: &'static Scenario,
        variant: &'static Variant,
        peer: Peer,
        origin: &Origin,
    ) -> anyhow::Result<Way> {
        let between = variant.between;
        let dir = tempfile::tempdir_in(&self.scratch).context("a folder for configurations and logs")?.keep();
        let site = Site { dir: &dir, cpus: self.cpus, origin, body: scenario.body };
        let started = match peer {
            Peer::Weft => way::weft::start(site, &self.settings.programs, between).await,
            Peer::Envoy => way::envoy::start(site, &self.settings.envoy, between).await,
            Peer::Haproxy => way::haproxy::start(site, &self.settings.haproxy, between).await,
            Peer::Nginx => way::nginx::start(site, &self.settings.nginx, between).await,
            Peer::Floor => way::floor::start(site, &self.settings.floor, between).await,
            Peer::Direct => Ok(Way::direct(between, origin)),
        };
        let way = started.with_context(|| format!("{} does not start", peer.name()))?;
        if matches!(scenario.work, Work::IdleMemory) {
            // Measured before its first request, so it is shown only afterwards that it would have carried one.
            sleep(REST).await;
            return Ok(way);
        }
        let turn = Turn { scenario, variant, origin, way: &way, each: self.settings.each };
        turn.prove().await.with_context(|| format!("{} in {}", peer.name(), scenario.name))?;
        Ok(way)
    }
}

/// Between two measurements: what the one before has left to do is done.
const PAUSE: Duration = Duration::from_millis(200);
/// After a start, until memory is called idle.
const REST: Duration = Duration::from_secs(1);
