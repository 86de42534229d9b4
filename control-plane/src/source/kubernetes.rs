//! The objects of a Kubernetes API server, watched kind by kind: each watch decodes what it reads and no more
//! (`lite`), begins again where it has to (`watch`), and tells one gatherer (`gather`), which declares a whole
//! [`Reading`] to the world, as the other sources do.

mod kinds;
mod lite;
mod watch;
mod gather;

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use gather::{Gathered, State};
pub use kinds::{WATCHED, Watchable};
pub(crate) use watch::full;

use super::Reading;
use crate::world::WorldHandle;
use gather::Gatherer;
use watch::Pace;

/// A way to the API server: of the given kubeconfig, else of `KUBECONFIG`, else of the pod that this runs in.
///
/// # Errors
/// [`ClusterError`]; nothing has been sent yet.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ClusterError> {
    let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| ClusterError::Access { source };
    let mut config = match kubeconfig {
        Some(path) => {
            let read = Kubeconfig::read_from(path).map_err(|error| unreadable(error.into()))?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(read, &options).await.map_err(|error| unreadable(error.into()))?
        }
        None => Config::infer().await.map_err(|error| unreadable(error.into()))?,
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(DEAD);
    // Whoever asks paces itself, and says what goes wrong. The client would keep it for minutes, or for as long as
    // somebody in between says.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| unreadable(error.into()))
}

/// Why there is no way to an API server.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No credentials that can be used.
    #[error(
        "there is no way to the API server: {}; run in a pod with a service account, or give --kubeconfig",
        watch::full(&**source)
    )]
    Access {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The watches have ended, which they do not.
    #[error("the watches of the API server have ended; a defect")]
    Ended,
}

/// The watches. Dropping them ends them.
#[derive(Debug)]
pub struct Kubernetes {
    gatherer: Gatherer,
    _watches: JoinSet<()>,
}

impl Kubernetes {
    /// Begins to watch every kind of [`WATCHED`].
    #[must_use]
    pub fn watch(client: &Client) -> Self {
        Self::watch_at(client, Pace::default())
    }

    fn watch_at(client: &Client, pace: Pace) -> Self {
        let (heard, hear) = mpsc::channel(QUEUE);
        let mut watches = JoinSet::new();
        for kind in WATCHED {
            watches.spawn(watch::watch(*kind, client.clone(), pace, heard.clone()));
        }
        Self { gatherer: Gatherer::new(hear), _watches: watches }
    }

    /// What has been heard, for others to ask.
    #[must_use]
    pub fn gathered(&self) -> Gathered {
        self.gatherer.gathered()
    }

    /// Everything that there is, once it is known; it waits for an API server that is away.
    ///
    /// # Errors
    /// [`ClusterError::Ended`].
    pub async fn first(&mut self) -> Result<Reading, ClusterError> {
        self.gatherer.first().await.ok_or(ClusterError::Ended)
    }

    /// Declares what changes, for as long as there is a world.
    pub async fn follow(mut self, world: WorldHandle) {
        while let Some(reading) = self.gatherer.next().await {
            if world.declare(reading).await.is_none() {
                return;
            }
        }
    }
}

const CONNECT: Duration = Duration::from_secs(5);
/// A connection on which nothing has come for so long is dead: on a watch that is followed the API server sends a
/// bookmark about once a minute.
const DEAD: Duration = Duration::from_secs(150);
/// What is heard and not gathered yet; whoever hears more waits.
const QUEUE: usize = 1024;

#[cfg(test)]
mod tests;
