//! HTTP servers and clients of other people: nginx, Python's, node's; curl, wrk, h2load.

use crate::lab::{BY_PORT, BY_PROXY_TOO, Family, Lab, Plan, Port, Trial, WEB, program_file};

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
async fn wrk_and_h2load_lose_no_request_of_nginxs() {
    const HOSTS: &[(&str, &[Port])] = &[
        ("web", &[]),
        ("server", &[Port("nginx", 80, 8080, Some("http")), Port("h2", 81, 8084, Some("kubernetes.io/h2c"))]),
    ];
    for family in Family::BOTH {
        let needs = &["nginx", "wrk", "h2load"];
        let Some(mut lab) = Lab::build(Plan::pair("load", needs, HOSTS).in_family(family)).await else {
            return;
        };
        let h2 = if family == Family::V4 { "8084" } else { "[::]:8084" };
        lab.nginx(
            "server",
            8080,
            &format!("listen {h2} http2; location /who {{ return 200 \"$http_weft_client_id\\n\"; }}"),
        );
        lab.listens("server", 8080).await;
        let all =
            "requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout";
        lab.try_every_way(Trial {
            service: "nginx",
            ways: BY_PORT,
            lines: &[
                ("curl --silent http://URL/who", WEB),
                // It says so where something was lost, and no more.
                (
                    "wrk --threads 1 --connections 16 --duration 1s http://URL/who >FOLDER/wrk &&
                     grep --count 'Requests/sec' FOLDER/wrk; grep -E 'Non-2xx|Socket errors' FOLDER/wrk",
                    "1",
                ),
                ("h2load --h1 --requests 2000 --clients 4 --connect-to URL http://nginx.shop/who | grep ^requests:", all),
            ],
        })
        .await;
        lab.try_every_way(Trial {
            service: "h2",
            ways: BY_PORT,
            lines: &[(
                "h2load --requests 2000 --clients 4 --max-concurrent-streams 10 --connect-to URL http://h2.shop/who | grep ^requests:",
                all,
            )],
        })
        .await;
    }
}

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
