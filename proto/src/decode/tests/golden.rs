//! The bytes themselves. A version is a hash of them: a change here makes every proxy of every mesh fetch
//! everything again, so it has to be meant.

use super::*;

#[track_caller]
fn is_golden(what: &str, bytes: &[u8], (text, version_): (&str, u64)) {
    // Line breaks in the constants are there for the reader.
    let wanted: String = text.split('\n').map(str::trim).collect();
    assert_eq!(bytes.escape_ascii().to_string(), wanted, "{what}");
    assert_eq!(version::of(bytes), version_, "{what}");
}

#[test]
fn one_of_each_has_these_bytes_and_this_version() {
    // Through the policy types and back, so that it is the encoder's bytes that are golden.
    let trust = encode::bytes(&encode::trust(&trust(sound::trust()).unwrap()));
    is_golden("trust", &trust, TRUST);
    let endpoints = encode::bytes(&encode::endpoints(&endpoints(sound::endpoints()).unwrap()));
    is_golden("endpoints", &endpoints, ENDPOINTS);
    let service = encode::bytes(&encode::service(&service(sound::service()).unwrap()));
    is_golden("service", &service, SERVICE);
    let routes = encode::bytes(&encode::routes(&routes(sound::routes()).unwrap()));
    is_golden("routes", &routes, ROUTES);
    let Decoded { inbound, health, .. } = inbound(sound::inbound(), None).unwrap();
    let inbound = encode::bytes(&encode::inbound(&inbound, &health));
    is_golden("inbound", &inbound, INBOUND);
}

const TRUST: (&str, u64) = (
    r#"\n\nweft.local\x10\x03\x1a\x020\x00\"\x01\x07*\"spiffe://weft.local/ns/shop/sa/old"#,
    0x2e2b_3d46_e2c6_cea7,
);
const ENDPOINTS: (&str, u64) = (
    r#"\n\x0f\n\x0b\n\x04shop\x12\x03api\x10P\x12P\n\"spiffe://weft.local/ns/shop/sa/api\x12\x01a\x18
     \x90?\"\x11\n\x06\n\x00\x00\x01\x1f\x90\x12\x05api-1\x18\x01\"\x11\n\x06\n\x00\x00\x02\x1f\x90
     \x12\x05api-2\x18\x01"#,
    0x8261_b99a_89cc_ed8b,
);
const SERVICE: (&str, u64) = (
    r#"\n\x0b\n\x04shop\x12\x03api\x12\t10.96.0.7\x1a\x08api.shop\"f\x08P\x12\x04http\x18\x01\"Z\n\r
     \x08\x04\x12\x04shop\x1a\x03api\x12\n*\x08\n\x06x-user\x1a\x06\n\x02\x08\x0f\x12\x00\"\x0e\x08
     \x02\x12\x02\xf7\x03:\x02\x08\x01B\x02\x08\x02*\x08\x08\x14\x10\n\x1a\x02\x08\n2\x19\x08\x07\x11
     \x00\x00\x00\x00\x00\x00\xe0?\x1a\x02\x08\n \n*\x02\x08\x012\x02\x08<:\x00"#,
    0xddb6_ee75_6350_2329,
);
const ROUTES: (&str, u64) = (
    r#"\n\x0b\n\x04shop\x12\x03api\x12\x8d\x02\x08P\x10\x01\x1a\x86\x02\n\r\x08\x02\x12\x04shop\x1a\x03
     api\x10\x01\x1a\r*.example.com\"\xe3\x01\n\x04main\x12)\x12\x03/v1*\x03GET2\x12\n\x06x-user\x12
     \x08\x12\x06[a-z]+:\t\n\x01q\x12\x04\x12\x02.*\x12\x0e\"\x0c\n\n\x12\x08shop\\..*\x1a\x1b\n\x19
     \n\x08\n\x03x-a\x12\x011\x12\x08\n\x03x-b\x12\x012\x1a\x03x-c\x1a$\x1a\"\n\x05https\x12\x0bexamp
     le.com\x18\xbb\x03\"\x06\n\x04/new(\xad\x02\x1a\x1c\"\x1a\n\x0capi.internal\x12\n\x12\x08\n\x03/
     v1\x12\x01/\"\x13\x08Z\x12\x0f\n\x0b\n\x04shop\x12\x03api\x10P\"\x1a\x08\n\x1a\x16\n\x12Service s
     hop/v3:80\x10\x022\x0e\x08\x02\x12\x02\xf7\x03:\x02\x08\x01B\x02\x08\x02"#,
    0x0176_47c8_51a9_a6b7,
);
const INBOUND: (&str, u64) = (
    r#"\n\r\x08\x07\x12\x04shop\x1a\x03api\x12\"spiffe://weft.local/ns/shop/sa/api\x1a\x01a\"7\x08\x90?
     \x10\x01\x1a\x0e127.0.0.1:8080\" \x08\x01\x12\r\x08\x06\x12\x04shop\x1a\x03api\x1a\nweft.local\"
     \x01\x00*\x1d\x08\x01\x12\r\x08\x06\x12\x04shop\x1a\x03api\x1a\nweft.local2h\n\r\x08\x05\x12\x04
     shop\x1a\x03api\x10\x01\x1aU\n6\n\"spiffe://weft.local/ns/shop/sa/web\x12\x04shop\x1a\n10.0.0.0/
     8\x12\x1b\n\x03GET\x12\x05\x12\x03/v1\x1a\r\n\x06x-user\x12\x03\n\x01a:\x19\x08\x90?\x1a\x08\n
     \x06/ready*\x02\x08\n2\x02\x08\x018\x02@\x03"#,
    0xb163_6a22_fc86_68ec,
);
