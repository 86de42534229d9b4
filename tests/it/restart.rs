//! A proxy that is started again: it is who it was, with no second token, and lets nobody in before it knows who may.

use http::Method;
use weft_tests::call;
use weft_tests::eventually::{eventually, soon};
use weft_tests::mesh::Mesh;
use weft_tests::origin::Origin;
use weft_tests::port;
use weft_tests::sidecar::{Beside, Sidecar};

use crate::shop::SERVICES;

const DENY: &str = "
{apiVersion: weft.mesh/v1alpha1, kind: AuthorizationPolicy, metadata: {name: no-posts, namespace: shop},
 spec: {targetRefs: [{kind: Service, name: api}], action: Deny, rules: [{to: [{methods: [POST]}]}]}}
";

/// web → `api`, whose sidecar keeps its certificate in a folder.
struct Kept {
    mesh: Mesh,
    origin: Origin,
    web: Sidecar,
}

impl Kept {
    async fn start() -> (Self, Sidecar) {
        let mesh = Mesh::start(&format!("{SERVICES}\n---\n{DENY}")).await;
        let (origin, web) = (Origin::start("api-1").await, mesh.beside("shop/web").start().await);
        let kept = Self { mesh, origin, web };
        let api = kept.api().start().await;
        kept.mesh.serves("shop/api", 80, 1).await;
        assert_eq!(kept.get().await, (200, String::new()));
        (kept, api)
    }

    fn api(&self) -> Beside<'_> {
        let folder = self.mesh.scratch().join("identity");
        self.mesh.beside("shop/api-1").http(self.origin.addr).set("WEFT_IDENTITY_DIR", &folder.display())
    }

    /// Again, where it was before, and without a token.
    fn again(&self, before: &Sidecar) -> Beside<'_> {
        self.api().token("").set("WEFT_INBOUND", &before.inbound)
    }

    async fn get(&self) -> (u16, String) {
        let reply = self.web.get("http://api/").await;
        (reply.status.as_u16(), reply.refusal().to_owned())
    }

    async fn post(&self) -> u16 {
        self.web.send(call::request(Method::POST, "http://api/", "x")).await.status.as_u16()
    }
}

async fn serial(sidecar: &Sidecar) -> String {
    sidecar.admin("/identity").await.json()["serial"].as_str().unwrap().to_owned()
}

