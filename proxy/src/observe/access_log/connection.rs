//! The line of an opaque connection, at its end: who, where to, and how much; or why not.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::ser::{SerializeMap as _, Serializer as _};

use super::{Json, MAX_NAME, cut, line, micros, timestamp};
use crate::observe::metrics::Direction;

/// An opaque connection, as its line tells it. Borrowed, as an [`Entry`](super::Entry) is.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// When it had been understood.
    pub time: SystemTime,
    /// Which way.
    pub direction: Direction,
    /// Who opened it. An address is not an identity.
    pub source: SocketAddr,
    /// The proven identity of the caller.
    pub peer: Option<&'a str>,
    /// Where it was going, as its opener said.
    pub destination: &'a str,
    /// The service that is.
    pub service: Option<&'a str>,
    /// Where it went.
    pub endpoint: Option<SocketAddr>,
    /// The token of the refusal, where it was not carried.
    pub refusal: Option<&'a str>,
    /// The policy object that the refusal names.
    pub policy: Option<&'a str>,
    /// Until both directions had ended.
    pub took: Duration,
    /// Bytes from the client.
    pub sent: u64,
    /// Bytes to the client.
    pub received: u64,
}

impl Connection<'_> {
    pub(super) fn line(&self) -> Vec<u8> {
        line(|json| self.fields(json))
    }

    fn fields(&self, json: &mut Json<'_>) -> serde_json::Result<()> {
        let mut map = json.serialize_map(None)?;
        map.serialize_entry("time", &timestamp::rfc3339(self.time))?;
        map.serialize_entry("direction", self.direction.label())?;
        map.serialize_entry("protocol", "tcp")?;
        map.serialize_entry("source", &self.source.to_string())?;
        if let Some(peer) = self.peer {
            map.serialize_entry("peer", cut(peer, MAX_NAME))?;
        }
        map.serialize_entry("destination", cut(self.destination, MAX_NAME))?;
        if let Some(service) = self.service {
            map.serialize_entry("service", cut(service, MAX_NAME))?;
        }
        if let Some(endpoint) = self.endpoint {
            map.serialize_entry("endpoint", &endpoint.to_string())?;
        }
        for (name, text) in [("refusal", self.refusal), ("policy", self.policy)] {
            if let Some(text) = text {
                map.serialize_entry(name, cut(text, MAX_NAME))?;
            }
        }
        map.serialize_entry("duration_us", &micros(self.took))?;
        map.serialize_entry("sent_bytes", &self.sent)?;
        map.serialize_entry("received_bytes", &self.received)?;
        map.end()
    }
}
