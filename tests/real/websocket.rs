//! WebSockets, by a library on both sides: an upgrade that lasts, pings, large messages, and a close with its code.

use crate::lab::{BY_PROXY_TOO, Family, Lab, Plan, Port, Trial, WEB, program_file};

const HOSTS: &[(&str, &[Port])] =
    &[("web", &[]), ("server", &[Port("echo", 80, 8090, Some("http")), Port("unsaid", 81, 8091, None)])];

#[tokio::test]
async fn a_websocket_repeats_texts_and_large_messages_and_closes_with_its_code() {
    for family in Family::BOTH {
        let plan = Plan::pair("WebSockets", &["python:websockets"], HOSTS).in_family(family);
        let Some(mut lab) = Lab::build(plan).await else { return };
        for (name, port) in [("echo", 8090), ("unsaid", 8091)] {
            lab.start("server", name, &format!("PYTHON {} {port}", program_file("websocket_server.py")));
            lab.listens("server", port).await;
        }
        let ask = format!("PYTHON {} URL", program_file("websocket_client.py"));
        for service in ["echo", "unsaid"] {
            lab.try_every_way(Trial {
                service,
                ways: BY_PROXY_TOO,
                lines: &[(&ask, &format!("{WEB}\ngrüezi\n[True, True, True]\n1000"))],
            })
            .await;
        }
    }
}
