//! A control plane in a pod, through a port that the API server forwards: it reaches the pod's loopback, where nobody
//! else does, and takes the right to make `pods/portforward` where the mesh is installed. The API server's proxy of pods
//! would need the port to be open to the network, and carries no HTTP/2.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, anyhow};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::time::timeout;
use tonic::transport::Endpoint;

use crate::control_plane::ControlPlane;

/// Connects to the control plane in this pod.
///
/// # Errors
/// If the port cannot be forwarded, with the right that it takes.
pub(super) async fn control_plane(
    client: &Client,
    namespace: &str,
    pod: &str,
) -> anyhow::Result<ControlPlane> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let forwarding = timeout(PATIENCE, pods.portforward(pod, &[PORT])).await;
    let forwarding = forwarding
        .map_err(|_| anyhow!("nothing came within {PATIENCE:?}"))
        .and_then(|it| it.map_err(|error| anyhow!("{}", super::full(&error))));
    let mut forwarding = forwarding.with_context(|| {
        format!(
            "cannot forward a port to {namespace}/{pod}: it takes the right to create pods/portforward there"
        )
    })?;
    let stream = forwarding.take_stream(PORT).context("the port was not forwarded")?;
    // One connection is all that is forwarded, and all that is needed.
    let once = Arc::new(Mutex::new(Some((stream, forwarding))));
    let connector = tower::service_fn(move |_| {
        let taken = once.lock().ok().and_then(|mut once| once.take());
        async move {
            let (stream, forwarding) =
                taken.ok_or_else(|| std::io::Error::other("the forwarded connection has ended"))?;
            // It is kept up by a task of its own, which ends with the stream.
            drop(forwarding);
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    // The address is never used: the connector knows where to go.
    let endpoint = Endpoint::from_static("http://control-plane").timeout(ANSWER);
    let channel = timeout(PATIENCE, endpoint.connect_with_connector(connector)).await;
    let channel = channel.map_err(|_| anyhow!("nothing came within {PATIENCE:?}")).and_then(|it| Ok(it?));
    let channel = channel.with_context(|| {
        format!("{namespace}/{pod} does not answer at port {PORT}: it may be of an older version, without --inspect")
    })?;
    Ok(ControlPlane::at(channel))
}

/// Where a control plane answers questions on its pod's loopback; the chart says so.
const PORT: u16 = 15_012;
const PATIENCE: Duration = Duration::from_secs(15);
/// Every endpoint of a large mesh, over somebody's home network.
const ANSWER: Duration = Duration::from_secs(120);
