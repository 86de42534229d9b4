//! The webhooks among the parts of a control plane: bound with the other ports, served beside them.

use std::sync::Arc;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::feed::Feed;
use super::{StartError, bind, named};
use crate::config::{Config, WebhookConfig};
use crate::custody::Custody;
use crate::webhook::{Fronts, Place, Pods, Registered, Turn, Webhooks, keep_registered};

/// Webhooks that are about to be served.
pub(super) struct Admission {
    listener: TcpListener,
    client: Client,
    settings: WebhookConfig,
    place: watch::Sender<Place>,
}

impl Admission {
    /// `None`: nobody asks for them.
    pub(super) async fn bind(config: &Config, feed: &Feed) -> Result<Option<Self>, StartError> {
        let (Some(settings), Some(client)) = (config.webhook.clone(), feed.client()) else { return Ok(None) };
        let (place, _) = watch::channel(Place::Unknown);
        Ok(Some(Self { listener: bind(settings.listen).await?, client, settings, place }))
    }

    /// Whether it is us who act on what is the whole cluster's, as it will be found out.
    pub(super) fn turn(&self) -> Turn {
        Turn::told(self.place.subscribe())
    }

    /// Each part is a task, as all are.
    pub(super) fn serve(self, custody: &Arc<Custody>, tasks: &mut JoinSet<&'static str>) {
        let Self { listener, client, settings, place } = self;
        let fronts = Fronts::new(Arc::clone(custody), &settings.name);
        let pods = Pods::new(settings.proxy, Arc::clone(custody));
        let webhooks = Arc::new(Webhooks::new(pods));
        tasks.spawn(named("webhooks", webhooks.serve(listener, Arc::new(fronts))));
        let registered = Registered::both(&settings.configuration, &settings.name);
        let kept = keep_registered(client, registered, settings.failure, custody.trust_changes(), place);
        tasks.spawn(named("webhook configurations", kept));
    }
}
