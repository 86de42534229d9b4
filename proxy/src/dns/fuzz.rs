//! Any datagram: one answer at most, to the question that was asked, no larger than the client takes, and never one
//! that another server of ours would answer in turn.

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, ResponseCode};

use super::answer::{Answer, MAX_UDP};
use super::question::{Asked, Question, canonical_zone};

#[test]
fn any_datagram_gets_one_bounded_answer_that_nobody_answers() {
    weft_fuzz::law!("dns", |bytes| match Question::read(bytes) {
        Asked::Nothing => {}
        Asked::Refuse(reply) => {
            assert!(
                reply.len() <= bytes.len().max(12) + 11,
                "a refusal is no amplifier: {} bytes",
                reply.len()
            );
            is_a_reply(&reply, bytes);
        }
        Asked::Question(question) => {
            let name = question.name();
            assert!(name.len() <= 1024 && name == name.to_ascii_lowercase(), "{name:?}");
            assert!(!name.ends_with('.') || name.ends_with("\\."), "the root's dot is gone: {name:?}");
            assert!(name.is_ascii() && !name.contains(['\n', '\0']), "{name:?}");
            assert!(question.is_in(name));
            let top = question.query.name().iter().next_back().unwrap_or_default();
            assert_eq!(question.is_in("mesh"), top.eq_ignore_ascii_case(b"mesh"), "by labels: {name:?}");
            if let Ok(zone) = canonical_zone(&format!(".{name}.")) {
                assert_eq!(zone, name, "a name that can be a zone is written as one");
                assert!(question.is_in(&zone));
            }
            let many = (0..2000_u32).map(|n| IpAddr::from(n.to_be_bytes())).collect();
            let mixed = vec![IpAddr::from([10, 0, 0, 1]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1])];
            let answers = [
                Answer::Ours(many),
                Answer::Ours(mixed),
                Answer::Ours(vec![[10, 0, 0, 1].into()]),
                Answer::NoSuchName { zone: "mesh".to_owned() },
                Answer::Theirs { code: ResponseCode::NXDomain, answers: Vec::new(), authorities: Vec::new() },
                Answer::NotNow,
            ];
            let allowed = question.payload.unwrap_or(0).clamp(512, MAX_UDP);
            for answer in answers {
                let reply = answer.to_bytes(&question, 512);
                assert!(reply.len() <= usize::from(allowed), "{} of {allowed} bytes", reply.len());
                is_a_reply(&reply, bytes);
                let told = Message::from_vec(&reply).expect("what we write can be read");
                assert_eq!(told.queries.first(), Some(&question.query), "the question is repeated as it was");
            }
        }
    });
}

fn is_a_reply(reply: &[u8], to: &[u8]) {
    let message = Message::from_vec(reply).expect("what we write can be read");
    assert_eq!(message.metadata.message_type, MessageType::Response);
    assert_eq!(reply.get(..2), to.get(..2), "the same id");
    assert!(matches!(Question::read(reply), Asked::Nothing), "a reply to a reply could go on for ever");
}
