//! `weft-proxy`: settings from the environment, a log, and an orderly end.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use weft_proxy::config::{self, Config, LogControl};
use weft_proxy::observe::panics;
use weft_proxy::redirect::{self, RedirectSettings, Rules};
use weft_proxy::{Proxy, StartError};

/// A request allocates some twenty times, in sizes up to a few kilobytes: measured, this one spends 2 900 instructions on
/// them where the system's spends 8 000. Without huge pages: they cost an idle sidecar eight megabytes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The sidecar: carries calls into and out of one application, over mutual TLS, by the mesh's policy.
///
/// Settings are environment variables (WEFT_WORKLOAD is required; --help lists them). To start a command with its own
/// sidecar, use `meshctl run`.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", config::listing()))]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Carry requests until told to stop (the default)
    Run,
    /// Redirect the application's connections to the proxy, with nftables (needs NET_ADMIN)
    Redirect(Redirect),
}

#[derive(clap::Args)]
struct Redirect {
    /// Connections of this user are the proxy's own and are not redirected
    #[arg(long, default_value_t = 2102)]
    proxy_uid: u32,
    /// Connections of this group are the proxy's own too
    #[arg(long)]
    proxy_gid: Option<u32>,
    /// Where calls into the application are redirected to
    #[arg(long, default_value_t = 15006)]
    inbound_port: u16,
    /// Where the application's own calls are redirected to
    #[arg(long, default_value_t = 15001)]
    outbound_port: u16,
    /// Where DNS queries are redirected to; without it they are left alone
    #[arg(long)]
    dns_port: Option<u16>,
    /// Inbound ports left alone, as 9999 or 4567-4568
    #[arg(long, value_delimiter = ',')]
    skip_inbound_ports: Vec<redirect::PortRange>,
    /// Outbound ports left alone
    #[arg(long, value_delimiter = ',')]
    skip_outbound_ports: Vec<redirect::PortRange>,
    /// Print the rules and change nothing
    #[arg(long)]
    print: bool,
    /// Take the rules away again
    #[arg(long, conflicts_with = "print")]
    clear: bool,
}

const EXAMPLES: &str = "Examples:
  WEFT_WORKLOAD=shop/web WEFT_TOKEN=$(cat web.token) weft-proxy
  weft-proxy redirect --proxy-uid 2102 --print";

fn main() -> ExitCode {
    let done = match Cli::parse().command.unwrap_or(Command::Run) {
        Command::Run => run(),
        Command::Redirect(how) => redirect(how),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-proxy: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut config = Config::read(|name| std::env::var(name).ok()).map_err(StartError::Settings)?;
    let filter = config.log.parse::<Targets>().context("WEFT_LOG")?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
    panics::watch();
    config.log_control = Some(LogControl::new(move |text| {
        text.parse::<Targets>().is_ok_and(|filter| handle.reload(filter).is_ok())
    }));
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let mut proxy = tokio::select! {
            started = Proxy::start(config) => started?,
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
        };
        tracing::info!(addrs = ?proxy.addrs, "accepting");
        let broken = tokio::select! {
            _ = term.recv() => false,
            _ = int.recv() => false,
            () = proxy.broken() => true,
        };
        tracing::info!(broken, "draining; a second signal ends at once");
        tokio::select! {
            all = proxy.drain() => if !all { tracing::warn!("the deadline cut connections off") },
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        anyhow::ensure!(!broken, "a part of it has panicked (a defect, see the log above); start it again");
        Ok(())
    })
}

fn redirect(how: Redirect) -> anyhow::Result<()> {
    if how.clear {
        return redirect::clear().context("taking the rules away");
    }
    let rules = Rules::new(RedirectSettings {
        proxy_uid: how.proxy_uid,
        proxy_gid: how.proxy_gid,
        inbound_port: how.inbound_port,
        outbound_port: how.outbound_port,
        dns_port: how.dns_port,
        skip_inbound_ports: how.skip_inbound_ports,
        skip_outbound_ports: how.skip_outbound_ports,
        skip_inbound_from: Vec::new(),
        skip_outbound_to: Vec::new(),
    })?;
    if how.print {
        print!("{}", rules.to_nft());
        return Ok(());
    }
    redirect::apply(&rules).context("installing the rules")
}
