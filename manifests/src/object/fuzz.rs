//! Any JSON of an API server: read as the same object that YAML would be, and never a surprise.

use super::*;
use crate::document;

#[test]
fn any_json_is_read_as_the_same_text_in_yaml_is() {
    weft_fuzz::law!("object_json", |bytes| {
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
        let from_server = decode(&Document::from_json(&json));
        assert!(from_server.diagnostics.iter().all(|found| found.line.is_none_or(|line| line == 0)));
        if let Some(object) = &from_server.object {
            assert_eq!(from_server.key, Some(object.key()));
            // Written again by serde: one value a name, no number that only one of the two can hold.
            let text = serde_json::to_string(&json).unwrap();
            let read = document::read(&text);
            if let ([document], false) = (read.documents.as_slice(), text.contains(['e', 'E', '\\'])) {
                assert_eq!(decode(document).object.as_ref().map(Object::key), Some(object.key()), "{text}");
            }
        }
        let security = from_server.key.as_ref().is_some_and(|key| is_security(key.kind));
        let refused = from_server.object.is_none() && from_server.key.is_some();
        assert!(!(security && refused) || from_server.diagnostics.iter().any(Diagnostic::is_error));
    });
}
