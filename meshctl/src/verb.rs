//! The verbs, one file each. A verb is a struct of its arguments with a `run`.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod completion;
pub(crate) mod demo;
pub(crate) mod demo_service;
pub(crate) mod endpoints;
pub(crate) mod explain;
pub(crate) mod identity;
pub(crate) mod inject;
pub(crate) mod install;
pub(crate) mod rotate;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod up;
pub(crate) mod version;
pub(crate) mod wait;

use std::path::PathBuf;

use anyhow::anyhow;

use crate::asked::Asked;
use crate::cluster::Which;
use crate::control_plane::{ControlPlane, Unreachable};
use crate::output::Output;

/// What every verb is given.
#[derive(Debug)]
pub(crate) struct Shell {
    /// Where answers go.
    pub(crate) output: Output,
    /// Of the control plane that is asked.
    pub(crate) state_dir: PathBuf,
    /// Whether that was said, so that no cluster is meant.
    pub(crate) is_local: bool,
    /// The cluster that is asked otherwise.
    pub(crate) cluster: Which,
}

impl Shell {
    /// Whoever can be asked about the mesh: the control plane at the socket; where there is none, those of a cluster.
    ///
    /// # Errors
    /// If there is none, with what to do.
    pub(crate) async fn asked(&self) -> anyhow::Result<Asked> {
        if !self.cluster.is_said() {
            match ControlPlane::connect(&self.state_dir).await {
                Ok(found) => return Ok(Asked::one(found)),
                Err(absent @ Unreachable::Absent { .. }) if !self.is_local => {
                    let cluster =
                        self.cluster.connect().await.map_err(|none| anyhow!("{absent}. Or {none}"))?;
                    return cluster.asked().await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.cluster.connect().await?.asked().await
    }

    /// The control plane that takes orders: the one at the socket. In a cluster that is `meshctl` in its pod, or the API
    /// server.
    ///
    /// # Errors
    /// If there is none, with what to do.
    pub(crate) async fn control_plane(&self) -> anyhow::Result<ControlPlane> {
        Ok(ControlPlane::connect(&self.state_dir).await?)
    }
}

/// `namespace/name`, both there.
pub(crate) fn namespaced(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(text.to_owned())
        }
        _ => Err("write namespace/name, like shop/web".to_owned()),
    }
}
