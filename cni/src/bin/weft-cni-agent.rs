//! `weft-cni-agent`: runs on every node, in a DaemonSet. Where things are is said by its image and its chart, and is the
//! same everywhere; the environment may say otherwise.

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use weft_cni::agent::{Agent, Namespaces, Place};

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_target(false).with_ansi(false).with_writer(std::io::stderr).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the agent does not run");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let said = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let path = |name: &str, otherwise: &str| PathBuf::from(said(name, otherwise));
    let agent = Agent {
        namespaces: Namespaces {
            folder: path("WEFT_CNI_NAMESPACES", "/run/netns"),
            proxy: path("WEFT_CNI_PROXY", "/weft-proxy"),
            nft: path("WEFT_CNI_NFT", "/usr/sbin/nft"),
        },
        socket: path("WEFT_CNI_SOCKET", "/run/weft-cni/agent.sock"),
        place: Place {
            program: path("WEFT_CNI_PROGRAM", "/weft-cni"),
            programs: path("WEFT_CNI_PROGRAMS", "/host/opt/cni/bin"),
            configurations: path("WEFT_CNI_CONFIGURATIONS", "/host/etc/cni/net.d"),
        },
        listen: said("WEFT_CNI_LISTEN", "0.0.0.0:15023").parse()?,
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            stop.send_replace(true);
        });
        agent.run(stopped).await?;
        Ok(())
    })
}
