//! A DNS message read as a question (RFC 1035 §4, RFC 6891), or the refusal it gets.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};

use super::DnsError;

/// What a datagram (or a TCP message) turns out to be.
pub(super) enum Asked {
    Question(Question),
    /// Send this back.
    Refuse(Vec<u8>),
    /// Say nothing: a reply to a reply could go on for ever.
    Nothing,
}

/// One question that can be answered.
pub(super) struct Question {
    pub(super) id: u16,
    pub(super) query: Query,
    pub(super) recursion_desired: bool,
    /// How large a UDP reply the client takes, if it speaks EDNS.
    pub(super) payload: Option<u16>,
    name: String,
}

impl Question {
    pub(super) fn read(bytes: &[u8]) -> Asked {
        let Ok(message) = Message::from_vec(bytes) else { return malformed(bytes) };
        let (id, op_code) = (message.metadata.id, message.metadata.op_code);
        if message.metadata.message_type != MessageType::Query {
            return Asked::Nothing;
        }
        let refuse = |code| refusal(&Message::error_msg(id, op_code, code));
        if op_code != OpCode::Query {
            return refuse(ResponseCode::NotImp);
        }
        if message.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            // RFC 6891 §6.1.3: BADVERS, in its two halves.
            let mut reply = Message::error_msg(id, op_code, ResponseCode::BADVERS);
            let mut edns = Edns::new();
            edns.set_rcode_high(1);
            reply.set_edns(edns);
            return refusal(&reply);
        }
        let [query] = message.queries.as_slice() else { return refuse(ResponseCode::FormErr) };
        if query.query_class() != DNSClass::IN {
            return refuse(ResponseCode::Refused);
        }
        // Whole zones and "everything there is" are the tools of amplification (RFC 8482).
        if matches!(query.query_type(), RecordType::ANY | RecordType::AXFR | RecordType::IXFR) {
            return refuse(ResponseCode::NotImp);
        }
        let mut name = query.name().to_ascii();
        name.make_ascii_lowercase();
        if name.ends_with('.') {
            name.pop();
        }
        Asked::Question(Self {
            id,
            query: query.clone(),
            recursion_desired: message.metadata.recursion_desired,
            payload: message.edns.as_ref().map(Edns::max_payload),
            name,
        })
    }

    /// Lower case, without the trailing dot; the root is empty. Bytes that are no letters come escaped.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the name is this zone or below it. `zone` is canonical.
    pub(super) fn is_in(&self, zone: &str) -> bool {
        self.name.strip_suffix(zone).is_some_and(|above| above.is_empty() || ends_a_label(above))
    }
}

/// Whether the dot at its end, if there is one, stands between labels: one within a label is escaped, as `\.`.
fn ends_a_label(text: &str) -> bool {
    text.strip_suffix('.').is_some_and(|label| {
        let before_the_backslashes = label.trim_end_matches('\\');
        (label.len() - before_the_backslashes.len()).is_multiple_of(2)
    })
}

/// A zone in the form that [`Question::is_in`] compares.
pub(super) fn canonical_zone(zone: &str) -> Result<String, DnsError> {
    let name = zone.strip_prefix('.').unwrap_or(zone);
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.len() > 253 || !name.split('.').all(fits) {
        return Err(DnsError::BadZone(zone.to_owned()));
    }
    Ok(name)
}

/// A header that asks something is told that the rest is not understood; less than a header is told nothing.
fn malformed(bytes: &[u8]) -> Asked {
    match bytes {
        [a, b, flags, _, _, _, _, _, _, _, _, _, ..] if flags & 0x80 == 0 => {
            let id = u16::from_be_bytes([*a, *b]);
            refusal(&Message::error_msg(id, OpCode::Query, ResponseCode::FormErr))
        }
        _ => Asked::Nothing,
    }
}

fn refusal(reply: &Message) -> Asked {
    reply.to_vec().map_or(Asked::Nothing, Asked::Refuse)
}
