//! The Secret of the mesh's identity at an API server that loses it, is away or answers badly: what is in force stays in
//! force, and is put back by whoever holds the Lease.

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::*;
use crate::scripted::{Fault, Server};

/// A control plane on the Secret, whose turn it is, or is not.
async fn started(server: &Server, leads: bool) -> (Arc<Custody>, Keys, watch::Sender<Option<Instant>>) {
    let place = Place::new(&server.client().await, "weft-identity", "weft");
    let (turn, standing) = Standing::of_one();
    if !leads {
        turn.send_replace(None);
    }
    let (custody, keys) = open(&place, Init::Yes, &"weft.local".parse().unwrap(), standing).await.unwrap();
    (custody, keys, turn)
}

fn identity(server: &Server) -> Option<Value> {
    server.object("secrets", "weft-identity").map(|secret| secret["data"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_deleted_or_overwritten_while_running_is_put_back_by_the_leader_alone() {
    let server = Server::start().await;
    let (custody, mut leader, _turn) = started(&server, true).await;
    let (_, mut other, _never) = started(&server, false).await;
    let before = identity(&server).unwrap();
    let root = custody.presented_root();

    server.delete("secrets", "weft-identity");
    other.round().await;
    assert_eq!(identity(&server), None, "who does not lead writes nothing");
    assert_eq!(other.kept.get(), 0, "and says so");
    leader.round().await;
    assert_eq!(identity(&server).as_ref(), Some(&before), "put back as it was");
    assert_eq!((leader.kept.get(), custody.presented_root()), (1, root));
    other.round().await;
    assert_eq!(other.kept.get(), 1);

    server.put(
        "secrets",
        &json!({"metadata": {"name": "weft-identity"}, "data": {"root.pem": "bm90aGluZw=="}}),
    );
    leader.round().await;
    assert_eq!(identity(&server).as_ref(), Some(&before), "an overwritten one too");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_fails_while_running_changes_nothing_of_what_is_in_force() {
    let server = Server::start().await;
    let (custody, mut keys, _turn) = started(&server, true).await;
    let (root, before) = (custody.presented_root(), identity(&server));
    for fault in [Fault::Status(500), Fault::Status(403), Fault::Later(3600), Fault::Nonsense, Fault::HangUp]
    {
        server.fail("GET secrets", fault);
        keys.round().await;
        assert_eq!(keys.kept.get(), 0, "{fault:?} is told");
        assert_eq!((custody.presented_root(), identity(&server)), (root, before.clone()), "{fault:?}");
        keys.round().await;
        assert_eq!(keys.kept.get(), 1, "after {fault:?}");
    }
    // It is lost, and putting it back fails for a while: tried again a look later, and never minted anew.
    server.delete("secrets", "weft-identity");
    for fault in [Fault::Status(409), Fault::Status(500), Fault::Later(3600)] {
        server.fail("POST secrets", fault);
        keys.round().await;
        assert_eq!((keys.kept.get(), identity(&server)), (0, None), "{fault:?}");
    }
    keys.round().await;
    assert_eq!((keys.kept.get(), identity(&server)), (1, before));
}

#[tokio::test]
async fn a_start_that_cannot_read_the_secret_says_what_to_do_and_does_not_wait_for_ever() {
    type Case = (&'static str, Fault, &'static str);
    let cases: [Case; 5] = [
        ("GET secrets", Fault::Status(403), "the rights of the control plane's account"),
        ("GET secrets", Fault::Status(500), "cannot read the Secret weft-identity"),
        ("GET secrets", Fault::Later(86_400), "cannot read the Secret weft-identity"),
        ("POST secrets", Fault::Status(403), "cannot create the Secret weft-identity"),
        ("GET leases", Fault::Silence, "starting again is safe"),
    ];
    for (request, fault, expected) in cases {
        let server = Server::start().await;
        server.fail(request, fault);
        let place = Place::new(&server.client().await, "weft-identity", "weft");
        let (_turn, standing) = Standing::of_one();
        let refused = open(&place, Init::Yes, &"weft.local".parse().unwrap(), standing).await.unwrap_err();
        assert!(refused.to_string().contains(expected), "{request} {fault:?}: {refused}");
        assert_eq!(identity(&server), None, "{request} {fault:?}");
    }
}
