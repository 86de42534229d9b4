//! Where the world is fed from: opened and read whole before anything is served, followed afterwards.

use std::time::Duration;

use kube::Client;

use super::StartError;
use crate::admin::Files;
use crate::attest::review::{AUDIENCE, PodTokens, SharedPodTokens};
use crate::config::Config;
use crate::source::Reading;
use crate::source::directory::{Directory, read_all};
use crate::source::follow::{Rescan, RescanRequests, follow, rescans};
use crate::source::kubernetes::{Gathered, Kubernetes};
use crate::source::last_good::LastGood;
use crate::world::WorldHandle;

/// A source that has been read once.
pub(super) enum Feed {
    /// Files.
    Directory {
        directory: Directory,
        last_good: LastGood,
        rescan: Duration,
        ask: Rescan,
        asked: RescanRequests,
    },
    /// An API server.
    Kubernetes(Client, Box<Kubernetes>),
}

impl Feed {
    /// Reads everything there is.
    pub(super) async fn open(config: &Config, client: Option<Client>) -> Result<(Self, Reading), StartError> {
        match client {
            None => Self::open_directory(config).await,
            Some(client) => {
                let mut kubernetes = Kubernetes::watch(&client);
                let reading = kubernetes.first().await?;
                Ok((Self::Kubernetes(client, kubernetes.into()), reading))
            }
        }
    }

    async fn open_directory(config: &Config) -> Result<(Self, Reading), StartError> {
        let directory = Directory::new(&config.config_dir);
        let last_good = LastGood::within(&config.state_dir);
        let read = {
            let (directory, last_good) = (directory.clone(), last_good.clone());
            move || {
                let reading = read_all(&directory)?;
                let before = last_good.reading();
                // What is good is copied before anybody is told of it: a mistake and a restart may come right after.
                if let Ok(texts) = directory.texts()
                    && let Err(error) = last_good.keep(&texts, &Reading::of(&texts).findings)
                {
                    tracing::warn!(%error, "the last good versions could not be copied");
                }
                Ok::<_, StartError>(reading.keeping(&before.objects))
            }
        };
        let reading = tokio::task::spawn_blocking(read).await.map_err(|_| StartError::Interrupted)??;
        let (ask, asked) = rescans();
        Ok((Self::Directory { directory, last_good, rescan: config.rescan, ask, asked }, reading))
    }

    /// The files that an operator's orders change, if there are any.
    pub(super) fn files(&self) -> Option<Files> {
        match self {
            Self::Directory { directory, ask, .. } => {
                Some(Files { directory: directory.clone(), rescan: ask.clone() })
            }
            Self::Kubernetes(..) => None,
        }
    }

    /// The way to the API server, if there is one.
    pub(super) fn client(&self) -> Option<Client> {
        match self {
            Self::Directory { .. } => None,
            Self::Kubernetes(client, _) => Some(client.clone()),
        }
    }

    /// What is known of the cluster, if there is one.
    pub(super) fn gathered(&self) -> Option<Gathered> {
        match self {
            Self::Directory { .. } => None,
            Self::Kubernetes(_, kubernetes) => Some(kubernetes.gathered()),
        }
    }

    /// By what pods are admitted, if there is a cluster.
    pub(super) fn pod_tokens(&self, config: &Config) -> Option<SharedPodTokens> {
        match self {
            Self::Directory { .. } => None,
            Self::Kubernetes(client, kubernetes) => {
                let (client, gathered) = (client.clone(), kubernetes.gathered());
                Some(PodTokens::new(client, gathered, AUDIENCE, config.trust_domain.clone()).into())
            }
        }
    }

    /// Tells the world what changes, for as long as there is one.
    pub(super) async fn follow(self, world: WorldHandle) {
        match self {
            Self::Directory { directory, last_good, rescan, ask, asked } => {
                // The watcher ends when nobody can ask any more.
                drop(ask);
                follow(directory, last_good, rescan, world, asked).await;
            }
            Self::Kubernetes(_, kubernetes) => kubernetes.follow(world).await,
        }
    }
}
