//! One control plane among several: where the mesh's identity is kept that they share, who of them acts for all, and
//! what each tells the others.

use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use kube::Client;
use prometheus_client::registry::Registry as Metrics;
use tokio::sync::watch;

use super::StartError;
use crate::config::{Config, SourceKind};
use crate::custody::{Custody, Init, claim};
use crate::keys::{self, Keys, Place};
use crate::lead::members::Member;
use crate::lead::{Contest, Standing};
use crate::report::{Others, Proxies, Told};
use crate::source::kubernetes::connect;
use crate::status::Keeper;

/// What a control plane has in common with its replicas, on a cluster.
pub(super) struct Replicas {
    pub(super) client: Client,
    pub(super) standing: Standing,
    contest: Contest,
    member: Member,
    shared: Option<(Keys, File)>,
}

impl Replicas {
    /// Opens custody where it is kept, and gets ready to take part; `None` where there is no cluster.
    pub(super) async fn open(config: &Config) -> Result<(Arc<Custody>, Option<Self>), StartError> {
        let init = if config.init { Init::Yes } else { Init::No };
        let client = match config.source {
            SourceKind::Directory => return Ok((own(config, init).await?, None)),
            SourceKind::Kubernetes => connect(config.kubeconfig.as_deref()).await?,
        };
        let (mut contest, standing) = Contest::new(&client, &config.replicas.lease, &config.replica);
        let member =
            Member::new(&client, &config.replicas.lease, &config.replica, config.replicas.pod_uid.as_deref());
        let Some(secret) = &config.replicas.keys_secret else {
            let custody = own(config, init).await?;
            return Ok((custody, Some(Self { client, standing, contest, member, shared: None })));
        };
        // Nothing but the operator's socket is in it, and what is not there yet may be made.
        let (_, lock) = claim(&config.state_dir, Init::Yes)?;
        let place = Place::new(&client, secret, &config.replicas.lease);
        let (custody, keys) = keys::open(&place, init, &config.trust_domain, standing.clone()).await?;
        let mark = Arc::clone(&custody);
        contest.remember(Box::new(move || keys::mark_of(&mark)));
        Ok((custody, Some(Self { client, standing, contest, member, shared: Some((keys, lock)) })))
    }

    /// Makes how it stands among the others part of `/metrics`.
    pub(super) fn register(&self, registry: &mut Metrics) {
        self.contest.register(registry);
        if let Some((keys, _)) = &self.shared {
            keys.register(registry);
        }
    }

    /// Takes part until `stopped`, and acts for all replicas while it is our turn. What acts ends before somebody else is
    /// let begin. `keeper` says what goes through `says`.
    pub(super) async fn take_part(
        mut self,
        keeper: Keeper,
        says: watch::Receiver<Arc<String>>,
        proxies: Arc<Proxies>,
        stopped: watch::Receiver<bool>,
    ) {
        let (keys, _lock) = self.shared.map_or((None, None), |(keys, lock)| (Some(keys), Some(lock)));
        let follow = async {
            match keys {
                Some(keys) => keys.run().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.contest.run(stopped) => {}
            () = keeper.run(self.client) => {}
            () = self.member.run(says, |lines| proxies.hear(Others::of(&lines))) => {}
            () = follow => {}
        }
        let nothing_left = Told::default().line();
        tokio::join!(self.contest.leave(), self.member.leave(&nothing_left));
    }
}

/// Custody on the state directory, which is this control plane's alone.
async fn own(config: &Config, init: Init) -> Result<Arc<Custody>, StartError> {
    let (dir, domain) = (config.state_dir.clone(), config.trust_domain.clone());
    let open = move || Custody::open(&dir, init, &domain, SystemTime::now());
    Ok(Arc::new(tokio::task::spawn_blocking(open).await.map_err(|_| StartError::Interrupted)??))
}
