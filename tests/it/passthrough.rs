//! TLS of the application's own: the sidecars carry it, under their own mTLS, and see nothing of it.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use weft_tests::call;
use weft_tests::eventually::{eventually, soon};
use weft_tests::mesh::Mesh;
use weft_tests::port;
use weft_tests::program::{self, output};
use weft_tests::sidecar::Sidecar;
use weft_tests::tls::TlsEcho;

use crate::ways_in::{socks, tunnel};

/// web → `vault`, whose port 443 says what it speaks and whose port 8443 says nothing.
struct Sealed {
    mesh: Mesh,
    web: Sidecar,
    vault: Sidecar,
    echo: TlsEcho,
}

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: vault, namespace: shop}
spec:
  selector: {app: vault}
  ports:
  - {name: tls, port: 443, targetPort: tls, appProtocol: https}
  - {name: any, port: 8443, targetPort: tls}
";

/// The application's certificate is for this name, which no sidecar knows.
const NAME: &str = "vault.example";

impl Sealed {
    async fn open(manifests: &str) -> Self {
        let mesh = Mesh::start(&format!("{SERVICES}\n---\n{manifests}")).await;
        let echo = TlsEcho::start(NAME, "secret/1").await;
        let vault = mesh.beside("shop/vault").port("tls", echo.peer.addr).start().await;
        let fixed = "127.0.0.1:0=vault.shop:443,127.0.0.1:0=vault.shop:8443";
        let web = mesh.beside("shop/web").set("WEFT_LOCAL_PORTS", fixed).start().await;
        for port in [443, 8443] {
            mesh.serves("shop/vault", port, 1).await;
        }
        Self { mesh, web, vault, echo }
    }

    /// A handshake over `stream`: the certificate is the application's own, the protocol the one that the two chose,
    /// and every byte comes back.
    async fn passes<S: AsyncRead + AsyncWrite + Unpin>(&self, how: &str, stream: S) {
        let stream = self.echo.handshake(NAME, "secret/1", stream).await;
        let mut stream = stream.unwrap_or_else(|error| panic!("{how}: {error}"));
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().unwrap();
        assert_eq!(shown, std::slice::from_ref(&self.echo.certificate), "{how}");
        assert_eq!(session.alpn_protocol(), Some(&b"secret/1"[..]), "{how}");
        let much: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        let (mut read, mut write) = tokio::io::split(&mut stream);
        let mut back = vec![0; much.len()];
        let (sent, received) = tokio::join!(
            async {
                write.write_all(&much).await?;
                write.flush().await
            },
            soon("every byte", read.read_exact(&mut back))
        );
        sent.and(received.map(drop)).unwrap_or_else(|error| panic!("{how}: {error}"));
        assert!(back == much, "{how}");
    }
}

#[tokio::test]
async fn an_applications_own_tls_passes_both_sidecars_by_every_explicit_way_in() {
    let sealed = Sealed::open("").await;
    let (web, fixed) = (&sealed.web, &sealed.web.fixed);
    sealed.passes("CONNECT, a port that says TLS", tunnel(web, "vault.shop:443").await).await;
    sealed.passes("CONNECT, a port that says nothing", tunnel(web, "vault.shop:8443").await).await;
    sealed.passes("SOCKS5, a port that says TLS", socks(web, "vault.shop", 443).await).await;
    sealed.passes("SOCKS5, a port that says nothing", socks(web, "vault.shop", 8443).await).await;
    sealed.passes("a fixed local port that says TLS", call::connect(fixed[0]).await).await;
    sealed.passes("a fixed local port that says nothing", call::connect(fixed[1]).await).await;
    assert_eq!(sealed.echo.peer.accepted(), 6);
    // On the way between the sidecars each of them is within the mesh's own mTLS.
    let detected = async |kind: &[&str]| sealed.vault.counter("weft_detected_connections_total", kind).await;
    assert_eq!((detected(&["tls"]).await, detected(&[]).await), (6.0, 6.0));
}

#[tokio::test]
async fn a_caller_that_may_not_reach_the_application_does_not_get_as_far_as_its_certificate() {
    let deny = "
        {apiVersion: weft.mesh/v1alpha1, kind: AuthorizationPolicy, metadata: {name: only-admin, namespace: shop},
         spec: {targetRefs: [{kind: Service, name: vault}], action: Allow,
                rules: [{from: [{serviceAccounts: [shop/admin]}]}]}}";
    let sealed = Sealed::open(deny).await;
    let stream = socks(&sealed.web, "vault.shop", 443).await;
    assert!(sealed.echo.handshake(NAME, "secret/1", stream).await.is_err());
    let admin = sealed.mesh.beside("shop/admin").start().await;
    sealed.passes("admin", socks(&admin, "vault.shop", 443).await).await;
    assert_eq!(sealed.echo.peer.accepted(), 1, "only the admin's connection arrived");
}

#[tokio::test]
async fn a_client_without_a_sidecar_passes_where_plaintext_may_and_is_closed_where_not() {
    let sealed = Sealed::open("").await;
    sealed.passes("no sidecar", call::connect(sealed.vault.inbound).await).await;
    let strict = "
        {apiVersion: weft.mesh/v1alpha1, kind: AuthenticationPolicy, metadata: {name: strict, namespace: shop},
         spec: {targetRefs: [{kind: Service, name: vault}], mtls: {mode: Strict}}}";
    sealed.mesh.apply("strict.yaml", strict).await;
    let stream = call::connect(sealed.vault.inbound).await;
    assert!(sealed.echo.handshake(NAME, "secret/1", stream).await.is_err());
    sealed.passes("a sidecar", tunnel(&sealed.web, "vault.shop:443").await).await;
}

#[tokio::test]
async fn nginx_and_curl_agree_on_tls_of_their_own_in_either_version_by_connect_and_socks() {
    if ["nginx", "curl", "openssl"].iter().any(|what| !program::is_there(what, "TLS of nginx and curl")) {
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let dir = folder.path().display().to_string();
    let made = output(&format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=site \
         -addext subjectAltName=DNS:vault.shop -keyout {dir}/key.pem -out {dir}/cert.pem"
    ));
    assert!(made.status.success(), "{made:?}");
    let addr = port::of_its_own();
    let server = format!(
        "ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
         location / {{ return 200 \"$ssl_protocol $server_protocol\\n\"; }}"
    );
    let _nginx = program::nginx(folder.path(), &format!("{addr} ssl http2"), &server, "");
    eventually("nginx listens", async || tokio::net::TcpStream::connect(addr).await.ok()).await;
    let mesh = Mesh::start(SERVICES).await;
    let _vault = mesh.beside("shop/vault").port("tls", addr).start().await;
    let web = mesh.beside("shop/web").start().await;
    mesh.serves("shop/vault", 443, 1).await;
    let ways = [format!("--proxy http://{}", web.outbound), format!("--proxy socks5h://{}", web.outbound)];
    for way in ways {
        for (version, want) in [
            ("--tls-max 1.2", "TLSv1.2 HTTP/2.0\n"),
            ("--tlsv1.3", "TLSv1.3 HTTP/2.0\n"),
            ("--http1.1", "TLSv1.3 HTTP/1.1\n"),
        ] {
            let line = format!(
                "curl --silent --show-error --max-time 20 --cacert {dir}/cert.pem {way} {version} https://vault.shop/"
            );
            let said = tokio::task::spawn_blocking(move || output(&line)).await.unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), want, "{way} {version}: {said:?}");
        }
    }
}
