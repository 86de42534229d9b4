//! HTTP servers and clients of other people: nginx, Python's, node's; curl, wrk, h2load.

use crate::lab::{BY_PROXY_TOO, Family, Lab, Plan, Port, Trial, WEB, program_file};

const SERVERS: &[(&str, &[Port])] = &[
    ("web", &[]),
    (
        "server",
        &[
            Port("files", 80, 8081, Some("http")),
            // Nobody says what this one speaks.
            Port("node", 80, 8082, None),
        ],
    ),
];

#[tokio::test]
async fn pythons_and_nodes_servers_answer_curl() {
    for family in Family::BOTH {
        let needs = &["python:grpc", "node"];
        let Some(mut lab) = Lab::build(Plan::pair("http", needs, SERVERS).in_family(family)).await else {
            return;
        };
        std::fs::create_dir(lab.path("www")).unwrap();
        std::fs::write(lab.path("www/page.txt"), "a page\n".repeat(100_000)).unwrap();
        lab.start("server", "http.server", "PYTHON -m http.server --bind :: --directory FOLDER/www 8081");
        lab.start("server", "node", &format!("node {} 8082", program_file("server.js")));
        lab.listens("server", 8081).await;
        lab.listens("server", 8082).await;
        let curl = "curl --silent --show-error --max-time 60";
        lab.try_every_way(Trial {
            service: "files",
            ways: BY_PROXY_TOO,
            lines: &[
                (
                    &format!("{curl} http://URL/page.txt | sha256sum"),
                    "4b98b71d60aaaccd6e66cc8e8aa03db73f9499a9d5c82804c558dadd8729dc0b  -",
                ),
                (&format!("{curl} http://URL/absent --output /dev/null --write-out '%{{http_code}}'"), "404"),
            ],
        })
        .await;
        lab.try_every_way(Trial {
            service: "node",
            ways: BY_PROXY_TOO,
            lines: &[(&format!("{curl} http://URL/who"), WEB)],
        })
        .await;
    }
}
