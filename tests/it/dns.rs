//! A sidecar's DNS: it answers the names of the mesh, asks a server of the world about the rest, and is not silent
//! when that one is.

use std::net::IpAddr;

use hickory_proto::op::ResponseCode::{self, NXDomain, NoError, ServFail};
use hickory_proto::rr::RecordType::{self, A, AAAA};
use weft_tests::call;
use weft_tests::dns::{Over, Told, World, ask};
use weft_tests::eventually::eventually;
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;
use weft_tests::port;
use weft_tests::sidecar::Sidecar;

/// web, with DNS, and `api`; `both` has an address of either family, `headless` none.
struct Named {
    mesh: Mesh,
    world: World,
    web: Sidecar,
    _api: (Origin, Sidecar),
}

const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop},
 spec: {selector: {app: api}, ports: [{port: 80, targetPort: http, appProtocol: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: both, namespace: shop},
 spec: {clusterIPs: [10.96.0.7, 'fd00:10:96::7'], selector: {app: api}, ports: [{port: 80, targetPort: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: headless, namespace: shop},
 spec: {clusterIP: None, selector: {app: api}, ports: [{port: 80, targetPort: http}]}}
";

impl Named {
    async fn start() -> Self {
        let mesh = Mesh::start(SERVICES).await;
        let world = World::start(&[
            ("example.org", "192.0.2.80"),
            ("example.org", "2001:db8::80"),
            ("four.example.org", "192.0.2.4"),
            // Somebody outside claims our names.
            ("api.shop.mesh", "192.0.2.66"),
            ("nobody.shop.mesh", "192.0.2.66"),
            // A name of the cluster that is no Service of the mesh.
            ("kube-dns.kube-system.svc.cluster.local", "10.96.0.10"),
        ])
        .await;
        let origin = Origin::start("api-1").await;
        let api = mesh.beside("shop/api-1").http(origin.addr).start().await;
        let web = mesh
            .beside("shop/web")
            .set("WEFT_DNS", "127.0.0.1:0")
            .set("WEFT_DNS_UPSTREAM", &world.addr)
            .set("WEFT_DISCOVERY_WAIT_SECS", "0.5")
            .start()
            .await;
        mesh.serves("shop/api", 80, 1).await;
        Self { mesh, world, web, _api: (origin, api) }
    }

    async fn ask(&self, over: Over, name: &str, kind: RecordType) -> Told {
        ask(self.web.proxy.dns[0], over, name, kind).await
    }

    /// Asks over both transports and says what both said.
    async fn both(&self, name: &str, kind: RecordType) -> (ResponseCode, Vec<IpAddr>) {
        let [udp, tcp] = [self.ask(Over::Udp, name, kind).await, self.ask(Over::Tcp, name, kind).await];
        assert_eq!((udp.code, &udp.addresses), (tcp.code, &tcp.addresses), "{name} {kind}");
        (udp.code, udp.addresses)
    }
}

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|ip| ip.parse().unwrap()).collect()
}

#[tokio::test]
async fn mesh_names_are_answered_here_and_all_others_by_the_world_over_udp_and_tcp() {
    let named = Named::start().await;
    for (name, kind, code, addresses) in [
        ("both.shop.mesh.", A, NoError, &["10.96.0.7"][..]),
        ("both.shop.mesh.", AAAA, NoError, &["fd00:10:96::7"]),
        ("Both.SHOP.svc.Cluster.Local.", A, NoError, &["10.96.0.7"]),
        // There is such a name, only not with such an address: nobody may conclude that it is gone.
        ("api.shop.mesh.", AAAA, NoError, &[]),
        ("headless.shop.mesh.", A, NoError, &[]),
        ("nobody.shop.mesh.", A, NXDomain, &[]),
        ("nobody.shop.mesh.", AAAA, NXDomain, &[]),
        ("example.org.", A, NoError, &["192.0.2.80"]),
        ("example.org.", AAAA, NoError, &["2001:db8::80"]),
        ("four.example.org.", AAAA, NoError, &[]),
        ("nobody.example.org.", A, NXDomain, &[]),
        ("kube-dns.kube-system.svc.cluster.local.", A, NoError, &["10.96.0.10"]),
    ] {
        assert_eq!(named.both(name, kind).await, (code, ips(addresses)), "{name} {kind}");
    }
    let before = named.world.asked();
    named.both("api.shop.mesh.", A).await;
    named.both("not-there.shop.mesh.", A).await;
    assert_eq!(named.world.asked(), before, "what is asked of the mesh, nobody else hears");
}

#[tokio::test]
async fn the_address_that_a_name_is_given_leads_to_its_service() {
    let named = Named::start().await;
    let told = named.ask(Over::Udp, "api.shop.mesh.", A).await;
    assert_eq!((told.code, told.addresses.len()), (NoError, 1), "{told:?}");
    assert!(told.ttl <= 5, "endpoints and addresses change: {told:?}");
    // As an application does that asks a resolver first: what reaches the sidecar is the address alone.
    let by_address = call::get(&format!("http://{}/", told.addresses[0]));
    let reply = named.web.send(by_address).await;
    assert_eq!((reply.status.as_u16(), reply.origin().as_str()), (200, "api-1"), "{reply:?}");
    assert_eq!(reply.json()["headers"]["weft-client-id"], "spiffe://weft.local/ns/shop/sa/web");
}

#[tokio::test]
async fn a_port_on_loopback_is_asked_at_both_addresses() {
    let named = Named::start().await;
    let free = port::of_its_own();
    let more =
        named.mesh.beside("shop/more").set("WEFT_DNS", &free).set("WEFT_DNS_UPSTREAM", &named.world.addr);
    let more = more.start().await;
    assert_eq!(more.proxy.dns, [free, format!("[::1]:{}", free.port()).parse().unwrap()]);
    for addr in &more.proxy.dns {
        for over in [Over::Udp, Over::Tcp] {
            let told = ask(*addr, over, "both.shop.mesh.", A).await;
            assert_eq!((told.code, told.addresses), (NoError, ips(&["10.96.0.7"])), "{addr} {over:?}");
        }
    }
}

#[tokio::test]
async fn a_service_that_appears_has_a_name_and_one_that_goes_has_none() {
    let named = Named::start().await;
    assert_eq!(named.both("new.shop.mesh.", A).await.0, NXDomain);
    let new = "{apiVersion: v1, kind: Service, metadata: {name: new, namespace: shop},
        spec: {clusterIP: 10.96.0.99, selector: {app: api}, ports: [{port: 80, targetPort: http}]}}";
    named.mesh.apply("new.yaml", new).await;
    assert_eq!(named.both("new.shop.mesh.", A).await, (NoError, ips(&["10.96.0.99"])));
    named.mesh.apply("new.yaml", "").await;
    assert_eq!(named.both("new.shop.mesh.", A).await.0, NXDomain);
}

