//! Whoever is asked about the mesh: the control plane at a socket, or every one of a cluster, whose answers are one.

use weft_proto::v1;

use crate::cluster::merged;
use crate::control_plane::{ControlPlane, refused};

/// At least one control plane.
#[derive(Debug)]
pub(crate) struct Asked {
    first: ControlPlane,
    others: Vec<ControlPlane>,
}

impl Asked {
    /// The one that there is.
    pub(crate) const fn one(first: ControlPlane) -> Self {
        Self { first, others: Vec::new() }
    }

    /// All of these.
    pub(crate) const fn all(first: ControlPlane, others: Vec<ControlPlane>) -> Self {
        Self { first, others }
    }

    /// How the mesh stands.
    ///
    /// # Errors
    /// If one does not answer.
    pub(crate) async fn status(&self) -> anyhow::Result<v1::StatusReply> {
        let mut replies = Vec::with_capacity(1 + self.others.len());
        for control_plane in self.each() {
            let reply = control_plane.inspect().status(v1::StatusRequest::default()).await;
            replies.push(reply.map_err(|status| refused(&status))?.into_inner());
        }
        Ok(merged(replies))
    }

    /// What proxies are told for a request. One that the caller's proxy is attached to knows what that has applied.
    ///
    /// # Errors
    /// If one does not answer, or refuses the question.
    pub(crate) async fn explain(&self, request: v1::ExplainRequest) -> anyhow::Result<v1::ExplainReply> {
        let mut found = None;
        for control_plane in self.each() {
            let reply = control_plane.inspect().explain(request.clone()).await;
            let reply = reply.map_err(|status| refused(&status))?.into_inner();
            if reply.applied_revision > 0 {
                return Ok(reply);
            }
            found.get_or_insert(reply);
        }
        Ok(found.unwrap_or_default())
    }

    /// What is behind a Service: all know the same.
    ///
    /// # Errors
    /// If it does not answer.
    pub(crate) async fn endpoints(
        &self,
        request: v1::EndpointsRequest,
    ) -> anyhow::Result<v1::EndpointsReply> {
        let reply = self.first.inspect().endpoints(request).await;
        Ok(reply.map_err(|status| refused(&status))?.into_inner())
    }

    fn each(&self) -> impl Iterator<Item = &ControlPlane> {
        [&self.first].into_iter().chain(&self.others)
    }
}
