//! Header fields that a proxy must not pass on: those of one hop, and those by which an outsider could pose
//! as somebody.

use http::header::{CONNECTION, COOKIE, HeaderName, HeaderValue, TE, UPGRADE};
use http::{HeaderMap, Version};
use weft_policy::identity::SpiffeId;

/// Tells the application who its caller is. Only ever our own word: it is stripped before it is set.
pub const CLIENT_ID: HeaderName = HeaderName::from_static("weft-client-id");
/// The same in the form that users of other meshes read.
const FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// The application's port, on an HTTP hop between two sidecars.
pub const HOP_PORT: HeaderName = HeaderName::from_static("weft-hop-port");
/// The version the client spoke, on an HTTP hop between two sidecars: `1.0`, `1.1` or `2`.
pub const HOP_VERSION: HeaderName = HeaderName::from_static("weft-hop-version");

/// Removes what concerns only the hop it arrived on (RFC 9110 §7.6.1): `Connection` and all it names, and the
/// fields that are hop-by-hop without being named. `TE: trailers` stays: HTTP/2 and gRPC need it.
///
/// Runs before a proxy adds fields of its own, so that none of those can be named away.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // One look at the names that are there costs a tenth of asking for each that might be. Most heads have none.
    if !headers.keys().any(is_of_one_hop) {
        return;
    }
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            // As bytes: what is no text beside a name does not hide it.
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .collect();
        headers.remove(CONNECTION);
        for name in named {
            headers.remove(name);
        }
    }
    for name in OF_ONE_HOP {
        headers.remove(name);
    }
    if headers.contains_key(TE) {
        let wants_trailers =
            headers.get_all(TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
        headers.remove(TE);
        if wants_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// Fields of one hop that need not be named in `Connection`.
const OF_ONE_HOP: [&str; 7] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "http2-settings",
    "transfer-encoding",
    "upgrade",
];

fn is_of_one_hop(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "connection" | "te") || OF_ONE_HOP.contains(&name)
}

/// Takes spaces and tabs off both ends of values (RFC 9110 §5.5). HTTP/1 has done it by itself; HTTP/2 carries them as
/// they are (RFC 9113 §8.2.1 calls such a request malformed), and rules and servers would see two different values.
pub(crate) fn trim_values(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let bytes = value.as_bytes();
        let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        // A part of a value that could be one is one.
        if (blank(bytes.first()) || blank(bytes.last()))
            && let Ok(trimmed) = HeaderValue::from_bytes(bytes.trim_ascii())
        {
            *value = trimmed;
        }
    }
}

/// Makes one `Cookie` of several, as HTTP/1.1 must have it: HTTP/2 may carry one in crumbs (RFC 9113 §8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// Removes from the trailers of a message what may only stand in its head (RFC 9110 §6.5.1): framing, routing, who asks
/// and how to read the content. A receiver that merges trailers into the head would believe it there. And of course what
/// only a proxy may say.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap) {
    const OF_HEADS: [&str; 36] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "cache-control",
        "expect",
        "forwarded",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "max-forwards",
        "pragma",
        "range",
        "authorization",
        "cookie",
        "proxy-authenticate",
        "proxy-authorization",
        "set-cookie",
        "www-authenticate",
        "age",
        "content-encoding",
        "content-range",
        "content-type",
        "date",
        "expires",
        "location",
        "origin",
        "retry-after",
        "vary",
    ];
    for name in OF_HEADS {
        trailers.remove(name);
    }
    strip_identity(trailers);
}

/// Removes every field by which an outsider could speak in a proxy's name, whatever stands for `-` in it: CGI and what
/// came of it writes all that is no letter and no digit as `_`.
pub fn strip_identity(headers: &mut HeaderMap) {
    // Before anything is asked about the rest of a name: `w` of Weft's, `x` and `l` of others'.
    let may_be = |name: &HeaderName| matches!(name.as_str().as_bytes(), [b'w' | b'x' | b'l', ..]);
    if !headers.keys().any(may_be) {
        return;
    }
    let forged: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
}

fn is_ours(name: &HeaderName) -> bool {
    const OURS: [&str; 4] = ["weft-", "x-forwarded-client-cert", "l5d-client-id", "x-weft-"];
    let name = name.as_str().as_bytes();
    OURS.iter().any(|ours| {
        name.len() >= ours.len()
            && name
                .iter()
                .zip(ours.bytes())
                .all(|(have, want)| *have == want || (want == b'-' && !have.is_ascii_alphanumeric()))
    })
}

/// What the application is told of a caller whose identity is proven, in place of whatever it was told. The same for
/// all requests of a connection, so it is put into words once.
#[derive(Clone, Debug)]
pub struct ProvenCaller {
    id: HeaderValue,
    cert: HeaderValue,
}

