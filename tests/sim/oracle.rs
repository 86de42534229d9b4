//! What must hold, always and at rest; the numbers are those of the protocol's invariants.
//!
//! Always: a snapshot is the result of whole transactions and moves forward (I3), holds nothing that its proxy's identity
//! may not see (I4), an identity is the one that was attested (I8), and without a control plane nothing changes (I10). At
//! rest: what is published is what compiling everything anew gives (I1), and every proxy holds exactly what a new one
//! would be told (I2, I7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use weft_control_plane::compile::Compiler;
use weft_control_plane::compile::table::{Id, Table};
use weft_control_plane::custody::trust_of;
use weft_control_plane::publish::interest::{Root, Viewer};
use weft_control_plane::publish::transaction;
use weft_policy::endpoint::Health;
use weft_policy::snapshot::{Alias, Snapshot};
use weft_proto::decode;
use weft_proto::v1::Type;
use weft_proto::value::Value;
use weft_proxy::control::Control;

use crate::manifests::{API, CART, NOWHERE, mark_in};
use crate::mesh::{Mesh, PROXIES};
use crate::plane::DOMAIN;
use crate::sidecar::Sidecar;

/// What was seen of each proxy, to see whether it goes forward.
#[derive(Default)]
pub(crate) struct Oracle {
    seen: BTreeMap<&'static str, Seen>,
}

#[derive(Default)]
struct Seen {
    life: u32,
    snapshot: Option<Arc<Snapshot>>,
    mark: u32,
    revision: u64,
    trust: u64,
    not_after: u64,
}

impl Oracle {
    /// Asks what must hold at every moment.
    pub(crate) fn look(&mut self, mesh: &mut Mesh<'_>) -> Result<(), String> {
        let now = mesh.elapsed();
        for (proxy, (workload, account, _)) in mesh.proxies.iter().zip(PROXIES) {
            let Some(control) = proxy.control() else { continue };
            let seen = self.seen.entry(workload).or_default();
            if seen.life != proxy.life() {
                *seen = Seen { life: proxy.life(), ..Seen::default() };
            }
            let us = control.us();
            let namespace = workload.split('/').next().unwrap_or_default();
            if us.id.as_str() != format!("spiffe://{DOMAIN}/ns/{namespace}/sa/{account}") {
                return Err(format!("I8: {workload} has become {}", us.id));
            }
            let not_after = us.not_after.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
            if not_after != seen.not_after {
                seen.not_after = not_after;
                mesh.trace.note(now, || format!("{workload} has a certificate until {not_after}"));
            }
            let trust = sequence(&control);
            if trust < seen.trust {
                return Err(format!("{workload} trusts by bundle {trust} after {}", seen.trust));
            }
            if trust > seen.trust {
                seen.trust = trust;
                mesh.trace.note(now, || format!("{workload} trusts by bundle {trust}"));
            }
            let snapshot = control.snapshot();
            if seen.snapshot.as_ref().is_some_and(|before| Arc::ptr_eq(before, &snapshot)) {
                continue;
            }
            let down_for = mesh.plane_down_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
            // What it has kept of an earlier life it may begin with.
            let decides = seen.snapshot.as_ref().is_some_and(|before| before.inbound.is_some());
            if decides && down_for > LONGEST_UNDER_WAY {
                return Err(format!("I10: {workload} decides by something else, without a control plane"));
            }
            let marks = marks(&snapshot);
            if marks.len() > 1 {
                return Err(format!("I3: {workload} holds parts of several transactions: {marks:?}"));
            }
            let mark = marks.first().copied().unwrap_or(seen.mark);
            if mark < seen.mark || snapshot.revision < seen.revision {
                let (before, after) = ((seen.mark, seen.revision), (mark, snapshot.revision));
                return Err(format!("I3: {workload} has gone back from {before:?} to {after:?}"));
            }
            if mark > mesh.plane.declared().mark {
                return Err(format!("{workload} holds {mark}, which nobody has declared"));
            }
            may_see(workload, namespace, &snapshot)?;
            (seen.mark, seen.revision) = (mark, snapshot.revision);
            seen.snapshot = Some(Arc::clone(&snapshot));
            mesh.trace.note(now, || format!("{workload} holds {}", shown(&snapshot)));
        }
        Ok(())
    }

