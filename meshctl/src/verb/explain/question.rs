//! The request that is asked about.

use std::str::FromStr;
use std::time::SystemTime;

use anyhow::{Context, bail};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use weft_policy::canonical;
use weft_policy::draw::Draw;
use weft_policy::facts::{Destination, Facts, Request, Source};
use weft_policy::identity::SpiffeId;

/// A request, complete enough to be decided on.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) to: To,
    pub(super) method: Method,
    /// Without query, in the form that a proxy decides on.
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    /// Where every choice of this request starts.
    pub(super) draw: Draw,
    /// `None`: we drew it.
    pub(super) drawn_by_operator: bool,
}

impl Question {
    /// A question.
    ///
    /// # Errors
    /// If the path is none.
    pub(super) fn new(
        to: To,
        method: Method,
        path: &str,
        headers: Vec<(HeaderName, HeaderValue)>,
        draw: Option<u64>,
    ) -> anyhow::Result<Self> {
        let uri: Uri = path.parse().with_context(|| format!("`{path}` is no path"))?;
        if !path.starts_with('/') {
            bail!("`{path}` is no path: it begins with a slash");
        }
        let Ok(canonical) = canonical::path(uri.path()) else {
            bail!("a proxy refuses `{path}` with 400: servers read such a path in different ways");
        };
        let canonical = canonical.into_owned();
        let mut fields = HeaderMap::new();
        for (name, value) in headers {
            fields.append(name, value);
        }
        let seed = draw.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let nanos = u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap_or(0);
            // One step, so that seeds of neighbouring moments are nothing alike.
            Draw::from_seed(nanos ^ u64::from(std::process::id())).bits()
        });
        Ok(Self {
            to,
            method,
            path: canonical,
            query: uri.query().map(str::to_owned),
            headers: fields,
            draw: Draw::from_seed(seed),
            drawn_by_operator: draw.is_some(),
        })
    }

    /// Whether it is a gRPC call, as a proxy sees it.
    pub(super) fn is_grpc(&self) -> bool {
        let kind =
            self.headers.get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        kind.starts_with(b"application/grpc") && !kind.starts_with(b"application/grpc-web")
    }

    /// What the caller's proxy knows.
    pub(super) fn facts<'a>(&'a self, us: Option<&'a SpiffeId>) -> Facts<'a> {
        Facts {
            source: Source { identity: us, addr: None },
            destination: Destination::Name { host: &self.to.host, port: self.to.port },
            request: Some(Request {
                method: &self.method,
                host: &self.to.host,
                path: &self.path,
                query: self.query.as_deref(),
                headers: &self.headers,
                grpc: self.is_grpc(),
            }),
        }
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct To {
    /// Lower case, without a trailing dot.
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for To {
    type Err = String;

    /// `api.shop`, `api.shop:8080`, `10.0.0.7:80`, `[fd00::1]:80`, `shop/api`, `shop/api:8080`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port != 0);
                (host, port.ok_or_else(|| format!("`{text}`: the port is not a number from 1 to 65535"))?)
            }
            _ => (text, 80),
        };
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let host = match host.split_once('/') {
            Some((namespace, name)) => {
                let both = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
                both.then(|| format!("{name}.{namespace}"))
            }
            None => Some(host.to_owned()),
        };
        let host = host.map(|host| host.strip_suffix('.').unwrap_or(&host).to_ascii_lowercase());
        match host.filter(|host| !host.is_empty()) {
            Some(host) => Ok(Self { host, port }),
            None => Err(format!("`{text}` is neither HOST[:PORT] nor NAMESPACE/NAME[:PORT]")),
        }
    }
}

/// Reads `name: value`.
pub(super) fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write name: value")?;
    let name = name.trim().parse().map_err(|_| format!("`{name}` is no header name"))?;
    let value = value.trim().parse().map_err(|_| "the value has a character that no header may have")?;
    Ok((name, value))
}

/// Reads a draw, as an access log writes it.
pub(super) fn draw(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let hex = !digits.starts_with('+');
    u64::from_str_radix(digits, 16).ok().filter(|_| hex).ok_or_else(|| "write up to 16 hex digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_reads_in_every_spelling() {
        for (text, host, port) in [
            ("api.shop", "api.shop", 80),
            ("API.shop.:8080", "api.shop", 8080),
            ("shop/api", "api.shop", 80),
            ("shop/api:8080", "api.shop", 8080),
            ("10.0.0.7:81", "10.0.0.7", 81),
            ("[fd00::1]:81", "fd00::1", 81),
            ("fd00::1", "fd00::1", 80),
        ] {
            assert_eq!(text.parse(), Ok(To { host: host.into(), port }), "{text}");
        }
        for text in ["", ":80", "api:0", "api:x", "api:65536", "/api", "shop/", "a/b/c"] {
            assert!(text.parse::<To>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_draw_is_hex_as_the_access_log_writes_it() {
        assert_eq!(draw("00c0ffee00c0ffee"), Ok(0x00c0_ffee_00c0_ffee));
        assert_eq!(draw("0x1"), Ok(1));
        for text in ["", "+1", "-1", "xyz", "10000000000000000"] {
            assert!(draw(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_query_is_no_part_of_the_path() {
        let to = "api.shop".parse().unwrap();
        let question = Question::new(to, Method::GET, "/a/b?c=d", Vec::new(), Some(7)).unwrap();
        assert_eq!((question.path.as_str(), question.query.as_deref()), ("/a/b", Some("c=d")));
        assert_eq!(question.draw, Draw::from_seed(7));
        let relative = Question::new("api".parse().unwrap(), Method::GET, "cart", Vec::new(), None);
        assert!(relative.unwrap_err().to_string().contains("slash"));
    }
}
