//! The control plane at scale: thousands of posing proxies, each with a certificate and a connection of its own, over
//! loopback with real TLS and gRPC. What comes back after a restart, how a change spreads, and what one that does not read
//! costs the others.
//!
//! ```text
//! benches/plane/run restart propagation stopped      all of it
//! PROXIES=2000 SECONDS=600 benches/plane/run propagation
//! ```

mod world;
mod pipe;
mod enrol;
mod proxy;
mod fleet;
mod plane;
mod figures;
mod restart;
mod spread;
mod stopped;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use figures::mebi;
use fleet::Fleet;
use plane::{Cost, Operator, Plane};
use world::Shape;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            let (mut terminate, mut interrupt) =
                (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            tokio::select! {
                done = run() => done,
                // What has been started ends with what holds it.
                _ = terminate.recv() => bail!("interrupted"),
                _ = interrupt.recv() => bail!("interrupted"),
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plane benchmark: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    open_as_many_files_as_permitted();
    for what in std::env::args().skip(1) {
        match what.as_str() {
            "restart" => {
                let (mut plane, mut fleet) = begin(number("PROXIES", 10_000)?, 0).await?;
                restart::run(&mut plane, &mut fleet, number("RUNS", 3)?).await?;
            }
            "propagation" => {
                let (plane, mut fleet) = begin(number("PROXIES", 1000)?, 0).await?;
                let long = Duration::from_secs(number("SECONDS", 60)? as u64);
                let changes = number("CHANGES", 200)?;
                let each_second = u32::try_from(number("EACH_SECOND", 1000)?)?;
                spread::run(&plane, &mut fleet, changes, each_second, long).await?;
            }
            "stopped" => {
                let proxies = number("PROXIES", 1000)?;
                let count = (proxies / 100).max(1);
                let (plane, mut fleet) = begin(proxies, count).await?;
                stopped::run(&plane, &mut fleet, count, number("RUNS", 9)?, number("CHANGES", 60)?).await?;
            }
            other => bail!("{other}? there are restart, propagation and stopped"),
        }
    }
    Ok(())
}

/// A control plane with everybody attached.
async fn begin(proxies: usize, stoppable: usize) -> anyhow::Result<(Plane, Fleet)> {
    let shape = Shape::of(proxies);
    let plane = Plane::start(shape).await?;
    let operator = Operator::at(&plane.socket()).await?;
    let began = Instant::now();
    let token = move |workload, account| operator.clone().token(workload, account);
    let mut fleet = Fleet::enrol(shape, Plane::addr(), stoppable, token).await?;
    let enrolled = began.elapsed();
    fleet.settled(Duration::from_secs(120)).await?;
    let cost = plane.cost()?;
    println!(
        "{proxies} proxies of {} services: enrolled within {:.1} s, all acknowledged after {:.1} s; control plane: {:.1} \
         CPU-seconds, {} MiB ({} at most); proxies: {:.1} CPU-seconds, {} MiB",
        shape.services,
        enrolled.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        cost.cpu.as_secs_f64(),
        mebi(cost.memory),
        mebi(cost.peak),
        Cost::of("self")?.cpu.as_secs_f64(),
        mebi(Cost::of("self")?.memory),
    );
    Ok((plane, fleet))
}

fn number(name: &str, otherwise: usize) -> anyhow::Result<usize> {
    match std::env::var(name) {
        Ok(said) => said.parse().with_context(|| format!("{name}={said} is no number")),
        Err(_) => Ok(otherwise),
    }
}

/// Ten thousand connections are as many files.
fn open_as_many_files_as_permitted() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let permitted = getrlimit(Resource::Nofile);
    let most = Rlimit { current: permitted.maximum, maximum: permitted.maximum };
    // Where that is not permitted after all, whoever runs out of files says so.
    let _ = setrlimit(Resource::Nofile, most);
}

#[cfg(test)]
mod tests;
