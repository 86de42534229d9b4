//! The control plane as a process: settings, logs, signals; everything else is the library's.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Arg, ArgAction, Command};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use weft_control_plane::ControlPlane;
use weft_control_plane::config::{Config, SETTINGS, Setting};
use weft_control_plane::descriptors;

fn main() -> ExitCode {
    let said = command().get_matches();
    let value = |setting: &Setting| -> Option<String> {
        let flag = if setting.switch {
            said.get_flag(setting.flag).then(|| "true".to_owned())
        } else {
            said.get_one::<String>(setting.flag).cloned()
        };
        flag.or_else(|| std::env::var(setting.variable()).ok())
    };
    let config = match Config::read(value) {
        Ok(config) => config,
        Err(bad) => {
            eprintln!("{bad}");
            return ExitCode::from(2);
        }
    };
    let started = start_logging(config.log_json)
        .and_then(|()| Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?));
    match started.and_then(|runtime| runtime.block_on(run(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-control-plane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    descriptors::as_many_as_permitted();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // An API server that is away is waited for, and an operator may lose patience first.
    let mut running = tokio::select! {
        started = ControlPlane::start(config) => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        part = running.failed() => anyhow::bail!("{part} ended by itself; the log says why"),
    }
    running.shutdown().await;
    Ok(())
}

fn command() -> Command {
    let command = Command::new("weft-control-plane")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The path of a config: reads manifests, issues certificates, tells proxies")
        .after_help("Every flag is also an environment variable: --config-dir is WEFT_CONFIG_DIR.");
    command.args(SETTINGS.iter().map(|setting| {
        let help = match setting.default {
            Some(default) if !setting.switch => format!("{} [default: {default}]", setting.help),
            _ => setting.help.to_owned(),
        };
        let action = if setting.switch { ArgAction::SetTrue } else { ArgAction::Set };
        Arg::new(setting.flag).long(setting.flag).help(help).action(action)
    }))
}

fn start_logging(json: bool) -> anyhow::Result<()> {
    let wanted = std::env::var("WEFT_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter =
        wanted.parse::<Targets>().context("WEFT_LOG is not a list like info,weft_control_plane=debug")?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines = if json { lines.json().boxed() } else { lines.boxed() };
    tracing_subscriber::registry().with(filter).with(lines).init();
    Ok(())
}
