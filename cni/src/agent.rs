//! The agent of a node: answers the plugin, keeps it in the node's CNI configuration, and looks after pods that have started
//! without it.
//!
//! It asks nobody but its node: no API server has to answer for a pod to start, and it needs no right there.

mod install;
mod namespaces;
mod numbers;
mod repair;
mod serve;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use install::Place;
pub use namespaces::{Namespaces, RulesFailed};
pub use numbers::Numbers;

/// Where everything is, as the agent sees it.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The node's network namespaces.
    pub namespaces: Namespaces,
    /// Where the plugin finds us.
    pub socket: PathBuf,
    /// The node's CNI folders.
    pub place: Place,
    /// Where `/metrics` and `/ready` are asked.
    pub listen: std::net::SocketAddr,
}

impl Agent {
    /// Works until `stopped`, and then takes the plugin out of the node's configuration: pods that start while nobody is
    /// here wait for the next agent, with nothing in them running.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) -> Result<(), AgentError> {
        let numbers = Arc::new(Numbers::default());
        let socket = self.socket.display().to_string();
        let questions = serve::listen(&self.socket)
            .map_err(|source| AgentError::Socket { socket: socket.clone(), source })?;
        let asked = tokio::net::TcpListener::bind(self.listen)
            .await
            .map_err(|source| AgentError::Listen { addr: self.listen, source })?;
        tracing::info!(socket, listen = %self.listen, "answers the plugin");
        tokio::select! {
            () = serve::serve(questions, self.namespaces.clone(), Arc::clone(&numbers)) => {}
            () = numbers::serve(asked, Arc::clone(&numbers)) => {}
            () = self.keep_installed(&numbers) => {}
            () = self.look_after(&numbers) => {}
            // A sender that is gone has stopped too.
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        let place = self.place.clone();
        match tokio::task::spawn_blocking(move || place.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the plugin is still in the node's configuration"),
            Err(_) => tracing::error!("leaving the node's configuration panicked; a defect"),
        }
        Ok(())
    }

    /// Other plugins write their configuration anew when they are upgraded, and know nothing of us.
    async fn keep_installed(&self, numbers: &Numbers) {
        let mut trouble = None;
        loop {
            let (place, socket) = (self.place.clone(), crate::plugin::SOCKET);
            let kept = tokio::task::spawn_blocking(move || place.keep(socket)).await;
            let wrong = match kept {
                Ok(Ok(changed)) => {
                    if changed {
                        tracing::info!(folder = %self.place.configurations.display(), "the plugin stands in the node's configuration");
                    }
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it panicked; a defect".to_owned()),
            };
            numbers.installed(wrong.is_none());
            if wrong != trouble
                && let Some(wrong) = &wrong
            {
                tracing::error!(%wrong, "the plugin is not in the node's configuration; it is tried again");
            }
            trouble = wrong;
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look_after(&self, numbers: &Arc<Numbers>) {
        loop {
            tokio::time::sleep(EVERY).await;
            let (namespaces, numbers) = (self.namespaces.clone(), Arc::clone(numbers));
            if tokio::task::spawn_blocking(move || repair::round(&namespaces, &numbers)).await.is_err() {
                tracing::error!("looking after pods panicked; a defect");
            }
        }
    }
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The plugin would not find it.
    #[error("cannot listen at {socket}: {source}; is its folder the node's /run/weft-cni, and writable?")]
    Socket {
        /// Where.
        socket: String,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody could ask how it is.
    #[error("cannot listen at {addr}: {source}")]
    Listen {
        /// Where.
        addr: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// How often the node is looked at.
const EVERY: Duration = Duration::from_secs(1);
