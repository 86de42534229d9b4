//! What a later handshake may be spared: sessions between sidecars, resumed under one certificate of ours and one value
//! of trust.
//!
//! rustls judges nobody when a session is resumed, so a session must never grant more than a full handshake would at
//! that moment. Four things see to it, each without the others:
//!
//! 1. **They end together.** Those that we gave out and those that we were given live in one [`Sessions`], made for one
//!    certificate of ours and one value of [`TrustBundles`]. A renewal, a root that comes or goes, a line on a deny list:
//!    each puts another `Sessions` in place, which knows none. Whoever has taken the earlier one before the change and
//!    uses it afterwards finds none either: both sides compare the value at every use.
//! 2. **They are for one far end.** A ticket is filed under who was expected, the hop and the address; rustls besides
//!    resumes only under the very verifier and certificate that the session was made with.
//! 3. **They are short.** One use, an hour ([`LIFETIME`]), never beyond our own leaf; no early data, and a fresh key
//!    exchange every time.
//! 4. **They are judged all the same.** Who completes a handshake, resumed or not, asks
//!    [`Tls::client_of`](super::Tls::client_of) or [`Tls::server_of`](super::Tls::server_of), which hold the
//!    certificates of the session to the rules of the moment, the peer's expiry among them.
//!
//! Only between sidecars. Whoever connects to the control plane does so once in hours.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::{Resumption, Tls12Resumption};
use rustls::{ClientConfig, ServerConfig};

mod given;
mod kept;

use self::given::Given;
use self::kept::{Kept, Place};
use super::{Credentials, Hop, Tls};
use crate::bounded::Bounded;
use crate::bundle::TrustBundles;
use crate::verify::{ClientAuth, Expect};

/// In seconds: for as long a session may be resumed. RFC 8446 §4.6.1 allows a week.
pub const LIFETIME: u32 = 3600;

/// The TLS configurations under one certificate of ours and one value of trust, and the sessions that belong to them.
pub(crate) struct Sessions {
    under: Arc<TrustBundles>,
    tls: Tls,
    credentials: Credentials,
    server: Arc<ServerConfig>,
    clients: Mutex<Clients>,
    kept: Arc<Kept>,
}

#[derive(Default)]
struct Clients {
    by_far_end: Bounded<(Expect, Hop), Client, MAX_CLIENTS>,
    made: u64,
}

/// A configuration that remembers nothing, and the number under which sessions made with it are filed.
#[derive(Clone)]
struct Client {
    number: u64,
    config: Arc<ClientConfig>,
}

impl Sessions {
    /// None yet, as `credentials` and under the trust of the moment.
    pub(crate) fn new(tls: Tls, credentials: Credentials) -> Self {
        let under = tls.trust().current();
        let mut server =
            ServerConfig::clone(&tls.server(&credentials, &Hop::BETWEEN_SIDECARS, ClientAuth::Required));
        let given = Given::new(&tls, Arc::clone(&under), credentials.us().not_after);
        server.session_storage = Arc::new(given);
        server.send_tls13_tickets = 1;
        let kept = Arc::new(Kept::new(Arc::clone(tls.trust()), Arc::clone(&under), Arc::clone(&tls.time)));
        Self { under, tls, credentials, server: Arc::new(server), clients: Mutex::default(), kept }
    }

    /// Whether we still trust as we did when they were made.
    pub(crate) fn are_current(&self) -> bool {
        self.tls.trust().is_current(&self.under)
    }

    /// For accepting: sessions that this gave out are resumed, no others.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For connecting to a server that has to be `expect`: a full handshake, and nothing kept for a later one.
    pub(crate) fn client(&self, expect: &Expect, hop: Hop) -> Arc<ClientConfig> {
        self.numbered(expect, hop).config
    }

    /// For connecting to a server at `addr` that has to be `expect`: an earlier session with that one is resumed, and
    /// one that can be resumed later is kept.
    pub(crate) fn client_at(&self, expect: &Expect, hop: Hop, addr: SocketAddr) -> Arc<ClientConfig> {
        let Client { number, config } = self.numbered(expect, hop);
        // A few pointers. What rustls compares before it resumes, the verifier and our certificate, stays the same.
        let mut config = ClientConfig::clone(&config);
        let place = Place::new(Arc::clone(&self.kept), number, addr);
        config.resumption = Resumption::store(Arc::new(place)).tls12_resumption(Tls12Resumption::Disabled);
        Arc::new(config)
    }

    fn numbered(&self, expect: &Expect, hop: Hop) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (expect.clone(), hop);
        if let Some(client) = clients.by_far_end.get(&key) {
            return client.clone();
        }
        clients.made += 1;
        let config = self.tls.client(&self.credentials, expect.clone(), hop);
        let client = Client { number: clients.made, config };
        clients.by_far_end.insert(key, client.clone());
        client
    }

    #[cfg(test)]
    pub(crate) fn clients(&self) -> usize {
        self.clients.lock().unwrap().by_far_end.len()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

/// As many client configurations are kept; beyond it they are built again. One is a few pointers.
pub(crate) const MAX_CLIENTS: usize = 1024;

#[cfg(test)]
mod tests;
