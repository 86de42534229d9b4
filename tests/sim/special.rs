//! What is special about some scenarios, after anything has gone wrong and before everything is mended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use weft_control_plane::compile::table::{Id, Table};
use weft_control_plane::custody::{Denial, RotationStep};
use weft_policy::endpoint::Health;
use weft_proto::v1::Type;

use crate::mesh::Mesh;
use crate::oracle::{self, Oracle};
use crate::plan::Action;
use crate::plane::{DOMAIN, Order};
use crate::sidecar::Event;

/// Makes it happen.
pub(crate) type Special = fn(&mut Mesh<'_>, &mut Oracle) -> Result<(), String>;

/// Nothing is.
pub(crate) fn nothing(_: &mut Mesh<'_>, _: &mut Oracle) -> Result<(), String> {
    Ok(())
}

/// A control plane that tells everything as it was once, as if it were new.
pub(crate) fn plants_older(mesh: &mut Mesh<'_>, oracle: &mut Oracle) -> Result<(), String> {
    plant(mesh, oracle, |_| true)
}

/// A control plane that tells routes as they were once beside everything else as it is.
pub(crate) fn plants_torn(mesh: &mut Mesh<'_>, oracle: &mut Oracle) -> Result<(), String> {
    plant(mesh, oracle, |id| id.kind == Type::Routes)
}

fn plant(mesh: &mut Mesh<'_>, oracle: &mut Oracle, which: impl Fn(&Id) -> bool) -> Result<(), String> {
    mesh.heal();
    mesh.rest(oracle)?;
    let once = mesh.plane.core().ok_or("there is no control plane")?.hub.table();
    mesh.plane.declare(|declared| declared.mark += 1);
    mesh.rest(oracle)?;
    let hub = Arc::clone(&mesh.plane.core().ok_or("there is no control plane")?.hub);
    let mut table = Table::clone(&hub.table());
    let mut changed = BTreeSet::new();
    for (id, forms) in once.resources().filter(|(id, _)| which(id)) {
        table.set(id, forms.clone());
        changed.insert(id.clone());
    }
    table.revision += 1;
    hub.publish(table, &changed);
    mesh.pass(oracle, Duration::from_secs(1))
}

/// What was denied before a backup came back is forgotten, as it has to be; what is denied from then on is heard by all,
/// whatever they have heard from the control plane as it was.
pub(crate) fn denies_anew(mesh: &mut Mesh<'_>, oracle: &mut Oracle) -> Result<(), String> {
    mesh.heal();
    mesh.pass(oracle, Duration::from_secs(2))?;
    mesh.until("all that are declared are attached", oracle, HALF_OPEN, |mesh| mesh.attached(&[0]))?;
    if !mesh.attached(&[1]) {
        // It had enrolled since: who it is was forgotten too, and it has to say so again.
        mesh.act(&Action::CrashProxy { proxy: 1 });
        mesh.act(&Action::StartProxy { proxy: 1 });
        mesh.until("it has enrolled again", oracle, HALF_OPEN, Mesh::all_attached)?;
        call_again(mesh);
    }
    mesh.plane.order(Order::Deny(identity("shop", "trudy")));
    mesh.pass(oracle, Duration::from_secs(1))
}

/// For a minute there is no control plane.
pub(crate) fn outage(mesh: &mut Mesh<'_>, oracle: &mut Oracle) -> Result<(), String> {
    mesh.heal();
    mesh.rest(oracle)?;
    mesh.act(&Action::CrashPlane);
    mesh.pass(oracle, Duration::from_secs(60))
}

/// Whoever lost its connection many times in its life is back as soon as one that lost it once.
pub(crate) fn often(mesh: &mut Mesh<'_>, oracle: &mut Oracle) -> Result<(), String> {
    mesh.heal();
    for _ in 0..6 {
        mesh.until("everybody is attached", oracle, HALF_OPEN, Mesh::all_attached)?;
        mesh.pass(oracle, Duration::from_secs(11))?;
        mesh.act(&Action::CrashPlane);
        mesh.pass(oracle, Duration::from_millis(100))?;
        mesh.act(&Action::StartPlane);
    }
    mesh.until("everybody is back at once", oracle, Duration::from_secs(2), Mesh::all_attached).map(drop)
}

/// A proxy that is going says so, and its workload is called no more; when it has gone, it is forgotten.
pub(crate) fn drains(mesh: &mut Mesh<'_>, oracle: &mut Oracle) -> Result<(), String> {
    mesh.heal();
    mesh.rest(oracle)?;
    let called = |mesh: &Mesh<'_>| oracle::health_of(mesh, "10.1.0.50");
    mesh.proxies[1].happen(Event::Drain);
    let drained = |mesh: &Mesh<'_>| called(mesh).is_none_or(|health| health == Health::Draining);
    mesh.until("nobody calls it any more", oracle, HALF_OPEN, drained)?;
    mesh.act(&Action::CrashProxy { proxy: 1 });
    mesh.until("it is forgotten", oracle, HALF_OPEN, |mesh| called(mesh).is_none()).map(drop)
}

/// Every certificate comes to its end unseen. Whoever starts again is somebody again, by the token, and so is who runs on.
pub(crate) fn expires(mesh: &mut Mesh<'_>, oracle: &mut Oracle) -> Result<(), String> {
    step_all(mesh, 25 * 3600);
    // The control plane looks after its own once a minute.
    mesh.heal();
    mesh.pass(oracle, Duration::from_secs(61))?;
    for proxy in (0..mesh.proxies.len()).step_by(2) {
        mesh.act(&Action::CrashProxy { proxy });
        mesh.act(&Action::StartProxy { proxy });
    }
    mesh.until("everybody is somebody again", oracle, HALF_OPEN, Mesh::all_attached)?;
    call_again(mesh);
    Ok(())
}

/// Proxies that start with two minutes of their certificates left have new ones before those are over.
pub(crate) fn renews(mesh: &mut Mesh<'_>, oracle: &mut Oracle) -> Result<(), String> {
    mesh.heal();
    mesh.rest(oracle)?;
    step_all(mesh, 24 * 3600 - 120);
    for proxy in 0..mesh.proxies.len() {
        mesh.act(&Action::CrashProxy { proxy });
        mesh.act(&Action::StartProxy { proxy });
    }
    let is_new = |mesh: &Mesh<'_>| {
        mesh.proxies.iter().all(|proxy| {
            let left =
                proxy.control().map(|control| control.us().not_after.duration_since(proxy.clock.now()));
            left.is_some_and(|left| left.is_ok_and(|left| left > Duration::from_secs(3600)))
        })
    };
    mesh.until("everybody has a new certificate", oracle, Duration::from_secs(110), is_new)?;
    call_again(mesh);
    Ok(())
}

