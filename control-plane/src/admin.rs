//! `Admin`: what an operator may do. Served on a UNIX socket that only the owner of the state directory can open,
//! so whoever gets here owns the keys anyway.
//!
//! `Apply` writes the config directory and nothing else: what is in force is always what is in the files.

mod apply;
mod identities;
mod socket;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tonic::{Request, Response, Status};
use weft_certs::rotation::LiveProxy;
use weft_proto::v1;

use crate::attest::{JoinTokens, Wanted};
use crate::custody::{Custody, RotationStep};
use crate::registration::Registry;
use crate::report::Proxies;
use crate::source::directory::Directory;
use crate::source::follow::Rescan;
use crate::world::WorldHandle;

pub use socket::{SocketError, listen};

/// The service. Cloning it shares everything.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where files are written; `None`: objects come from an API server, which is where one applies them.
    pub files: Option<Files>,
    /// With which settings they are checked.
    pub world: WorldHandle,
    /// Keys and tokens.
    pub custody: Arc<Custody>,
    /// Who announces itself.
    pub registry: Arc<Registry>,
    /// Who has which bundle.
    pub proxies: Arc<Proxies>,
}

/// The config directory.
#[derive(Clone, Debug)]
pub struct Files {
    /// Where files are written.
    pub directory: Directory,
    /// To have them read.
    pub rescan: Rescan,
}

#[tonic::async_trait]
impl v1::admin_server::Admin for Admin {
    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Result<Response<v1::ApplyReply>, Status> {
        apply::apply(self, request.into_inner()).await.map(Response::new)
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenReply>, Status> {
        let request = request.into_inner();
        let service_account = match request.service_account.as_str() {
            "" => self.declared_account(&request.workload).unwrap_or_else(|| "default".to_owned()),
            said => said.to_owned(),
        };
        let wanted = Wanted {
            workload: request.workload,
            service_account,
            lifetime: Duration::from_secs(request.lifetime_secs.into()),
            uses: request.uses,
        };
        if self.custody.is_shared() {
            return Err(Status::failed_precondition(
                "join tokens need a state directory that outlives the control plane, and this one keeps the mesh's \
                 identity in a Secret, for several replicas: pods are admitted by their own tokens",
            ));
        }
        let custody = Arc::clone(&self.custody);
        let create = move || {
            let tokens = JoinTokens::new(Arc::clone(custody.ledger()), custody.domain().clone());
            tokens.create(&wanted, custody.presented_root(), SystemTime::now())
        };
        let created =
            blocking(create).await?.map_err(|error| Status::new(error.code(), error.to_string()))?;
        tracing::info!(identity = %created.identity, "a join token was created");
        Ok(Response::new(v1::CreateTokenReply {
            token: created.token.to_string(),
            identity: created.identity.to_string(),
            not_after_unix: created.not_after_unix,
        }))
    }

    async fn rotate_root(
        &self,
        request: Request<v1::RotateRootRequest>,
    ) -> Result<Response<v1::RotateRootReply>, Status> {
        let step = match request.into_inner().step.as_str() {
            "" => None,
            step => Some(
                step.parse::<RotationStep>()
                    .map_err(|unknown| Status::invalid_argument(unknown.to_string()))?,
            ),
        };
        let (custody, sequences) = (Arc::clone(&self.custody), self.proxies.trust_sequences());
        let rotate = move || {
            let live: Vec<_> = sequences
                .iter()
                .map(|(name, sequence)| LiveProxy { name, acknowledged: *sequence })
                .collect();
            if let Some(step) = step {
                custody.rotate(step, &live, SystemTime::now())?;
            }
            Ok::<_, crate::custody::CustodyError>(custody.rotation_status(&live))
        };
        let (phase, waiting_for) =
            blocking(rotate).await?.map_err(|error| Status::new(error.code(), error.to_string()))?;
        Ok(Response::new(v1::RotateRootReply { phase: phase.to_string(), waiting_for }))
    }

    async fn deny_identity(
        &self,
        request: Request<v1::DenyRequest>,
    ) -> Result<Response<v1::DenyReply>, Status> {
        identities::change(self, request.into_inner(), Custody::deny).await.map(Response::new)
    }

    async fn allow_identity(
        &self,
        request: Request<v1::DenyRequest>,
    ) -> Result<Response<v1::DenyReply>, Status> {
        identities::change(self, request.into_inner(), Custody::allow).await.map(Response::new)
    }

    async fn forget_workload(
        &self,
        request: Request<v1::ForgetRequest>,
    ) -> Result<Response<v1::ForgetReply>, Status> {
        identities::forget(self, &request.into_inner().workload).await.map(Response::new)
    }
}

impl Admin {
    fn declared_account(&self, workload: &str) -> Option<String> {
        let (namespace, name) = workload.split_once('/')?;
        Some(self.world.view().set.workload(namespace, name)?.service_account.to_string())
    }
}

/// Runs what waits for the disk where it holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Status::internal("the work panicked; a defect"))
}
