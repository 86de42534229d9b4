//! Any stream from a control plane: whatever it says, what is held is whole, counted right, and can be decided on.
//!
//! An input is a list of frames, two bytes of length each. A frame's first byte says what it is; the rest is a message
//! in which names and versions are put right, since what is wrong with those is refused before it is looked at.

use prost::Message;
use weft_policy::decide;
use weft_policy::draw::Draw;
use weft_policy::explain;
use weft_policy::facts::{Destination, Facts, Request, Source};
use weft_policy::live::Nothing;
use weft_policy::moment::Moment;

use super::*;
use crate::decode::fuzz::value;
use crate::version;

#[test]
fn any_stream_leaves_a_state_that_is_whole() {
    weft_fuzz::law!("held", |bytes| {
        let mut held = Held::new(WorkloadName::parse("shop/web").unwrap());
        let mut rest = bytes;
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
            let (frame, after) = after.split_at(length);
            rest = after;
            let Some((what, body)) = frame.split_first() else { continue };
            take(&mut held, what % 8, body);
            is_counted_right(&held);
        }
        is_decided(held.snapshot());
    });
}

fn take(held: &mut Held, what: u8, body: &[u8]) {
    let (before, seen) = (held.snapshot().clone(), held.seen().cloned());
    match what {
        0 => {
            let Ok(welcome) = v1::Welcome::decode(body) else { return };
            if held.welcome(&welcome).is_err() {
                assert_eq!((told(held.snapshot()), held.seen()), (told(&before), seen.as_ref()), "not taken");
            }
        }
        1 => held.abandon(),
        2 => drop(held.sweep()),
        _ => {
            let Ok(mut update) = v1::Update::decode(body) else { return };
            update.put.iter_mut().for_each(right);
            let staged = held.stage(update);
            assert_eq!(told(held.snapshot()), told(&before), "nothing is seen before it is committed");
            match (staged, held.commit()) {
                (Ok(Progress::Complete), Some(committed)) => {
                    assert_eq!(told(&committed.snapshot), told(held.snapshot()));
                    assert!(
                        seen.is_none_or(|seen| held.seen().is_some_and(|now| now.revision >= seen.revision))
                    );
                    assert!(held.commit().is_none(), "what is visible is not staged any more");
                }
                (Ok(Progress::Complete), None) => panic!("a whole transaction that cannot be committed"),
                (Ok(Progress::More) | Err(_), Some(_)) => panic!("half a transaction was committed"),
                (Ok(Progress::More) | Err(_), None) => {}
            }
        }
    }
}

fn told(snapshot: &Snapshot) -> String {
    format!("{snapshot:?}")
}

/// Gives a resource the name that its body says and the version that it has.
fn right(resource: &mut v1::Resource) {
    let kind = u8::try_from(resource.r#type.wrapping_sub(1).rem_euclid(5)).unwrap_or(0);
    if let Ok(value) = value(kind, &resource.body) {
        let key = value.key();
        (resource.r#type, resource.name) = (key.kind().into(), key.to_string());
    }
    resource.version = version::of(&resource.body);
}

fn is_counted_right(held: &Held) {
    let details: Vec<v1::Retained> = [1, 2, 3, 4, 5]
        .into_iter()
        .filter_map(|kind| v1::Type::try_from(kind).ok())
        .map(|kind| held.detail(kind))
        .filter(|detail| !detail.held.is_empty())
        .collect();
    assert_eq!(details.iter().map(|detail| detail.held.len()).sum::<usize>(), held.len());
    let without_names = details.into_iter().map(|detail| v1::Retained { held: Vec::new(), ..detail });
    assert_eq!(without_names.collect::<Vec<_>>(), held.retained(), "a digest is the sum over what is held");
}

/// Whatever a snapshot says, every question has one answer, and it is told as it is decided.
fn is_decided(snapshot: &Snapshot) {
    let (method, headers) = (http::Method::GET, http::HeaderMap::new());
    let hosts = snapshot.hosts.keys().map(|host| (Some(host), None));
    let vips = snapshot.vips.keys().map(|vip| (None, Some(*vip)));
    for (host, vip) in hosts.chain(vips).take(20) {
        for (port, path) in [(80, Some("/")), (8080, Some("/a/b")), (443, None)] {
            let destination = match (host, vip) {
                (Some(host), _) => Destination::Name { host, port },
                (None, vip) => Destination::Addr((vip.unwrap_or([0, 0, 0, 0].into()), port).into()),
            };
            let facts = Facts {
                source: Source { identity: None, addr: Some([10, 0, 0, 9].into()) },
                destination,
                request: path.map(|path| Request {
                    method: &method,
                    host: host.map_or("10.0.0.1", |host| host),
                    path,
                    query: None,
                    headers: &headers,
                    grpc: false,
                }),
            };
            let now = Moment::default();
            let decided = decide::outbound(snapshot, &Nothing, &facts, now, &mut Draw::from_seed(7));
            let told = explain::outbound(snapshot, &Nothing, &facts, now, &mut Draw::from_seed(7));
            assert_eq!(told.verdict, decided);
            let judged = decide::inbound(snapshot, &facts, port);
            assert_eq!(explain::inbound(snapshot, &facts, port).verdict, judged);
            assert!(snapshot.inbound.is_some() || !judged.is_allowed(), "without a policy nobody is let in");
        }
    }
}
