//! Any text as a destination: one form, and no name that a resolver would take for an address.

use std::net::IpAddr;

use super::Target;
use crate::way_in::FixedPort;

#[test]
fn any_text_that_is_a_destination_has_one_form() {
    weft_fuzz::law!("destination", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(target) = text.parse::<Target>() else { return };
        assert_ne!(target.port(), 0);
        assert_eq!(target.to_string().parse(), Ok(target.clone()), "{text}: what is printed reads back");
        match &target {
            Target::Addr(addr) => assert_eq!(addr.ip(), addr.ip().to_canonical()),
            Target::Name { host, .. } => {
                assert!(host.len() <= 253 && **host == host.to_ascii_lowercase() && !host.ends_with('.'));
                assert!(host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
                assert!(host.parse::<IpAddr>().is_err());
                // inet_aton reads these, and so do some resolvers.
                let digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
                let hex = |label: &str| {
                    label
                        .strip_prefix("0x")
                        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
                };
                assert!(!host.split('.').all(|label| digits(label) || hex(label)), "{host}");
            }
        }
        let fixed: FixedPort = format!("9001={text}").parse().unwrap();
        assert_eq!(fixed.target, target);
        assert!(fixed.listen.ip().is_loopback(), "nobody else can use a port that is only named");
    });
}
