//! The beginning of a stream: who is this the proxy of, and what does it hold already?
//!
//! The certificate says which identity; `Hello.workload` says which of that identity's workloads. The second is
//! believed only as far as the first allows: a declared workload of that identity, or one that the identity's
//! join token permits to register.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};
use weft_certs::verify::{Peer, Role, verify_peer};
use weft_proto::name::WorkloadName;
use weft_proto::shared::Frame;
use weft_proto::v1::client_frame::Kind as Said;
use weft_proto::v1::{self, ClientFrame};

use super::super::connection::Caller;
use super::service::Discovery;
use super::standing;
use super::stream::Stream;
use crate::publish::interest::Viewer;
use crate::publish::session::Session;

/// Attaches a proxy and serves it until it leaves.
///
/// # Errors
/// How the stream is to end.
pub(super) async fn attach(
    service: Discovery,
    caller: Caller,
    peer: Peer,
    mut from_proxy: Streaming<ClientFrame>,
    to_proxy: mpsc::Sender<Result<Frame, Status>>,
) -> Result<(), Status> {
    // The connection may be older than the trust of the moment.
    let trust = service.custody.trust_store().current();
    verify_peer(&trust, &caller.chain, Role::Client, service.clock.unix())
        .map_err(|refused| Status::unauthenticated(refused.to_string()))?;
    let silence = service.unspoken.one_more(&peer.id).ok_or_else(|| {
        Status::resource_exhausted("too many streams of this identity have not said Hello; a proxy needs one")
    })?;
    let first = timeout(PATIENCE, from_proxy.message()).await;
    drop(silence);
    let first = first.map_err(|_| Status::deadline_exceeded("no Hello came"))??;
    let Some(Said::Hello(hello)) = first.and_then(|frame| frame.kind) else {
        return Err(Status::invalid_argument("the first frame of a stream is a Hello"));
    };
    let workload =
        WorkloadName::parse(&hello.workload).map_err(|bad| Status::invalid_argument(bad.to_string()))?;
    let seen = hello.seen.filter(|seen| seen.epoch == service.custody.epoch());
    catch_up(&service, &workload, seen.map_or(0, |seen| seen.revision)).await?;
    let presence = standing::admit(&service, &peer.id, &workload, hello.registration).await?;

    let namespace = peer.id.as_workload().map(|id| id.namespace).unwrap_or_default();
    let viewer = Viewer { namespace: namespace.into(), workload: workload.to_string().into() };
    let mut session = Session::new(viewer);
    // The stream stands in the hub before it reads a table: nothing that is published from here on is missed.
    let place = service.hub.enter();
    let revision = service.hub.table().revision;
    let attended = service.proxies.attend(&workload.to_string(), &peer.id, &hello.build, place.number());
    let (attendance, remembered) = attended.ok_or_else(|| {
        Status::resource_exhausted(format!("{workload} has too many streams; a proxy needs one"))
    })?;
    let resume = session.resume(&hello.retained, &remembered);
    let welcome = v1::Welcome {
        protocol_minor: PROTOCOL_MINOR,
        replica: service.replica.to_string(),
        now: Some(v1::Seen { epoch: service.custody.epoch().to_vec(), revision }),
        resume,
        max_age: service.max_age.try_into().ok(),
        window: u32::try_from(Session::WINDOW).unwrap_or(u32::MAX),
    };
    tracing::info!(%workload, identity = %peer.id, addr = %caller.addr, build = %shown(&hello.build), "attached");
    service.counts.attached();
    if to_proxy.send(Ok(Frame::from(welcome))).await.is_err() {
        return Ok(());
    }
    let mut stream = Stream {
        service,
        caller,
        peer,
        workload,
        session,
        place,
        attendance,
        presence,
        look_closely: false,
        from_proxy,
        to_proxy,
    };
    let end = stream.serve().await;
    stream.attendance.remember(&stream.session);
    end
}

/// Moves past what a proxy has seen of this very state directory, if that is more than there is. The directory has come
/// back from a backup then; and the proxy, as every other, would refuse whatever is older than what it has seen.
async fn catch_up(service: &Discovery, workload: &WorkloadName, seen: u64) -> Result<(), Status> {
    let now = service.hub.table().revision;
    if seen <= now {
        return Ok(());
    }
    // A proxy that lies may cost us some numbers, not all of them.
    if seen - now > MOST_BEHIND {
        return Err(Status::invalid_argument("this is not a revision that was ever published here"));
    }
    tracing::error!(%workload, seen, now, "the state directory is older than what proxies have seen of it, as after a \
        restore: going on from there. Denials and tokens since then are lost; look through them");
    let mut revisions = service.hub.revisions();
    service.world.move_past(seen).await;
    let caught_up = timeout(PATIENCE, revisions.wait_for(|revision| *revision > seen)).await;
    let behind = || Status::unavailable("this control plane is behind what the proxy has seen; reconnect");
    caught_up.map_err(|_| behind())?.map(drop).map_err(|_| behind())
}

fn shown(build: &str) -> String {
    build.chars().filter(|c| !c.is_control()).take(100).collect()
}

const PATIENCE: Duration = Duration::from_secs(10);
/// More revisions than a mesh makes in years.
const MOST_BEHIND: u64 = 1 << 32;
const PROTOCOL_MINOR: u32 = 0;