/// A root is replaced, step by step, whoever is away in between.
pub(crate) fn rotates(mesh: &mut Mesh<'_>, oracle: &mut Oracle) -> Result<(), String> {
    mesh.heal();
    mesh.rest(oracle)?;
    let serials = |mesh: &Mesh<'_>| {
        let each = mesh.proxies.iter().map(|proxy| proxy.control().map(|control| control.us().serial));
        each.collect::<Vec<_>>()
    };
    let before = serials(mesh);
    mesh.act(&Action::Rotate(RotationStep::Abort));
    mesh.act(&Action::Rotate(RotationStep::Prepare));
    mesh.pass(oracle, Duration::from_secs(1))?;
    mesh.rest(oracle)?;
    mesh.act(&Action::CrashPlane);
    mesh.act(&Action::StartPlane);
    mesh.until("everybody is attached", oracle, HALF_OPEN, Mesh::all_attached)?;
    mesh.pass(oracle, Duration::from_secs(1))?;
    mesh.act(&Action::Rotate(RotationStep::Activate));
    let moved =
        |mesh: &Mesh<'_>| serials(mesh).iter().zip(&before).all(|(now, then)| now.is_some() && now != then);
    mesh.until("everybody has a certificate of the new root", oracle, HALF_OPEN, moved)?;
    mesh.act(&Action::CrashPlane);
    mesh.act(&Action::StartPlane);
    mesh.until("everybody is attached again", oracle, HALF_OPEN, Mesh::all_attached).map(drop)
}

/// Whoever is denied has no stream, is nobody's peer, and is back when it is allowed again.
pub(crate) fn denies(mesh: &mut Mesh<'_>, oracle: &mut Oracle) -> Result<(), String> {
    mesh.heal();
    mesh.rest(oracle)?;
    let web = identity("shop", "web");
    mesh.plane.order(Order::Deny(web.clone()));
    let has_stream =
        |mesh: &Mesh<'_>| mesh.plane.core().is_none_or(|core| core.proxies.is_attached("shop/web"));
    mesh.until("its stream is ended", oracle, Duration::from_secs(1), |mesh| !has_stream(mesh))?;
    let Denial::Identity(id) = &web else { return Ok(()) };
    let refused = |mesh: &Mesh<'_>| {
        mesh.proxies[1..].iter().all(|proxy| {
            let bundles = proxy.control().map(|control| control.trust().current());
            bundles.is_some_and(|all| all.of(DOMAIN).is_some_and(|one| one.denied().identities.contains(id)))
        })
    };
    mesh.until("no other proxy believes it", oracle, HALF_OPEN, refused)?;
    for _ in 0..50 {
        mesh.step(oracle)?;
        if has_stream(mesh) {
            return Err("whoever is denied has a stream".to_owned());
        }
    }
    mesh.plane.order(Order::Allow(web));
    Ok(())
}

/// One proxy takes nothing in while the world goes on. It costs a bounded number of messages, and nobody else waits.
pub(crate) fn stalls(mesh: &mut Mesh<'_>, oracle: &mut Oracle) -> Result<(), String> {
    mesh.heal();
    mesh.rest(oracle)?;
    mesh.act(&Action::Hold { proxy: 2 });
    for _ in 0..24 {
        mesh.plane.declare(|declared| declared.mark += 1);
        mesh.pass(oracle, Duration::from_millis(60))?;
    }
    let mark = mesh.plane.declared().mark;
    mesh.until("the others have the last", oracle, HALF_OPEN, |mesh| oracle::mark_of(mesh, 0) == Some(mark))?;
    let waiting = mesh.under_way();
    if waiting > MOST_UNDER_WAY {
        return Err(format!("I5: {waiting} messages wait for one proxy that takes nothing in"));
    }
    Ok(())
}

fn step_all(mesh: &mut Mesh<'_>, seconds: i64) {
    for host in 0..=mesh.proxies.len() {
        mesh.act(&Action::Clock { host, seconds });
    }
}

/// Whoever has been started anew has called nobody yet.
fn call_again(mesh: &Mesh<'_>) {
    for proxy in &mesh.proxies {
        proxy.happen(Event::Call(crate::manifests::API));
    }
}

fn identity(namespace: &str, account: &str) -> Denial {
    Denial::Identity(format!("spiffe://{DOMAIN}/ns/{namespace}/sa/{account}").parse().unwrap())
}

/// Until a connection that is gone without a word is noticed, and another is there. The simulated TCP sends nothing twice: a
/// connection that has lost one segment is such a one.
const HALF_OPEN: Duration = Duration::from_secs(50);
/// The window of the protocol, and what gRPC adds: acknowledgements, pings.
const MOST_UNDER_WAY: usize = 40;