impl ProvenCaller {
    /// `caller` speaks to `own`.
    #[must_use]
    pub fn new(caller: &SpiffeId, own: &SpiffeId) -> Option<Self> {
        // A SPIFFE ID has only characters that a header value may have.
        let id = HeaderValue::try_from(caller.as_str()).ok()?;
        Some(Self { id, cert: HeaderValue::try_from(format!("By={own};URI={caller}")).ok()? })
    }

    /// Tells it.
    pub fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(CLIENT_ID, self.id.clone());
        headers.insert(FORWARDED_CLIENT_CERT, self.cert.clone());
    }
}

/// The protocol an HTTP/1.1 client asks to switch to, if any; never `h2c`, which would smuggle HTTP/2 past us.
pub(crate) fn upgrade_wanted(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    if version != Version::HTTP_11 {
        return None;
    }
    let named = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")));
    let wanted = headers.get(UPGRADE).filter(|_| named)?;
    // In whichever line it stands.
    let is_h2c = headers
        .get_all(UPGRADE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|token| token.trim().to_ascii_lowercase().starts_with("h2c")));
    (!is_h2c).then(|| wanted.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap()))
            .collect()
    }

    #[test]
    fn fields_named_in_connection_do_not_pass() {
        let mut map = HeaderMap::new();
        map.append("connection", "close, X-Secret".parse().unwrap());
        map.append("connection", "x-other".parse().unwrap());
        map.append("connection", HeaderValue::from_bytes(b"\xff, x-third ,").unwrap());
        for name in ["x-secret", "x-other", "x-third", "x-kept", "keep-alive", "proxy-connection", "upgrade"]
        {
            map.append(name, "1".parse().unwrap());
        }
        strip_hop_by_hop(&mut map);
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn values_have_no_blanks_at_their_ends() {
        for (value, want) in
            [(" 1", "1"), ("1\t ", "1"), ("a b", "a b"), (" ", ""), ("", ""), ("\t a \t", "a")]
        {
            let mut map = headers(&[("x-a", "0")]);
            map.insert("x-a", HeaderValue::from_bytes(value.as_bytes()).unwrap());
            trim_values(&mut map);
            assert_eq!(map["x-a"], want, "{value:?}");
        }
    }

    #[test]
    fn a_cookie_in_crumbs_is_one_again() {
        for (crumbs, want) in
            [(&["a=b"][..], Some("a=b")), (&["a=b", "c=d", "e=f"], Some("a=b; c=d; e=f")), (&[], None)]
        {
            let mut map = HeaderMap::new();
            for crumb in crumbs {
                map.append("cookie", crumb.parse().unwrap());
            }
            join_cookies(&mut map);
            let whole: Vec<_> = map.get_all("cookie").iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(whole, want.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn of_te_only_trailers_passes() {
        for (te, want) in [("trailers", Some("trailers")), ("gzip", None), ("gzip, trailers", None)] {
            let mut map = headers(&[("te", te)]);
            strip_hop_by_hop(&mut map);
            assert_eq!(map.get("te").map(|v| v.to_str().unwrap()), want, "{te}");
        }
    }

    #[test]
    fn nobody_can_pose_by_a_header() {
        for name in [
            "weft-client-id",
            "Weft-Client-Id",
            "weft_client_id",
            "weft-hop-port",
            "x-forwarded-client-cert",
            "x_forwarded-client_cert",
            "l5d-client-id",
            "x-weft-anything",
            "weft.client.id",
            "weft~client-id",
        ] {
            let mut map = headers(&[(name, "spiffe://td/ns/a/sa/admin"), ("x-kept", "1")]);
            strip_identity(&mut map);
            assert_eq!(map.len(), 1, "{name}");
        }
    }

    #[test]
    fn trailers_keep_what_may_come_last() {
        let mut map = headers(&[("grpc-status", "0"), ("server-timing", "db;dur=1"), ("x-checksum", "1")]);
        let kept = map.clone();
        for name in
            ["authorization", "content-length", "host", "set-cookie", "weft_client_id", "l5d-client-id"]
        {
            map.insert(name, "1".parse().unwrap());
        }
        strip_trailers(&mut map);
        assert_eq!(map, kept);
    }

    #[test]
    fn an_upgrade_needs_both_fields_and_is_never_h2c() {
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[("connection", "Upgrade"), ("upgrade", "websocket")], true),
            (&[("connection", "keep-alive, upgrade"), ("upgrade", "websocket")], true),
            (&[("upgrade", "websocket")], false),
            (&[("connection", "upgrade")], false),
            (&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")], false),
            (&[("connection", "upgrade"), ("upgrade", "websocket, H2C")], false),
            (&[("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")], false),
        ];
        for (lines, want) in table {
            assert_eq!(upgrade_wanted(Version::HTTP_11, &headers(lines)).is_some(), *want, "{lines:?}");
        }
        let websocket = headers(&[("connection", "upgrade"), ("upgrade", "websocket")]);
        assert!(upgrade_wanted(Version::HTTP_10, &websocket).is_none());
    }
}
