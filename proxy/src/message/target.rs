//! What a request asks for, in one canonical form: the same host and path are routed, authorized, recorded
//! and forwarded.

use std::borrow::Cow;

use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};
use weft_policy::canonical;
use weft_policy::refuse::Refusal;

use crate::message::Http;
use crate::message::text::is_authority;

/// The authority and path of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTarget {
    /// As sent on: host and port as the client wrote them.
    pub authority: Authority,
    /// Lower case, without port, trailing dot or brackets.
    pub host: Box<str>,
    /// Where the authority names one.
    pub port: Option<u16>,
}

impl RequestTarget {
    /// Reads the target of `request`, and puts its path into canonical form in place.
    ///
    /// # Errors
    /// `BadRequest` where there is no authority, or one that is not `host[:port]`, or, in HTTP/2, two that differ
    /// (RFC 9113 §8.3.1); and for paths that two parsers could read in two ways. In HTTP/1 an absolute target counts
    /// and `Host` does not (RFC 9112 §3.2.2).
    pub fn read<B>(request: &mut Request<B>) -> Result<Self, Refusal> {
        // Whatever a request asks for, it travels as one of these; an empty scheme gets through the HTTP/2 library.
        if request.uri().scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
            return Err(Refusal::BadRequest);
        }
        let mut hosts = request.headers().get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (None, _) => None,
            // RFC 9112 §3.2: more than one Host, or one that is not an authority, is an error.
            (Some(value), None) => Some(parse_authority(value.as_bytes())?),
            (Some(_), Some(_)) => return Err(Refusal::BadRequest),
        };
        let authority = match (request.uri().authority(), host) {
            (Some(target), Some(host))
                if request.version() == Version::HTTP_2
                    && !target.as_str().eq_ignore_ascii_case(host.as_str()) =>
            {
                return Err(Refusal::BadRequest);
            }
            (Some(target), _) => parse_authority(target.as_str().as_bytes())?,
            (None, Some(host)) => host,
            (None, None) => return Err(Refusal::BadRequest),
        };
        match (request.method(), request.uri().path()) {
            (&Method::CONNECT, _) | (&Method::OPTIONS, "*") => {} // RFC 9112 §3.2.3 and §3.2.4
            _ => canonicalize(request.uri_mut())?,
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase().into();
        Ok(Self { port: authority.port_u16(), host, authority })
    }
}

fn parse_authority(bytes: &[u8]) -> Result<Authority, Refusal> {
    if !is_authority(bytes) {
        return Err(Refusal::BadRequest);
    }
    Authority::try_from(bytes).map_err(|_| Refusal::BadRequest)
}

/// Writes the target in the form of the protocol in which the request goes on: origin-form and `Host`, or the
/// pseudo-fields of HTTP/2.
pub fn write(parts: &mut Parts, http: Http, authority: &Authority) {
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    match http {
        Http::H1 => {
            uri.scheme = None;
            uri.authority = None;
            let mut hosts = parts.headers.get_all(HOST).iter();
            let is_there = hosts.next().is_some_and(|host| host.as_bytes() == authority.as_str().as_bytes());
            if !(is_there && hosts.next().is_none())
                && let Ok(host) = HeaderValue::try_from(authority.as_str())
            {
                parts.headers.insert(HOST, host);
            }
            super::fields::join_cookies(&mut parts.headers);
            parts.version = Version::HTTP_11;
        }
        Http::H2 => {
            uri.scheme = Some(Scheme::HTTP);
            uri.authority = Some(authority.clone());
            parts.headers.remove(HOST);
            parts.version = Version::HTTP_2;
        }
    }
    // The path came out of a URI, or was checked as one.
    parts.uri = Uri::from_parts(uri).unwrap_or_default();
    // What is left of `http://host#fragment` is a path without a character, and a request line without a target.
    if http == Http::H1 && parts.uri.path().is_empty() {
        parts.uri = Uri::from_static("/");
    }
}

