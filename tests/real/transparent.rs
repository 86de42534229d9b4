//! Applications that know nothing of a mesh: nftables bring their connections to the sidecars, and DNS gives them the names.

use crate::lab::{Family, Lab, Mode, Plan, Port, STRICT, WEB};

const HOSTS: &[(&str, &[Port])] = &[("web", &[]), ("server", &[Port("files", 80, 8080, Some("http"))])];

#[tokio::test]
async fn an_application_that_knows_nothing_of_a_mesh_is_carried_by_it_both_ways() {
    for family in Family::BOTH {
        let plan = Plan::pair("redirected connections", &["nginx"], HOSTS).in_family(family);
        let Some(mut lab) = Lab::build(Plan { mode: Mode::Permissive, ..plan }).await else { return };
        lab.nginx("server", 8080, "location /who { return 200 \"$http_weft_client_id\\n\"; }");
        lab.listens("server", 8080).await;
        let curl = |arguments: &str| {
            lab.said("web", &format!("curl --silent --show-error --max-time 10 {arguments}"))
        };
        let [service, other] = [family, family.other()].map(|one| one.in_url(&lab.cluster_ip("files", one)));
        let server = family.at(&lab.address("server"), 8080);

        // To the Service's address, by its name, and by a name that only the mesh's DNS knows.
        let web = format!("{WEB}\n");
        assert_eq!(curl(&format!("http://{service}/who")), web);
        assert_eq!(curl(&format!("--resolve files.shop:80:{service} http://files.shop/who")), web);
        assert_eq!(curl("http://files.shop.mesh/who"), web);
        // In the family that nobody here has told the sidecar of.
        assert_eq!(curl(&format!("http://{other}/who")), web);
        assert_eq!(
            curl(&format!("-{} http://files.shop.mesh/who", if family == Family::V4 { 6 } else { 4 })),
            web
        );
        // To the server's own address: no Service, so nobody's policy but the mesh's; captured on the way in.
        assert_eq!(curl(&format!("http://{server}/who")), "\n", "plaintext is let in, as nobody");
        lab.operator.apply_and_wait("strict.yaml", STRICT).await;
        let refused = curl(&format!("--include http://{server}/who"));
        assert!(
            refused.starts_with("HTTP/1.1 403") && refused.contains("weft-error: plaintext_denied"),
            "{refused}"
        );
        assert_eq!(curl(&format!("http://{service}/who")), web, "the mesh goes on");
        // And when the rules are gone, so is the mesh.
        lab.clear("web");
        assert!(
            !lab.shell("web", &format!("curl --silent --max-time 1 http://{service}/who")).status.success()
        );
    }
}
