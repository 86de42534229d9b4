//! The control plane as a process: settings, logs, signals; everything else is the library's.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command};
use tokio::signal::unix::{SignalKind, signal};
use weft_control_plane::ControlPlane;
use weft_control_plane::config::{Config, SETTINGS, Setting};

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
    start_logging(config.log_json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(config))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-control-plane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut running = ControlPlane::start(config).await?;
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

fn start_logging(json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WEFT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json { logs.json().init() } else { logs.init() }
}
