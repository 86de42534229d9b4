//! What an operator does, over the control plane's own socket: apply files, make tokens, ask for status.

use std::path::Path;

use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use weft_proto::v1;

use crate::eventually::PATIENCE;

/// The operator's clients.
#[derive(Clone, Debug)]
pub struct Operator {
    admin: v1::admin_client::AdminClient<Channel>,
    inspect: v1::inspect_client::InspectClient<Channel>,
}

impl Operator {
    /// Connects to the socket in a state directory.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn at(socket: &Path) -> Self {
        let path = socket.to_path_buf();
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://operator").connect_with_connector(connect).await;
        let channel = channel.expect("the operator's socket is there while the control plane runs");
        Self {
            admin: v1::admin_client::AdminClient::new(channel.clone()),
            inspect: v1::inspect_client::InspectClient::new(channel),
        }
    }

    /// Writes one file; an empty text deletes it. Returns when it has been read, not when proxies have it.
    ///
    /// # Panics
    /// If the call itself fails; what is wrong with the file is in the reply.
    pub async fn apply(&self, name: &str, text: &str) -> v1::ApplyReply {
        let file = v1::apply_request::File { name: name.to_owned(), text: text.as_bytes().to_vec() };
        let request = v1::ApplyRequest { files: vec![file], dry_run: false };
        self.admin.clone().apply(request).await.expect("the files are applied or refused").into_inner()
    }

    /// As [`apply`](Self::apply), and returns when every proxy has it: `meshctl apply --wait`.
    ///
    /// # Panics
    /// If it is refused, or some proxy does not take it.
    pub async fn apply_and_wait(&self, name: &str, text: &str) -> v1::StatusReply {
        let reply = self.apply(name, text).await;
        assert!(reply.applied, "{name} was refused: {:#?}", reply.findings);
        let status = self.status(reply.revision).await;
        let lagging: Vec<_> =
            status.proxies.iter().filter(|proxy| proxy.attached && !proxy.current).collect();
        assert!(lagging.is_empty(), "{name} did not reach {lagging:#?}");
        status
    }

    /// Where the mesh stands, once every proxy has `revision`; 0 asks for no revision.
    ///
    /// # Panics
    /// If the call fails.
    pub async fn status(&self, revision: u64) -> v1::StatusReply {
        let wait_millis = PATIENCE.as_millis().try_into().expect("seconds");
        let request = v1::StatusRequest { revision, wait_millis };
        self.inspect.clone().status(request).await.expect("status is always answered").into_inner()
    }

    /// Makes a join token.
    ///
    /// # Errors
    /// What the control plane says against it.
    pub async fn token(
        &self,
        request: v1::CreateTokenRequest,
    ) -> Result<v1::CreateTokenReply, tonic::Status> {
        Ok(self.admin.clone().create_token(request).await?.into_inner())
    }

    /// Everything that decides about calls from a workload to a destination.
    ///
    /// # Errors
    /// What the control plane says against it.
    pub async fn explain(&self, from: &str, to: &str, port: u16) -> Result<v1::ExplainReply, tonic::Status> {
        let request = v1::ExplainRequest { from: from.to_owned(), to: to.to_owned(), port: port.into() };
        Ok(self.inspect.clone().explain(request).await?.into_inner())
    }

    /// The healthy endpoints of a service's port, by the names of their workloads.
    ///
    /// # Panics
    /// If what comes back is not what the protocol says.
    pub async fn healthy(&self, service: &str, port: u16) -> Vec<String> {
        let request = v1::EndpointsRequest { service: service.to_owned() };
        let reply = self.inspect.clone().endpoints(request).await.expect("endpoints are always answered");
        let name = format!("{service}:{port}");
        let found = reply.into_inner().endpoints.into_iter().filter(|resource| resource.name == name);
        let sets = found.map(|resource| v1::Endpoints::decode(resource.body).expect("its own bytes"));
        let endpoints = sets.flat_map(|set| set.groups).flat_map(|group| group.endpoints);
        endpoints.filter(|one| one.health() == v1::Health::Healthy).map(|one| one.name).collect()
    }

    /// Refuses somebody from now on.
    ///
    /// # Errors
    /// What the control plane says against it.
    pub async fn deny(&self, whom: v1::denial::Whom) -> Result<v1::DenyReply, tonic::Status> {
        let request = v1::DenyRequest { denial: Some(v1::Denial { whom: Some(whom) }) };
        Ok(self.admin.clone().deny_identity(request).await?.into_inner())
    }

    /// Takes that back.
    ///
    /// # Errors
    /// What the control plane says against it.
    pub async fn allow(&self, whom: v1::denial::Whom) -> Result<v1::DenyReply, tonic::Status> {
        let request = v1::DenyRequest { denial: Some(v1::Denial { whom: Some(whom) }) };
        Ok(self.admin.clone().allow_identity(request).await?.into_inner())
    }

    /// Forgets a workload.
    ///
    /// # Errors
    /// What the control plane says against it.
    pub async fn forget(&self, workload: &str) -> Result<v1::ForgetReply, tonic::Status> {
        let request = v1::ForgetRequest { workload: workload.to_owned() };
        Ok(self.admin.clone().forget_workload(request).await?.into_inner())
    }

    /// The finger on the root, for settings that need the channel itself.
    ///
    /// # Errors
    /// What the control plane says against it.
    pub async fn rotate(&self, step: &str) -> Result<v1::RotateRootReply, tonic::Status> {
        let request = v1::RotateRootRequest { step: step.to_owned() };
        Ok(self.admin.clone().rotate_root(request).await?.into_inner())
    }
}
