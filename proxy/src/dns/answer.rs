//! What a question is answered with, and its bytes.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::question::Question;
use super::{MAX_ADDRESSES, MESH_TTL};

/// The outcome of looking a question up.
pub(super) enum Answer {
    /// A mesh name with these addresses. Of another family than asked for, they make NODATA: the name exists.
    Ours(Vec<IpAddr>),
    /// NXDOMAIN from us.
    NoSuchName {
        /// The zone of ours that does not hold the name.
        zone: String,
    },
    /// What an upstream server said.
    Theirs { code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record> },
    /// SERVFAIL: the client may ask again.
    NotNow,
}

impl Answer {
    /// The reply. Beyond `limit` (or the larger size that the client's EDNS allows, up to [`MAX_UDP`]) it is cut to
    /// its question and marked as truncated, so that the client asks again over TCP (RFC 2181 §9).
    pub(super) fn to_bytes(&self, question: &Question, limit: usize) -> Vec<u8> {
        let mut reply = Message::response(question.id, OpCode::Query);
        reply.metadata.recursion_desired = question.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.add_query(question.query.clone());
        if question.payload.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_UDP);
            reply.set_edns(edns);
        }
        self.fill(&mut reply, question);

        let allowed = question.payload.unwrap_or(0).min(MAX_UDP);
        let limit = limit.max(usize::from(allowed));
        let whole = reply.to_vec().ok().filter(|bytes| bytes.len() <= limit);
        whole.or_else(|| reply.truncate().to_vec().ok()).unwrap_or_default()
    }

    fn fill(&self, reply: &mut Message, question: &Question) {
        let ttl = u32::try_from(MESH_TTL.as_secs()).unwrap_or(u32::MAX);
        match self {
            Self::Ours(addresses) => {
                reply.metadata.authoritative = true;
                let records = addresses.iter().filter_map(|ip| address(*ip, question.query.query_type()));
                let owner = question.query.name();
                reply.add_answers(
                    records.take(MAX_ADDRESSES).map(|data| Record::from_rdata(owner.clone(), ttl, data)),
                );
                if reply.answers.is_empty() {
                    reply.add_authorities(start_of_authority(question.name(), ttl));
                }
            }
            Self::NoSuchName { zone } => {
                reply.metadata.authoritative = true;
                reply.metadata.response_code = ResponseCode::NXDomain;
                reply.add_authorities(start_of_authority(zone, ttl));
            }
            Self::Theirs { code, answers, authorities } => {
                reply.metadata.response_code = *code;
                reply.add_answers(answers.iter().cloned());
                reply.add_authorities(authorities.iter().cloned());
            }
            Self::NotNow => reply.metadata.response_code = ResponseCode::ServFail,
        }
    }
}

fn address(ip: IpAddr, wanted: RecordType) -> Option<RData> {
    match (ip.to_canonical(), wanted) {
        (IpAddr::V4(ip), RecordType::A) => Some(RData::A(A(ip))),
        (IpAddr::V6(ip), RecordType::AAAA) => Some(RData::AAAA(AAAA(ip))),
        _ => None,
    }
}

/// RFC 2308 §3: without it, nobody remembers that there is nothing.
fn start_of_authority(zone: &str, ttl: u32) -> Option<Record> {
    let zone = Name::from_ascii(format!("{zone}.")).ok()?;
    let server = Name::from_ascii("dns.mesh.").ok()?;
    let seconds = i32::try_from(ttl).unwrap_or(i32::MAX);
    let soa = SOA::new(server.clone(), server, 1, seconds, seconds, seconds, ttl);
    Some(Record::from_rdata(zone, ttl, RData::SOA(soa)))
}

/// The largest UDP reply: what fits an unfragmented packet everywhere (DNS flag day 2020).
pub(super) const MAX_UDP: u16 = 1232;
