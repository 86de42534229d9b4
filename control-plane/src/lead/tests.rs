//! The Lease at an API server that answers late, badly or not at all. The rules themselves are tested in `term`.

use serde_json::{Value, json};

use super::*;
use crate::scripted::{Fault, Server};

fn held_by(holder: &str, renewed: &str) -> Value {
    json!({"metadata": {"name": "weft", "namespace": "default"}, "spec": {"holderIdentity": holder,
        "renewTime": renewed, "leaseDurationSeconds": 10, "leaseTransitions": 1}})
}

#[tokio::test]
async fn the_lease_is_taken_renewed_and_lost_by_what_the_api_server_says_and_by_nothing_else() {
    let server = Server::start().await;
    let (mut contest, standing) = Contest::new(&server.client().await, "weft", "weft-0");
    contest.round().await;
    assert!(standing.leads(), "there was none");
    // None of these says that somebody else has it: the turn lasts as long as the last renewal that succeeded.
    for fault in [Fault::Status(500), Fault::Later(3600), Fault::Nonsense, Fault::HangUp, Fault::Silence] {
        for request in ["GET leases", "PUT leases"] {
            server.fail(request, fault);
            let asked = server.requests("/leases");
            contest.round().await;
            assert!(standing.leads() || fault == Fault::Silence, "{request}: {fault:?}");
            assert!(server.requests("/leases") <= asked + 2, "{request}: {fault:?}: asked again at once");
        }
        contest.round().await;
        assert!(standing.leads(), "after {fault:?}");
    }
    // Somebody else was faster.
    server.fail("PUT leases", Fault::Status(409));
    contest.round().await;
    assert!(!standing.leads(), "a conflict");
    contest.round().await;
    assert!(standing.leads(), "and the next look says that it is ours");
    server.put("leases", &held_by("weft-1", "2026-01-01T00:00:00.000000Z"));
    contest.round().await;
    assert!(!standing.leads(), "it is somebody else's");
    assert_eq!(server.object("leases", "weft").unwrap()["spec"]["holderIdentity"], "weft-1");
}

#[tokio::test]
async fn of_two_who_write_at_once_one_leads() {
    let server = Server::start().await;
    let client = server.client().await;
    let (mut one, first) = Contest::new(&client, "weft", "weft-0");
    let (mut two, second) = Contest::new(&client, "weft", "weft-1");
    tokio::join!(one.round(), two.round());
    tokio::join!(one.round(), two.round());
    assert!(first.leads() != second.leads(), "{one:?} {two:?}");
}
