//! nginx in the place of the sidecars: one process, no access log, connections to the next one kept. Its hop is HTTP/1.1,
//! the only one it has towards another server.
//!
//! It checks the authority of its client's certificate. Of a server it could check no more than a DNS name, which a
//! SPIFFE certificate does not have, so there it checks nothing.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use super::certificates::Certificates;
use super::{Between, Handshake, Site, Way, listening};
use crate::machine::free_addrs;
use crate::process::Process;

/// Starts what lies between.
///
/// # Errors
/// What did not start, with its log.
pub(crate) async fn start(site: Site<'_>, program: &Path, between: Between) -> anyhow::Result<Way> {
    let certificates = Certificates::mint(site.dir)?;
    let [web, api] = free_addrs()?;
    let targets = between.targets(site.origin);
    let server = |listen, next: &[SocketAddr], kind| Server {
        listen,
        next: next.to_vec(),
        kind,
        between,
        certificates: &certificates,
    };
    let ends = match between {
        Between::One { .. } | Between::Endpoints(_) => vec![("nginx", server(web, &targets, Kind::Plain))],
        Between::Mesh(_) | Between::Tcp(_) | Between::Rules(_) | Between::Changing => vec![
            ("nginx-api", server(api, &targets, Kind::Inbound)),
            ("nginx-web", server(web, &[api], Kind::Outbound)),
        ],
        Between::Inbound => vec![("nginx-api", server(web, &targets, Kind::Inbound))],
    };
    let mut proxies = Vec::new();
    for (name, server) in ends {
        let home = site.dir.join(name);
        fs::create_dir_all(&home).context("a folder for nginx")?;
        let file = home.join("nginx.conf");
        fs::write(&file, server.config(&home)).context("nginx's configuration")?;
        let args = ["-p", &home.display().to_string(), "-e", "stderr", "-c", &file.display().to_string()];
        let mut process = Process::start(name, program, &args, &[], site.dir, site.cpus)?;
        listening(&mut process, server.listen).await?;
        proxies.push(process);
    }
    let client = (between == Between::Inbound).then(|| certificates.web());
    Ok(Way { entry: web, proxies, beside: Vec::new(), client, resumes: true, change: None })
}

/// The module for connections that are not HTTP; Debian has it in a package of its own (`libnginx-mod-stream`).
pub(crate) fn stream_module() -> Option<&'static str> {
    Path::new(STREAM_MODULE).exists().then_some(STREAM_MODULE)
}

const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Plaintext on both sides.
    Plain,
    /// Beside the caller.
    Outbound,
    /// Beside the application.
    Inbound,
}

struct Server<'c> {
    listen: SocketAddr,
    /// One or more, of which it takes the less loaded of two.
    next: Vec<SocketAddr>,
    kind: Kind,
    between: Between,
    certificates: &'c Certificates,
}

impl Server<'_> {
    fn config(&self, home: &Path) -> String {
        let opaque = matches!(self.between, Between::Tcp(_));
        let (load, block) = if opaque {
            (format!("load_module {STREAM_MODULE};\n"), format!("stream {{\n{}}}", self.stream()))
        } else {
            (String::new(), format!("http {{\n{}}}", self.http()))
        };
        let pid = home.join("pid");
        format!(
            "{load}daemon off;\nmaster_process off;\npid {};\nevents {{ worker_connections {}; }}\n{block}\n",
            pid.display(),
            self.between.connections()
        )
    }

    fn stream(&self) -> String {
        let resumed = self.between != Between::Tcp(Handshake::Full);
        format!(
            "  upstream next {{ {} }}\n  \
             server {{\n    listen {}{};\n{}    proxy_pass next;\n    proxy_buffer_size 64k;\n    proxy_half_close on;\n  }}\n",
            self.servers(),
            self.listen,
            if self.kind == Kind::Inbound { " ssl" } else { "" },
            self.tls(resumed),
        )
    }

    fn http(&self) -> String {
        let (listen, scheme) = match self.kind {
            Kind::Inbound => (" ssl", "http"),
            Kind::Outbound if self.between.is_http2() => (" http2", "https"),
            Kind::Outbound => ("", "https"),
            Kind::Plain => ("", "http"),
        };
        let pass = format!("proxy_pass {scheme}://next;");
        let mut locations = String::new();
        match self.between {
            Between::One { routes: 2.. } => {
                for path in self.between.paths() {
                    let _ = writeln!(locations, "    location = {path} {{ {pass} }}");
                }
            }
            _ => {
                let _ = writeln!(locations, "    location / {{ {pass} }}");
            }
        }
        format!(
            "  access_log off;\n  server_tokens off;\n  keepalive_requests 1000000000;\n  keepalive_timeout 600s;\n  \
             proxy_http_version 1.1;\n  proxy_set_header Connection \"\";\n  proxy_set_header Host $host;\n  \
             proxy_buffer_size 16k;\n  proxy_buffers 8 16k;\n  proxy_max_temp_file_size 0;\n  \
             upstream next {{ {}keepalive {}; keepalive_requests 1000000000; keepalive_timeout 600s; }}\n  \
             server {{\n    listen {}{listen};\n    http2_max_concurrent_streams 1000;\n{}{locations}  }}\n",
            self.servers(),
            self.next.len().max(512),
            self.listen,
            self.tls(true),
        )
    }

    fn servers(&self) -> String {
        let choice = if self.next.len() > 1 { "random two least_conn; " } else { "" };
        self.next.iter().fold(choice.to_owned(), |mut all, next| {
            let _ = write!(all, "server {next}; ");
            all
        })
    }

    fn tls(&self, resumed: bool) -> String {
        let certificates = self.certificates;
        match self.kind {
            Kind::Plain => String::new(),
            Kind::Outbound => format!(
                "    {}proxy_ssl_certificate {};\n    proxy_ssl_certificate_key {};\n    proxy_ssl_protocols TLSv1.3;\n    \
                 proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n    proxy_ssl_session_reuse {};\n",
                if matches!(self.between, Between::Tcp(_)) { "proxy_ssl on;\n    " } else { "" },
                certificates.chain("web"),
                certificates.key("web"),
                if resumed { "on" } else { "off" },
            ),
            Kind::Inbound => format!(
                "    ssl_certificate {};\n    ssl_certificate_key {};\n    ssl_protocols TLSv1.3;\n    \
                 ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n    ssl_client_certificate {};\n    \
                 ssl_verify_client on;\n    ssl_verify_depth 2;\n    ssl_session_tickets {};\n",
                certificates.chain("api"),
                certificates.key("api"),
                certificates.root(),
                if resumed { "on" } else { "off" },
            ),
        }
    }
}
