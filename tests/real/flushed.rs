//! `nft flush ruleset` while the mesh is strict. What holds then, and what no mesh can hold.
//!
//! - On the client's host: its applications are redirected no more, so they come as plaintext, and are refused.
//! - On the server's host: whoever is in the mesh still finds the server's sidecar, which listens on a port of its own, and
//!   proves who he is; plaintext to that port is refused. But what is sent straight to the application's port meets the
//!   application and nobody else, if it listens there for the whole network. Only an application that listens on loopback is
//!   as safe as before. Rules are therefore what NET_ADMIN alone may change, and a sidecar that starts without them is not ready.

use crate::lab::{Family, Lab, Plan, Port, WEB, Way};

const HOSTS: &[(&str, &[Port])] = &[
    ("web", &[]),
    (
        "server",
        &[
            Port("open", 80, 8080, Some("http")),
            Port("inside", 81, 8085, Some("http")),
            Port("opaque", 82, 6380, Some("tcp")),
        ],
    ),
];

#[tokio::test]
async fn without_rules_nobody_gets_past_a_strict_sidecar_and_the_mesh_goes_on() {
    for family in Family::BOTH {
        let needs = &["nginx", "redis-server", "redis-cli"];
        let Some(mut lab) = Lab::build(Plan::pair("flushed rules", needs, HOSTS).in_family(family)).await
        else {
            return;
        };
        let inside = family.at(family.loopback(), 8085);
        let who = "location /who { return 200 \"$http_weft_client_id\\n\"; }";
        lab.nginx("server", 8080, &format!("listen {inside}; {who}"));
        lab.start(
            "server",
            "redis-server",
            &format!("redis-server --port 6380 --bind {} --dir FOLDER", family.loopback()),
        );
        lab.listens("server", 8085).await;
        lab.listens("server", 6380).await;
        let curl = "curl --silent --show-error --max-time 10";
        let to = |port: u16| family.at(&lab.address("server"), port);
        let plain = |port: u16| lab.shell("web", &format!("{curl} --include http://{}/who", to(port)));
        let text = |output: std::process::Output| String::from_utf8(output.stdout).unwrap();

        lab.said("web", "nft flush ruleset");
        for port in [8080, 8085] {
            let refused = text(plain(port));
            assert!(refused.contains("weft-error: plaintext_denied"), "{family:?} {port}: {refused}");
        }
        assert!(
            !lab.said("web", &format!("redis-cli -h {} -p 6380 PING || true", lab.address("server")))
                .contains("PONG")
        );

        lab.said("server", "nft flush ruleset");
        let who = format!("{curl} http://URL/who");
        let ping = "redis-cli -h HOST -p PORT PING".to_owned();
        for (service, way, line, says) in [
            ("open", Way::FixedPort, &who, WEB),
            ("open", Way::HttpProxy, &who, WEB),
            ("inside", Way::FixedPort, &who, WEB),
            ("inside", Way::HttpProxy, &who, WEB),
            ("opaque", Way::FixedPort, &ping, "PONG"),
        ] {
            let said = lab.said("web", &lab.placed(service, way, line));
            assert_eq!(said.trim(), says, "{family:?} {service} {way:?}");
        }
        // Not to the port of the sidecar, and not to an application that listens on loopback.
        for port in [15006, 8085, 6380] {
            let said = text(plain(port));
            assert!(!said.contains("200 OK"), "{family:?} {port}: {said}");
        }
        // But nobody is there to refuse what goes straight to one that listens for everybody.
        assert!(text(plain(8080)).contains("200 OK"), "{family:?}: the rules are gone");

        lab.redirect("server");
        let refused = text(plain(8080));
        assert!(refused.contains("weft-error: plaintext_denied"), "{family:?}, with rules again: {refused}");
    }
}
