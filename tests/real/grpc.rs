//! gRPC by its own library on both sides: every shape of call, deadlines, cancellation, and what trailers carry.

use crate::lab::{BY_PROXY_TOO, Family, Lab, Plan, Port, Trial, WEB, program_file};

const HOSTS: &[(&str, &[Port])] = &[
    ("web", &[]),
    (
        "server",
        &[
            Port("rpc", 80, 9051, Some("grpc")),
            // The same, and nobody says what it speaks.
            Port("unsaid", 81, 9052, None),
        ],
    ),
];

#[tokio::test]
async fn every_shape_of_call_passes_with_its_deadline_its_cancellation_and_its_trailers() {
    for family in Family::BOTH {
        let plan = Plan::pair("gRPC", &["python:grpc", "python:grpc_status"], HOSTS).in_family(family);
        let Some(mut lab) = Lab::build(plan).await else { return };
        for (name, port) in [("rpc", 9051), ("unsaid", 9052)] {
            lab.start("server", name, &format!("PYTHON {} {port}", program_file("rpc_server.py")));
            lab.listens("server", port).await;
        }
        let all = "who left count total chat large deadline cancel fail fail_later";
        let ask = format!("PYTHON {} URL {all}", program_file("rpc_client.py"));
        let refused = "RESOURCE_EXHAUSTED no, ü% out of sheep 00ff";
        let answers = [
            WEB,
            "True",
            "1000 messages, the last 999",
            "499500",
            "heard a, heard b, heard c",
            "9000018",
            "DEADLINE_EXCEEDED, ended",
            "CANCELLED, ended",
            refused,
            &format!("one {refused}"),
        ]
        .join("\n");
        for service in ["rpc", "unsaid"] {
            lab.try_every_way(Trial { service, ways: BY_PROXY_TOO, lines: &[(&ask, &answers)] }).await;
        }
    }
}
