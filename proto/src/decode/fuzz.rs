//! Any bytes as the body of a resource: what can be read is written back and read as the same.

use super::*;
use crate::encode;

#[test]
fn any_body_that_is_read_is_written_in_one_form_and_read_from_it() {
    weft_fuzz::law!("resource", |bytes| {
        let Some((kind, body)) = bytes.split_first() else { return };
        let Ok(value) = value(*kind, body) else { return };
        let written = encode::resource(&value);
        let read = resource(&written).unwrap_or_else(|error| panic!("{value:?} is not read back: {error}"));
        assert_eq!(encode::resource(&read.value), written, "one value, one form");
        // Policies of one port are a set: what is sent in another order comes back in theirs.
        assert!(matches!(value, Value::Inbound(_)) || read.value == value);

        // Under its right name and version, these very bytes are that value too.
        let as_sent = encode::named(&value.key(), body.to_vec().into());
        assert_eq!(resource(&as_sent).map(|read| read.value), Ok(value));
        let forged = v1::Resource { version: as_sent.version ^ 1, ..as_sent };
        assert!(resource(&forged).is_err(), "a version is the hash of the body");
    });
}

/// The value that a body of this kind is, whatever it is called.
pub(crate) fn value(kind: u8, body: &[u8]) -> Result<Value, Rejected> {
    Ok(match kind % 5 {
        0 => Value::Trust(trust(message(body)?)?.into()),
        1 => {
            let decoded = inbound(message(body)?, None)?;
            Value::Inbound(Arc::new(Enforced { inbound: decoded.inbound.into(), health: decoded.health }))
        }
        2 => Value::Endpoints(endpoints(message(body)?)?.into()),
        3 => Value::Service(service(message(body)?)?.into()),
        _ => Value::Routes(routes(message(body)?)?.into()),
    })
}
