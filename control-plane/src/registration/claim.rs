//! What a workload may say of itself, checked once at the border.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use weft_manifests::crd::workload::{Origin, Sidecar, Workload, WorkloadPort};
use weft_manifests::meta::Metadata;
use weft_policy::identity::SpiffeId;
use weft_policy::protocol::AppProtocol;
use weft_proto::v1;

use crate::journal::record::{Name, Port, Registered};

/// What `claim` says of `workload`, as it is written down.
pub(super) fn checked(
    workload: &Name,
    peer: &SpiffeId,
    claim: &v1::Registration,
) -> Result<Registered, BadClaim> {
    let bad = |field, problem| BadClaim { field, problem };
    let address: IpAddr = claim.address.parse().map_err(|_| bad("address", "is no IP address"))?;
    // A v4 address in v6 clothes is the v4 address: one endpoint, one spelling.
    let address = address.to_canonical();
    let nowhere = address.is_unspecified() || address.is_multicast();
    if nowhere || matches!(address, IpAddr::V4(v4) if v4.is_broadcast()) {
        return Err(bad("address", "leads to no one host"));
    }
    if u16::try_from(claim.inbound_port).is_err() {
        return Err(bad("inbound_port", "is over 65535"));
    }
    if !(claim.zone.is_empty() || is_label_value(&claim.zone)) {
        return Err(bad("zone", "is no label value"));
    }
    let weight = claim.weight.max(1);
    if weight > MAX_WEIGHT {
        return Err(bad("weight", "is over 1000000"));
    }
    Ok(Registered {
        workload: workload.clone(),
        identity: peer.to_string(),
        address: address.to_string(),
        inbound_port: claim.inbound_port,
        ports: ports(&claim.ports)?,
        labels: labels(&claim.labels)?,
        zone: claim.zone.clone(),
        weight,
        going: false,
    })
}

/// The same as an object that Services select. `None` only if a later rule finds fault with what was recorded.
pub(super) fn to_workload(said: &Registered) -> Option<Workload> {
    let id: SpiffeId = said.identity.parse().ok()?;
    let mut meta = Metadata::new(&said.workload.namespace, &said.workload.name);
    meta.labels =
        said.labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
    let ports = said.ports.iter().map(|port| {
        let declared =
            usize::try_from(port.protocol).ok().and_then(|number| AppProtocol::ALL.get(number).copied());
        Some(WorkloadPort {
            name: port.name.as_str().into(),
            number: u16::try_from(port.number).ok()?,
            declared: declared.filter(|protocol| *protocol != AppProtocol::Detect),
            listen: None,
        })
    });
    let sidecar = match u16::try_from(said.inbound_port).ok()? {
        0 => Sidecar::Transparent,
        port => Sidecar::Listener(port),
    };
    Some(Workload {
        meta,
        address: said.address.parse().ok()?,
        further: Vec::new(),
        ports: ports.collect::<Option<_>>()?,
        service_account: id.as_workload()?.service_account.into(),
        zone: (!said.zone.is_empty()).then(|| Arc::from(said.zone.as_str())),
        weight: said.weight.max(1),
        sidecar,
        health: Vec::new(),
        origin: Origin::SelfRegistered,
    })
}

/// What is wrong with a registration. It never repeats what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("registration.{field} {problem}; correct the proxy's settings")]
pub struct BadClaim {
    field: &'static str,
    problem: &'static str,
}

fn ports(said: &[v1::RegisteredPort]) -> Result<Vec<Port>, BadClaim> {
    let bad = |problem| BadClaim { field: "ports", problem };
    if said.len() > MAX_PORTS {
        return Err(bad("has more than 64 entries"));
    }
    let mut ports: Vec<Port> = Vec::new();
    for port in said {
        if !(1..=u32::from(u16::MAX)).contains(&port.number) {
            return Err(bad("has a number that is not 1 to 65535"));
        }
        if !(port.name.is_empty() || is_port_name(&port.name)) {
            return Err(bad("has a name that is no DNS label"));
        }
        if v1::AppProtocol::try_from(port.protocol).is_err() {
            return Err(bad("has a protocol that this control plane does not know"));
        }
        let twice =
            |known: &Port| known.number == port.number || (!port.name.is_empty() && known.name == port.name);
        if ports.iter().any(twice) {
            return Err(bad("has a number or a name twice"));
        }
        ports.push(Port { name: port.name.clone(), number: port.number, protocol: port.protocol });
    }
    ports.sort_by_key(|port| port.number);
    Ok(ports)
}

fn labels(said: &[v1::Label]) -> Result<BTreeMap<String, String>, BadClaim> {
    let bad = |problem| BadClaim { field: "labels", problem };
    if said.len() > MAX_LABELS {
        return Err(bad("has more than 64 entries"));
    }
    let mut labels = BTreeMap::new();
    for label in said {
        if !is_label_key(&label.key) {
            return Err(bad("has a key that Kubernetes would not take"));
        }
        if !(label.value.is_empty() || is_label_value(&label.value)) {
            return Err(bad("has a value that Kubernetes would not take"));
        }
        if labels.insert(label.key.clone(), label.value.clone()).is_some() {
            return Err(bad("has a key twice"));
        }
    }
    Ok(labels)
}

/// `[prefix/]name`, as Kubernetes has it.
fn is_label_key(text: &str) -> bool {
    match text.rsplit_once('/') {
        None => is_label_value(text),
        Some((prefix, name)) => {
            prefix.len() <= 253 && prefix.split('.').all(is_port_name) && is_label_value(name)
        }
    }
}

/// 1 to 63 of letters, digits, dash, dot and underscore, with a letter or digit at either end.
fn is_label_value(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63
        && edge(text.as_bytes().first())
        && edge(text.as_bytes().last())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// A DNS label.
fn is_port_name(text: &str) -> bool {
    is_label_value(text) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

const MAX_PORTS: usize = 64;
const MAX_LABELS: usize = 64;
const MAX_WEIGHT: u32 = 1_000_000;