/// Puts the path of `uri` into canonical form.
fn canonicalize(uri: &mut Uri) -> Result<(), Refusal> {
    if let Cow::Owned(path) = canonical::path(uri.path())? {
        let path = uri.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
        let mut parts = std::mem::take(uri).into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| Refusal::BadRequest)?);
        *uri = Uri::from_parts(parts).map_err(|_| Refusal::BadRequest)?;
    }
    Ok(())
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_put_into_its_one_form_in_place_and_an_asterisk_is_for_options_alone() {
        for (method, uri, want) in [
            (Method::GET, "/a/%2e%2e/%62?q=%62", Ok("/b?q=%62")),
            (Method::GET, "/a%2fb", Ok("/a%2Fb")),
            (Method::GET, "/../a", Err(Refusal::BadRequest)),
            (Method::GET, "/a%00", Err(Refusal::BadRequest)),
            (Method::OPTIONS, "*", Ok("*")),
            (Method::GET, "*", Err(Refusal::BadRequest)),
            (Method::POST, "*", Err(Refusal::BadRequest)),
        ] {
            let mut request = Request::builder().method(method).uri(uri).header(HOST, "a").body(()).unwrap();
            let read = RequestTarget::read(&mut request).map(|_| request.uri().to_string());
            assert_eq!(read.as_deref(), want.as_ref().copied(), "{uri}");
        }
    }

    #[test]
    fn there_is_one_authority_or_none() {
        type Row<'r> = (&'r str, &'r [&'r str], Result<(&'r str, Option<u16>), Refusal>);
        let table: &[Row<'_>] = &[
            ("/", &["api.shop"], Ok(("api.shop", None))),
            ("/", &["API.Shop.:8080"], Ok(("api.shop", Some(8080)))),
            ("http://api.shop/", &["api.shop"], Ok(("api.shop", None))),
            ("http://api.shop:80/", &[], Ok(("api.shop", Some(80)))),
            ("http://api.shop/", &["other"], Ok(("api.shop", None))),
            ("http://user@api.shop/", &[], Err(Refusal::BadRequest)),
            ("https://api.shop/", &[], Ok(("api.shop", None))),
            ("ftp://api.shop/", &[], Err(Refusal::BadRequest)),
            ("/", &[], Err(Refusal::BadRequest)),
            ("/", &["a", "a"], Err(Refusal::BadRequest)),
            ("/", &["a, b"], Err(Refusal::BadRequest)),
            ("/", &["a,b"], Err(Refusal::BadRequest)),
            ("/", &["a%2Fb"], Err(Refusal::BadRequest)),
            ("/", &["[]:80"], Err(Refusal::BadRequest)),
            ("/", &["[shop]"], Err(Refusal::BadRequest)),
            ("/", &["."], Err(Refusal::BadRequest)),
            ("/", &["a/b"], Err(Refusal::BadRequest)),
            ("/", &["u@b"], Err(Refusal::BadRequest)),
            ("/", &["a:99999"], Err(Refusal::BadRequest)),
            ("/", &["[::1]:80"], Ok(("::1", Some(80)))),
        ];
        for (uri, hosts, want) in table {
            let mut request = Request::builder().uri(*uri);
            for host in *hosts {
                request = request.header(HOST, *host);
            }
            let got = RequestTarget::read(&mut request.body(()).unwrap());
            let got = got.as_ref().map(|target| (&*target.host, target.port)).map_err(|refusal| *refusal);
            assert_eq!(got, *want, "{uri} {hosts:?}");
        }
    }

    #[test]
    fn an_absolute_form_without_a_path_is_sent_on_with_one() {
        for uri in ["http://api.shop", "http://api.shop#top", "http://api.shop/"] {
            let mut request = Request::builder().uri(uri).body(()).unwrap();
            let target = RequestTarget::read(&mut request).unwrap();
            let (mut parts, ()) = request.into_parts();
            write(&mut parts, Http::H1, &target.authority);
            assert_eq!(parts.uri, "/", "{uri}");
        }
    }

    #[test]
    fn in_http_2_there_are_no_two_authorities() {
        let request =
            Request::builder().version(Version::HTTP_2).uri("http://api.shop/").header(HOST, "other");
        assert_eq!(RequestTarget::read(&mut request.body(()).unwrap()), Err(Refusal::BadRequest));
    }
}