#[tokio::test]
async fn when_the_worlds_server_dies_what_is_known_is_answered_and_the_rest_in_time() {
    let Named { mesh: _mesh, world, web, _api } = Named::start().await;
    let dns = web.proxy.dns[0];
    assert_eq!(ask(dns, Over::Udp, "example.org.", A).await.addresses, ips(&["192.0.2.80"]));
    drop(world);
    // The world said "remember for a second": past that, what is told is the last that was good (RFC 8767).
    eventually("the answer is an old one", async || {
        let told = ask(dns, Over::Udp, "example.org.", A).await;
        assert_eq!((told.code, told.addresses), (NoError, ips(&["192.0.2.80"])));
        (told.ttl > 1).then_some(())
    })
    .await;
    for over in [Over::Udp, Over::Tcp] {
        assert_eq!(ask(dns, over, "both.shop.mesh.", A).await.addresses, ips(&["10.96.0.7"]));
        assert_eq!(ask(dns, over, "nobody.shop.mesh.", A).await.code, NXDomain);
        // Never heard of: "try again", not "there is none", which would be remembered.
        assert_eq!(ask(dns, over, "unheard.example.org.", A).await.code, ServFail);
    }
}

#[tokio::test]
async fn when_the_control_plane_is_away_known_names_are_answered_and_unknown_ones_are_not_denied() {
    let mut named = Named::start().await;
    assert_eq!(named.both("both.shop.mesh.", A).await, (NoError, ips(&["10.96.0.7"])));
    named.mesh.stop().await;
    assert_eq!(named.both("both.shop.mesh.", A).await, (NoError, ips(&["10.96.0.7"])));
    assert_eq!(named.both("example.org.", A).await, (NoError, ips(&["192.0.2.80"])));
    assert_eq!(named.both("headless.shop.mesh.", A).await.0, ServFail, "nobody can say now");
    named.mesh.resume().await;
    eventually("the mesh can say again", async || {
        (named.ask(Over::Udp, "headless.shop.mesh.", A).await.code == NoError).then_some(())
    })
    .await;
}
