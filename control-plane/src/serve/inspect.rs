//! `Inspect`: what the mesh is and what proxies are told, for `meshctl`. Served on the operator's socket, and on loopback
//! where a setting says so: in a pod, that is for whoever the API server lets forward a port there.
//!
//! Explanations hold the very bodies that proxies are sent, so that `meshctl` decides with the same code and the
//! same words as they do.

mod explain;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tonic::{Request, Response, Status};
use weft_proto::v1;

use crate::custody::Custody;
use crate::publish::hub::Hub;
use crate::report::{Proxies, objects};
use crate::world::WorldHandle;

/// The service. Cloning it shares everything.
#[derive(Clone, Debug)]
pub struct Inspect {
    /// What is.
    pub world: WorldHandle,
    /// What is published.
    pub hub: Arc<Hub>,
    /// Who has what.
    pub proxies: Arc<Proxies>,
    /// Which roots there are.
    pub custody: Arc<Custody>,
    /// The name of this control plane.
    pub replica: Arc<str>,
}

impl Inspect {
    /// Waits until every attached proxy has everything up to `revision`, or so long has passed.
    pub async fn wait(&self, revision: u64, patience: Duration) -> bool {
        let arrival = async {
            let (mut published, mut news) = (self.hub.revisions(), self.proxies.news());
            while !self.proxies.all_have(revision, &self.hub) {
                let gone = tokio::select! {
                    changed = published.changed() => changed.is_err(),
                    changed = news.changed() => changed.is_err(),
                };
                if gone {
                    return false;
                }
            }
            true
        };
        timeout(patience.min(LONGEST_WAIT), arrival).await.unwrap_or(false)
    }

    fn seen(&self) -> v1::Seen {
        v1::Seen { epoch: self.custody.epoch().to_vec(), revision: self.hub.table().revision }
    }
}

#[tonic::async_trait]
impl v1::inspect_server::Inspect for Inspect {
    async fn status(&self, request: Request<v1::StatusRequest>) -> Result<Response<v1::StatusReply>, Status> {
        let request = request.into_inner();
        if request.revision > 0 {
            // Whoever lags is in the answer.
            let _complete =
                self.wait(request.revision, Duration::from_millis(request.wait_millis.into())).await;
        }
        let view = self.world.view();
        Ok(Response::new(v1::StatusReply {
            now: Some(self.seen()),
            replica: self.replica.to_string(),
            proxies: self.proxies.statuses(&self.hub),
            objects: objects(&view, &self.hub, &self.proxies),
            resources: u32::try_from(self.hub.table().len()).unwrap_or(u32::MAX),
            trust_domain: self.custody.domain().to_string(),
            roots: self.custody.roots(),
            build: BUILD.to_owned(),
        }))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainReply>, Status> {
        explain::explain(self, &request.into_inner()).map(Response::new)
    }

    async fn endpoints(
        &self,
        request: Request<v1::EndpointsRequest>,
    ) -> Result<Response<v1::EndpointsReply>, Status> {
        Ok(Response::new(explain::endpoints(&self.hub.table(), &request.into_inner().service)))
    }
}

/// Which build this is.
pub const BUILD: &str = concat!("weft-control-plane ", env!("CARGO_PKG_VERSION"));

const LONGEST_WAIT: Duration = Duration::from_secs(600);
