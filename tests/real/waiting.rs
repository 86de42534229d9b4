//! Answers that come late or in parts: long polling, server-sent events, and leave to send a body (RFC 9110 §10.1.1).
//!
//! Nothing here measures time. A proxy that kept an event back, or a `100 Continue`, would leave both sides waiting for
//! each other, and curl's own limit ends that.

use crate::lab::{BY_PROXY_TOO, Family, Lab, Plan, Port, Trial, program_file};

const HOSTS: &[(&str, &[Port])] = &[("web", &[]), ("server", &[Port("node", 80, 8082, Some("http"))])];

#[tokio::test]
async fn who_waits_for_an_answer_an_event_or_leave_to_speak_is_not_kept_waiting_by_the_mesh() {
    for family in Family::BOTH {
        let Some(mut lab) = Lab::build(Plan::pair("waiting", &["node"], HOSTS).in_family(family)).await
        else {
            return;
        };
        lab.start("server", "node", &format!("node {} 8082", program_file("server.js")));
        lab.listens("server", 8082).await;
        let curl = "curl --silent --show-error --max-time 30";
        // Told when the server says that somebody waits.
        let poll = format!(
            "{curl} http://URL/poll & while [ \"$({curl} http://URL/polling)\" = 0 ]; do sleep 0.1; done;
             {curl} --output /dev/null http://URL/tell?word=news; wait"
        );
        // The server sends an event when the one before it has been acknowledged.
        let events = format!(
            "name=$RANDOM$RANDOM; {curl} --no-buffer http://URL/events?word=$name | while read -r field value; do
               [ \"$field\" = data: ] && echo -n \"$value \" && {curl} http://URL/heard?word=$name; done; true"
        );
        let body = |path: &str, write: &str| {
            format!(
                "head --bytes=100000 /dev/zero | {curl} --http1.1 --header 'Expect: 100-continue' \
                   --expect100-timeout 60 --data-binary @- http://URL/{path} --write-out '{write}'"
            )
        };
        lab.try_every_way(Trial {
            service: "node",
            ways: BY_PROXY_TOO,
            lines: &[
                (&poll, "news"),
                (&events, "0 1 2 3 4 5"),
                (&body("count", "%{http_code}"), "100000\n200"),
                // The server's refusal arrives; leave itself is given by the sidecar, before the server has been asked.
                (&body("refused", "%{http_code}"), "too large\n413"),
            ],
        })
        .await;
    }
}