    /// What keeps the mesh from being at rest.
    pub(crate) fn lacking(mesh: &Mesh<'_>) -> Option<String> {
        let Some(core) = mesh.plane.core() else { return Some("there is no control plane".to_owned()) };
        if core.world.view().revision != core.hub.table().revision || core.hub.unsettled_since().is_some() {
            return Some("something is not published yet".to_owned());
        }
        let table = core.hub.table();
        for proxy in &mesh.proxies {
            let workload = proxy.workload;
            let Some(control) = proxy.control() else { return Some(format!("{workload} is nobody")) };
            if !core.proxies.is_attached(workload) {
                return Some(format!("{workload} has no stream"));
            }
            let bundle = core.custody.bundle().sequence();
            if sequence(&control) != bundle {
                return Some(format!("{workload} trusts by {}, not {bundle}", sequence(&control)));
            }
            if let Some(lacks) = differs(proxy, &control.snapshot(), &table) {
                return Some(format!("{workload}: {lacks}"));
            }
        }
        declared_differs(mesh)
    }

    /// Asks what must hold of a mesh at rest.
    pub(crate) fn at_rest(mesh: &Mesh<'_>) -> Result<(), String> {
        let core = mesh.plane.core().ok_or("there is no control plane")?;
        let view = core.world.view();
        let trust = trust_of(&core.custody.bundle());
        let anew = Compiler::from_scratch(&view.set, &[trust]);
        let differs = anew.table().difference(&core.hub.table());
        if !differs.is_empty() {
            return Err(format!("I1: compiling anew gives others of {differs:?}"));
        }
        Ok(())
    }
}

/// By which bundle a proxy trusts its own domain.
fn sequence(control: &Control) -> u64 {
    control.trust().current().of(DOMAIN).map_or(0, |bundle| bundle.sequence())
}

/// All marks of `shop/api` and of what belongs to it.
fn marks(snapshot: &Snapshot) -> BTreeSet<u32> {
    let is_api = |name: &str| name == "shop/api";
    let services = snapshot.services.iter().filter(|(name, _)| is_api(&name.to_string()));
    let routes = snapshot.routes.iter().filter(|(name, _)| is_api(&name.to_string()));
    let mut marks: BTreeSet<u32> =
        services.filter_map(|(_, service)| mark_in(&format!("{:?}", service.ports))).collect();
    marks.extend(routes.filter_map(|(_, routes)| mark_in(&format!("{routes:?}"))));
    for (of, set) in &snapshot.endpoints {
        if of.to_string().starts_with("shop/api:") {
            let statics = set.endpoints().iter().filter(|one| one.name.contains("static-"));
            marks.extend(statics.map(|one| one.weight));
        }
    }
    marks
}

/// I4: its own inbound policy, and of routes those for its namespace.
fn may_see(workload: &str, namespace: &str, snapshot: &Snapshot) -> Result<(), String> {
    if let Some(inbound) = &snapshot.inbound {
        let of = format!("{}/{}", inbound.workload.namespace, inbound.workload.name);
        if of != workload {
            return Err(format!("I4: {workload} has been told the policy of {of}"));
        }
    }
    let other = if namespace == "shop" { "class-bank" } else { "class-shop" };
    for (name, routes) in &snapshot.routes {
        if format!("{routes:?}").contains(other) {
            return Err(format!(
                "I4: {workload} has been told routes of {name} that are for others ({other})"
            ));
        }
    }
    Ok(())
}

