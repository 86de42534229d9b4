//! Any text as an identity: it has one form, and its parts are its parts.

use super::{SpiffeId, TrustDomain};

#[test]
fn any_text_that_is_an_identity_is_written_as_it_was_read() {
    weft_fuzz::law!("spiffe_id", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(id) = text.parse::<SpiffeId>() else { return };
        assert_eq!(id.to_string(), text, "two texts for one identity would be two names for one caller");
        assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text);
        assert!(id.trust_domain().parse::<TrustDomain>().is_ok());
        assert!(text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!["%", "?", "#", "@", "//"].iter().any(|mark| text["spiffe://".len()..].contains(mark)));
        if let Some(workload) = id.as_workload() {
            assert!(!id.is_control_plane(), "no workload is named as the control plane is");
            let domain = id.trust_domain().parse().unwrap();
            assert_eq!(
                SpiffeId::workload(&domain, workload.namespace, workload.service_account),
                Ok(id.clone())
            );
        }
    });
}
