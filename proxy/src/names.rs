//! Mesh names for the DNS listener: what discovery knows of them.

use std::pin::Pin;
use std::sync::Arc;

use weft_policy::facts::Destination;

use crate::dns::{Found, Names};
use crate::shared::Shared;

/// Answers from the snapshot, asking the control plane on first use.
pub(crate) struct MeshNames {
    shared: Arc<Shared>,
    zones: Vec<String>,
}

impl MeshNames {
    /// Names that could be the mesh's end in one of `zones`; others are never asked for, so that a lookup of a
    /// foreign name costs the control plane nothing.
    pub(crate) fn new(shared: Arc<Shared>, zones: Vec<String>) -> Self {
        Self { shared, zones }
    }
}

impl Names for MeshNames {
    fn lookup<'a>(&'a self, name: &'a str) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
        Box::pin(async move {
            let host = name.strip_suffix('.').unwrap_or(name);
            let ours = self.zones.iter().any(|zone| host.ends_with(zone.as_str()));
            if !ours {
                return Found::NotOurs;
            }
            let destination = Destination::Name { host, port: 0 };
            match self.shared.current.answering(&destination).await {
                Ok(snapshot) => match snapshot.service_at(&destination) {
                    Some(service) => Found::Addresses(service.vips.clone()),
                    None => Found::NotOurs,
                },
                Err(_) => Found::NotNow,
            }
        })
    }
}