/// What a proxy holds differently from what a new one would be told.
fn differs(proxy: &Sidecar, snapshot: &Snapshot, table: &Table) -> Option<String> {
    let namespace = proxy.workload.split('/').next().unwrap_or_default();
    let viewer = Viewer { namespace: namespace.into(), workload: proxy.workload.into() };
    let mut roots = vec![Root { id: Id::new(Type::Inbound, proxy.workload), with_deps: false }];
    // What it has kept of an earlier life it has asked for too.
    let is_known =
        |host: &str| snapshot.hosts.contains_key(host) || snapshot.absent.contains_key(&Alias::host(host));
    let kept = [API, CART, NOWHERE].into_iter().filter(|host| is_known(host));
    for host in proxy.called().into_iter().chain(kept) {
        if !is_known(host) {
            return Some(format!("has heard nothing of {host}"));
        }
        roots.push(Root { id: Id::new(Type::Service, Alias::host(host).to_string()), with_deps: true });
    }
    let reached: BTreeSet<Id> = roots.iter().flat_map(|root| root.reach(table, &viewer)).collect();
    let (mut services, mut routes, mut endpoints) = (0, 0, 0);
    for id in reached {
        let Some(compiled) = table.resource(&id, namespace) else { continue };
        let read = match decode::resource(&transaction::resource(&id, compiled)) {
            Ok(read) => read.value,
            Err(rejected) => return Some(format!("what is published of {id:?} cannot be read: {rejected}")),
        };
        let holds = match &read {
            Value::Trust(_) => true,
            Value::Inbound(enforced) => snapshot.inbound.as_ref() == Some(&enforced.inbound),
            Value::Service(service) => {
                services += 1;
                snapshot.services.get(&service.name) == Some(service)
            }
            Value::Routes(of) => {
                routes += 1;
                snapshot.routes.get(&of.service) == Some(of)
            }
            Value::Endpoints(set) => {
                endpoints += 1;
                snapshot.endpoints.get(&set.of).is_some_and(|held| held.endpoints() == set.endpoints())
            }
        };
        if !holds {
            return Some(format!("holds another {:?} {}", id.kind, id.name));
        }
    }
    let held = (snapshot.services.len(), snapshot.routes.len(), snapshot.endpoints.len());
    let wanted = (services, routes, endpoints);
    (held != wanted).then(|| format!("holds {held:?} services, routes and sets of endpoints, of {wanted:?}"))
}

/// What is published differently from what people have declared, by a count of our own.
fn declared_differs(mesh: &Mesh<'_>) -> Option<String> {
    let declared = mesh.plane.declared();
    let web = mesh.proxies.first()?.control()?.snapshot();
    if web.hosts.contains_key(API) {
        let mut wanted: BTreeSet<String> = declared
            .statics
            .iter()
            .map(|number| format!("10.1.0.{} {:?}", 100 + number, Health::Healthy))
            .collect();
        wanted.insert(format!("10.1.0.50 {:?}", Health::Healthy));
        let sets = web.endpoints.iter().filter(|(of, _)| of.to_string().starts_with("shop/api:"));
        let held: BTreeSet<String> = sets
            .flat_map(|(_, set)| set.endpoints())
            .map(|one| format!("{} {:?}", one.addr.ip(), one.health))
            .collect();
        if held != wanted {
            return Some(format!("shop/api is {held:?} and should be {wanted:?}"));
        }
        if marks(&web).first() != Some(&declared.mark) {
            return Some(format!("shop/web holds marks {:?} of {}", marks(&web), declared.mark));
        }
    }
    let inbound = format!("{:?}", mesh.proxies.get(1)?.control()?.snapshot().inbound);
    let lets_web_in = inbound.contains("shop/sa/web");
    (lets_web_in != declared.web_may_call).then(|| format!("shop/api-1 lets web in: {lets_web_in}"))
}

/// The version of the world that a proxy holds.
pub(crate) fn mark_of(mesh: &Mesh<'_>, proxy: usize) -> Option<u32> {
    marks(&mesh.proxies.get(proxy)?.control()?.snapshot()).first().copied()
}

/// What the first proxy has been told of an endpoint of `shop/api`; `None`: it is none.
pub(crate) fn health_of(mesh: &Mesh<'_>, address: &str) -> Option<Health> {
    let snapshot = mesh.proxies.first()?.control()?.snapshot();
    let mut all = snapshot.endpoints.values().flat_map(|set| set.endpoints());
    all.find(|one| one.addr.ip().to_string() == address).map(|one| one.health)
}

fn shown(snapshot: &Snapshot) -> String {
    let sets = snapshot.endpoints.iter().map(|(of, set)| {
        let each = set.endpoints().iter().map(|one| format!("{}={:?}", one.addr, one.health));
        format!("{of}[{}]", each.collect::<Vec<_>>().join(","))
    });
    let sets = sets.collect::<Vec<_>>().join(" ");
    let (revision, services, absent) = (snapshot.revision, snapshot.services.len(), snapshot.absent.len());
    let inbound = snapshot.inbound.is_some();
    format!(
        "revision {revision} marks {:?} services {services} absent {absent} inbound {inbound} {sets}",
        marks(snapshot)
    )
}

/// What was sent before a control plane was gone may still arrive.
const LONGEST_UNDER_WAY: Duration = Duration::from_secs(10);
