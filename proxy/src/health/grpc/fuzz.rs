//! Any answer of an application that is asked whether it is well: well is one message and no other.

use super::*;

#[test]
fn any_answer_but_one_is_not_well() {
    weft_fuzz::law!("grpc_health", |bytes| {
        assert_eq!(serving(bytes).is_ok(), bytes == [0, 0, 0, 0, 2, 8, 1], "{bytes:?}");
        if let Ok(status) = http::HeaderValue::from_bytes(bytes) {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status);
            let told = succeeded(&trailers);
            assert_eq!(told.is_ok(), bytes == b"0");
            assert!(told.is_ok() || told.unwrap_err().to_string().len() < 200, "a log line stays short");
        }
        let service = String::from_utf8_lossy(bytes);
        let asked = question(&service);
        let (head, message) = asked.split_at(5);
        assert_eq!(head[0], 0, "not compressed");
        assert_eq!(u32::from_be_bytes(head[1..].try_into().unwrap()) as usize, message.len());
        assert!(message.ends_with(service.as_bytes()));
    });
}
