//! Any request head: one host, one path, and nothing left by which its sender poses as somebody.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;
use crate::message::fields::{ProvenCaller, strip_hop_by_hop, strip_identity, upgrade_wanted};

#[test]
fn any_head_has_one_target_and_it_survives_the_hop() {
    weft_fuzz::law!("head", |bytes| {
        let Some(mut request) = head(bytes) else { return };
        let Ok(target) = RequestTarget::read(&mut request) else { return };
        assert!(
            !target.host.is_empty() && !target.host.contains(['@', '/', '?', '#', ' ', ',']),
            "{target:?}"
        );
        assert_eq!(*target.host, target.host.to_ascii_lowercase());
        assert!(request.uri().path().starts_with(['/', '*']) || request.method() == Method::CONNECT);

        let before = (request.uri().path().to_owned(), request.uri().query().map(str::to_owned));
        assert_eq!(RequestTarget::read(&mut request), Ok(target.clone()), "read twice, it is the same");
        let (mut parts, ()) = request.into_parts();
        for http in [Http::H1, Http::H2, Http::H1] {
            if parts.method == Method::CONNECT {
                break;
            }
            write(&mut parts, http, &target.authority);
            let mut sent = Request::from_parts(parts, ());
            assert_eq!(RequestTarget::read(&mut sent), Ok(target.clone()), "over {http:?}");
            assert_eq!((sent.uri().path(), sent.uri().query()), (&*before.0, before.1.as_deref()));
            parts = sent.into_parts().0;
        }
    });
}

#[test]
fn any_fields_are_stripped_of_what_only_a_proxy_may_say() {
    weft_fuzz::law!("fields", |bytes| {
        let Some(request) = head(bytes) else { return };
        let mut fields = request.headers().clone();
        let upgrade = upgrade_wanted(Version::HTTP_11, &fields);
        assert!(
            upgrade.is_none_or(|wanted| !wanted
                .to_str()
                .unwrap_or("")
                .to_ascii_lowercase()
                .starts_with("h2c"))
        );
        let named: Vec<String> = fields.get_all("connection").iter().flat_map(words).collect();

        strip_hop_by_hop(&mut fields);
        strip_identity(&mut fields);
        for name in fields.keys() {
            let name = name.as_str();
            assert!(name == "te" || !named.iter().any(|named| named == name), "{name} was of the last hop");
            assert!(!HOP_BY_HOP.contains(&name), "{name}");
            let spelled = name.replace('_', "-");
            assert!(!OURS.iter().any(|ours| spelled.starts_with(ours)), "{name}");
        }
        assert!(fields.get_all("te").iter().all(|te| te == "trailers"));
        let once = fields.clone();
        strip_hop_by_hop(&mut fields);
        strip_identity(&mut fields);
        assert_eq!(fields, once, "what is stripped is stripped");

        let caller = "spiffe://weft.local/ns/shop/sa/web".parse().unwrap();
        let own = "spiffe://weft.local/ns/shop/sa/api".parse().unwrap();
        ProvenCaller::new(&caller, &own).unwrap().tell(&mut fields);
        let told: Vec<_> = fields.get_all("weft-client-id").iter().collect();
        assert_eq!(told, ["spiffe://weft.local/ns/shop/sa/web"], "one word, and it is ours");
    });
}

/// `METHOD target`, then a field a line; what is no such thing is no input.
fn head(bytes: &[u8]) -> Option<Request<()>> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(first.next()?).ok()?;
    *request.uri_mut() = Uri::try_from(first.next()?).ok()?;
    let mut fields = HeaderMap::new();
    for line in lines.take(50) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        fields.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    *request.headers_mut() = fields;
    Some(request)
}

fn words(value: &HeaderValue) -> Vec<String> {
    let text = value.to_str().unwrap_or_default();
    text.split(',').map(|word| word.trim().to_ascii_lowercase()).collect()
}

/// RFC 9110 §7.6.1, and what is not named there and is of one hop all the same.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];
const OURS: [&str; 4] = ["weft-", "x-weft-", "x-forwarded-client-cert", "l5d-client-id"];
