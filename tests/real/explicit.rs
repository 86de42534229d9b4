//! Programs that nobody here wrote under the mesh: nginx as the origin, curl as the client, by explicit ways in.
//!
//! Where one of them is not installed, this says so and passes; `tests/real/install.sh` installs them.

use std::process::Output;

use tempfile::TempDir;
use weft_tests::eventually::eventually;
use weft_tests::mesh::Mesh;
use weft_tests::port;
use weft_tests::program::{self, Process, command};
use weft_tests::sidecar::Sidecar;

const FILES: &str = "
apiVersion: v1
kind: Service
metadata: {name: files, namespace: shop}
spec: {selector: {app: files}, ports: [{name: http, port: 80, targetPort: http, appProtocol: http}]}
";

/// curl → web's sidecar → the sidecar of nginx → nginx.
struct Real {
    folder: TempDir,
    _mesh: Mesh,
    _files: Sidecar,
    web: Sidecar,
    _nginx: Process,
}

impl Real {
    /// `None` where something is missing.
    async fn open(test: &str) -> Option<Self> {
        if !program::is_there("nginx", test) || !program::is_there("curl", test) {
            return None;
        }
        let folder = TempDir::new().unwrap();
        let addr = port::of_its_own();
        let server = "location /who { return 200 \"$http_weft_client_id\\n\"; }
                      location /taken { return 200 \"$content_length\\n\"; }
                      location /old { return 302 /new; }
                      location /gzip { gzip on; gzip_types *; gzip_min_length 1; alias WWW/; }"
            .replace("WWW", &folder.path().join("www").display().to_string());
        let nginx = program::nginx(folder.path(), &addr.to_string(), &server, "");
        let page: Vec<u8> =
            (0..10_000_000u32).map(|n| b"0123456789abcdefghijklmnopqrstuvwxyz\n"[n as usize % 37]).collect();
        std::fs::write(folder.path().join("www/page.txt"), page).unwrap();
        eventually("nginx listens", async || tokio::net::TcpStream::connect(addr).await.ok()).await;
        let mesh = Mesh::start(FILES).await;
        let files = mesh.beside("shop/files-1").http(addr).start().await;
        let web = mesh.beside("shop/web").set("WEFT_LOCAL_PORTS", "127.0.0.1:0=files.shop:80").start().await;
        mesh.serves("shop/files", 80, 1).await;
        Some(Self { folder, _mesh: mesh, _files: files, web, _nginx: nginx })
    }

    /// Runs curl. The proxies run in this process, so nothing here may block its thread.
    async fn curl(&self, arguments: &str) -> Output {
        let line = format!("curl --silent --show-error --max-time 20 {arguments}");
        let output = tokio::task::spawn_blocking(move || program::output(&line)).await.unwrap();
        assert!(output.status.success(), "curl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    async fn text(&self, arguments: &str) -> String {
        String::from_utf8(self.curl(arguments).await.stdout).unwrap()
    }

    /// How curl is told about each way in.
    fn ways(&self) -> [(&'static str, String, String); 5] {
        let (proxy, fixed) = (self.web.outbound, self.web.fixed[0]);
        let url = "http://files.shop".to_owned();
        [
            ("HTTP proxy", format!("--proxy http://{proxy}"), url.clone()),
            ("CONNECT", format!("--proxytunnel --proxy http://{proxy}"), url.clone()),
            ("SOCKS5", format!("--proxy socks5h://{proxy}"), url.clone()),
            ("Host alone", format!("--connect-to files.shop:80:{proxy}"), url),
            ("fixed port", String::new(), format!("http://{fixed}")),
        ]
    }
}

#[tokio::test]
async fn curl_reads_from_nginx_by_every_explicit_way_in_and_nginx_learns_who_calls() {
    let Some(real) = Real::open("curl and nginx").await else { return };
    for (how, arguments, url) in real.ways() {
        assert_eq!(
            real.text(&format!("{arguments} {url}/who")).await,
            "spiffe://weft.local/ns/shop/sa/web\n",
            "{how}"
        );
    }
}

#[tokio::test]
async fn ten_megabytes_arrive_as_they_are_whole_in_part_and_compressed() {
    let Some(real) = Real::open("files of nginx").await else { return };
    let page = std::fs::read(real.folder.path().join("www/page.txt")).unwrap();
    let (_, via, url) = real.ways()[0].clone();
    assert!(real.curl(&format!("{via} {url}/page.txt")).await.stdout == page, "whole");
    assert!(
        real.curl(&format!("{via} --range 100-299 {url}/page.txt")).await.stdout == page[100..300],
        "a range"
    );
    assert!(real.curl(&format!("{via} --compressed {url}/gzip/page.txt")).await.stdout == page, "compressed");
    assert!(real.curl(&format!("{via} --http1.0 {url}/page.txt")).await.stdout == page, "HTTP/1.0");
}

#[tokio::test]
async fn uploads_heads_redirects_conditions_and_errors_are_nginxs_own() {
    let Some(real) = Real::open("answers of nginx").await else { return };
    let (_, via, url) = real.ways()[0].clone();
    let big = real.folder.path().join("www/page.txt").display().to_string();
    // More than a mebibyte: curl asks first (Expect: 100-continue).
    assert_eq!(real.text(&format!("{via} --data-binary @{big} {url}/taken")).await, "10000000\n");
    let head = real.text(&format!("{via} --head {url}/page.txt")).await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.to_lowercase().contains("content-length: 10000000"),
        "{head}"
    );
    let etag =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("etag: ").map(str::to_owned)).unwrap();
    let status = |arguments: String| {
        let real = &real;
        async move { real.text(&format!("{arguments} --output /dev/null --write-out %{{http_code}}")).await }
    };
    let chunked = format!("{via} --header Transfer-Encoding:chunked --data-binary @{big} {url}/taken");
    assert_eq!(status(chunked).await, "200");
    let condition = format!("--header If-None-Match:{}", etag.trim());
    assert_eq!(status(format!("{via} {condition} {url}/page.txt")).await, "304");
    assert_eq!(status(format!("{via} {url}/old")).await, "302");
    assert_eq!(status(format!("{via} {url}/missing")).await, "404");
    assert_eq!(status(format!("{via} --request DELETE {url}/page.txt")).await, "405");
}

#[tokio::test]
async fn a_hundred_requests_of_one_curl_reuse_their_connection() {
    let Some(real) = Real::open("keep-alive of curl").await else { return };
    let (_, via, url) = real.ways()[0].clone();
    let written = "--write-out %{num_connects}, --output /dev/null";
    let line = format!("curl --silent --show-error {via} {written} {url}/who?[1-100]");
    let output = tokio::task::spawn_blocking(move || command(&line).output().unwrap()).await.unwrap();
    let connects = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(connects.matches('1').count(), 1, "the first one connects: {connects}");
    assert_eq!(connects.matches('0').count(), 99, "{connects}");
}