/// Ends it as a crash would: nothing is drained, nobody is told.
async fn crash(sidecar: Sidecar) {
    let addr = sidecar.inbound;
    drop(sidecar);
    eventually("nobody listens any more", async || {
        tokio::net::TcpStream::connect(addr).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_comes_back_is_who_it_was_and_needs_no_second_token() {
    let (kept, api) = Kept::start().await;
    let (before, serial_before) = (api.inbound, serial(&api).await);
    let file = kept.mesh.scratch().join("identity");
    let modes: Vec<_> = std::fs::read_dir(&file)
        .unwrap()
        .map(|entry| {
            std::os::unix::fs::PermissionsExt::mode(&entry.unwrap().metadata().unwrap().permissions())
        })
        .collect();
    assert!(
        !modes.is_empty() && modes.iter().all(|mode| mode & 0o077 == 0),
        "a key is its owner's: {modes:?}"
    );
    let again = kept.again(&api);
    crash(api).await;
    let api = again.start().await;
    assert_eq!((api.inbound, serial(&api).await), (before, serial_before), "the same certificate");
    kept.mesh.serves("shop/api", 80, 1).await;
    assert_eq!(kept.get().await, (200, String::new()));
    assert_eq!(kept.post().await, 403);

    // Without what it kept, it is nobody: its token is used up, and it has no other.
    let again = kept.again(&api);
    crash(api).await;
    std::fs::remove_dir_all(file).unwrap();
    let error = soon("an answer", again.try_start()).await.unwrap_err().to_string();
    assert!(error.contains("token"), "{error}");
}

/// Started while nobody is there to tell it anything.
async fn alone(beside: Beside<'_>) -> Sidecar {
    let sidecar = soon("a start", beside.try_start()).await.unwrap_or_else(|error| panic!("{error}"));
    soon("policy", sidecar.proxy.ready()).await;
    sidecar
}

/// Once this start of the proxy has written down what it was told.
async fn has_kept(kept: &Kept) {
    let file = kept.mesh.scratch().join("identity/discovered.bin");
    eventually("it is written down", async || file.exists().then_some(())).await;
}

#[tokio::test]
async fn a_proxy_that_comes_back_alone_serves_by_what_it_was_told_before() {
    let (mut kept, api) = Kept::start().await;
    let api_2 = Origin::start("api-2").await;
    let folder = kept.mesh.scratch().join("caller");
    let caller = kept.mesh.beside("shop/caller").set("WEFT_IDENTITY_DIR", &folder.display()).start().await;
    assert_eq!(caller.get("http://api/").await.status, 200);
    has_kept(&kept).await;
    eventually("the caller has written down where api is", async || {
        let bytes = std::fs::read(folder.join("discovered.bin")).ok()?;
        bytes.windows(8).any(|words| words == b"shop/api").then_some(())
    })
    .await;
    let revision = std::fs::metadata(folder.join("discovered.bin")).unwrap().modified().unwrap();
    kept.mesh.settled().await;
    kept.mesh.stop().await;

    // Both ends of a call are started anew, and nobody is there to tell them anything.
    let (again, again_caller) = (
        kept.again(&api),
        kept.mesh.beside("shop/caller").token("").set("WEFT_IDENTITY_DIR", &folder.display()),
    );
    crash(api).await;
    crash(caller).await;
    let begun = std::time::Instant::now();
    let (api, caller) = (alone(again).await, alone(again_caller).await);
    let reply = caller.get("http://api/").await;
    println!("served {:?} after it was started", begun.elapsed());
    assert_eq!(reply.status, 200, "{reply:?}");
    let denied = caller.send(call::request(Method::POST, "http://api/", "x")).await;
    assert_eq!((denied.status.as_u16(), denied.refusal()), (403, "denied"), "who was denied is denied");
    assert_eq!(std::fs::metadata(folder.join("discovered.bin")).unwrap().modified().unwrap(), revision);
    let unknown = caller.get("http://api-v1/").await;
    assert_eq!((unknown.status.as_u16(), unknown.refusal()), (503, "discovery_timeout"), "{unknown:?}");

    // And whatever has changed meanwhile arrives when there is somebody to tell it.
    kept.mesh.resume().await;
    kept.mesh.serves("shop/api", 80, 1).await;
    let _second = kept.mesh.beside("shop/api-2").http(api_2.addr).start().await;
    kept.mesh.serves("shop/api", 80, 2).await;
    eventually("the new endpoint is called", async || {
        (caller.get("http://api/").await.origin() == "api-2").then_some(())
    })
    .await;
    drop(api);
}

#[tokio::test]
async fn what_somebody_else_has_written_into_its_folder_is_not_believed() {
    let (mut kept, api) = Kept::start().await;
    has_kept(&kept).await;
    kept.mesh.stop().await;
    let file = kept.mesh.scratch().join("identity/discovered.bin");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let again = kept.again(&api);
    crash(api).await;
    let config = again.settings().await;
    let config = weft_proxy::config::Config::read(|name| config.get(name).cloned()).unwrap();
    let alone =
        soon("a start", weft_proxy::Proxy::start(config)).await.unwrap_or_else(|error| panic!("{error}"));
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(kept.get().await, (503, "no_policy".to_owned()));
    drop(alone);
}

#[tokio::test]
async fn a_proxy_that_comes_back_alone_and_knows_nothing_lets_nobody_in_until_it_is_told_who_may() {
    let (mut kept, api) = Kept::start().await;
    let before = kept.origin.count();
    has_kept(&kept).await;
    kept.mesh.stop().await;
    std::fs::remove_file(kept.mesh.scratch().join("identity/discovered.bin")).unwrap();
    let again = kept.again(&api).settings().await;
    crash(api).await;
    let config = weft_proxy::config::Config::read(|name| again.get(name).cloned()).unwrap();
    let starting = weft_proxy::Proxy::start(config);
    let alone =
        soon("a start without a control plane", starting).await.unwrap_or_else(|error| panic!("{error}"));
    let [inbound, outbound, admin, ..] = alone.addrs[..] else { panic!("{:?}", alone.addrs) };

    // It is somebody: its peer's handshake succeeds, and what it answers is its own "not yet".
    assert_eq!(kept.get().await, (503, "no_policy".to_owned()));
    // In plaintext nobody says which port is meant, and which ones there are is policy too: closed without a word.
    let mut plain = call::Client::connect(inbound, call::Form::Origin).await;
    assert!(soon("an end", plain.try_send(call::get("http://api/"))).await.is_err());
    assert_eq!(kept.origin.count(), before, "nothing has reached the application");
    let ready = call::to(admin, call::get(&format!("http://{admin}/ready"))).await;
    assert_eq!(ready.status, 503, "{ready:?}");
    let live = call::to(admin, call::get(&format!("http://{admin}/live"))).await;
    assert_eq!(live.status, 200, "{live:?}");
    let own = call::through(outbound, call::get("http://api-v1/")).await;
    assert_eq!((own.status.as_u16(), own.refusal()), (503, "discovery_timeout"), "{own:?}");

    kept.mesh.resume().await;
    soon("policy", alone.ready()).await;
    kept.mesh.serves("shop/api", 80, 1).await;
    assert_eq!(kept.get().await, (200, String::new()));
    assert_eq!(kept.post().await, 403, "what was denied before it went is denied again");
}

#[tokio::test]
async fn a_proxy_that_asks_for_its_first_certificate_is_alive_and_not_ready() {
    let mut mesh = Mesh::start(SERVICES).await;
    let token = mesh.token("shop/web", "web").await;
    mesh.stop().await;
    let admin = port::of_its_own();
    let settings = mesh.beside("shop/web").token(&token).set("WEFT_ADMIN", &admin).settings().await;
    let config = weft_proxy::config::Config::read(|name| settings.get(name).cloned()).unwrap();
    let starting = tokio::spawn(weft_proxy::Proxy::start(config));
    eventually("somebody listens", async || tokio::net::TcpStream::connect(admin).await.ok()).await;
    let status = async |path: &str| call::to(admin, call::get(&format!("http://{admin}{path}"))).await.status;
    assert_eq!((status("/live").await.as_u16(), status("/ready").await.as_u16()), (200, 503));
    mesh.resume().await;
    let proxy = soon("a certificate", starting).await.unwrap().unwrap_or_else(|error| panic!("{error}"));
    soon("policy", proxy.ready()).await;
    assert_eq!((status("/live").await.as_u16(), status("/ready").await.as_u16()), (200, 200));
}
