//! Our own certificate of the moment, and the TLS configurations that follow from it.
//!
//! A renewal puts a new generation in place; whoever has taken the old one keeps using it for the connections
//! it was taken for. Configurations, and the sessions that may be resumed with them, are built once per generation and
//! value of trust ([`Sessions`]) and dropped with either.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use rustls::{ClientConfig, ServerConfig};

use crate::tls::{Credentials, Hop, Sessions, Tls};
use crate::verify::Expect;

/// Who we are at the moment. Empty until the first enrolment has succeeded.
#[derive(Debug)]
pub struct Identity {
    tls: Tls,
    current: ArcSwapOption<Generation>,
}

impl Identity {
    /// Nobody yet.
    #[must_use]
    pub fn unknown(tls: Tls) -> Self {
        Self { tls, current: ArcSwapOption::empty() }
    }

    /// What the configurations are built from; for a client that is nobody yet.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The generation of the moment. `None` before the first enrolment.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// Puts a renewed certificate in place and returns its generation. Connections that are open keep what
    /// they were made with.
    pub fn swap(&self, credentials: Credentials) -> Arc<Generation> {
        // Numbers tell generations apart in logs; two swaps at once are not expected, and would only share one.
        let number = self.current.load().as_ref().map_or(1, |current| current.number.saturating_add(1));
        let next = Arc::new(Generation::new(number, credentials, self.tls.clone()));
        self.current.store(Some(Arc::clone(&next)));
        next
    }
}

/// One certificate of ours, for as long as it is the newest, with the configurations built from it.
pub struct Generation {
    number: u64,
    credentials: Credentials,
    tls: Tls,
    sessions: Mutex<Arc<Sessions>>,
}

impl Generation {
    fn new(number: u64, credentials: Credentials, tls: Tls) -> Self {
        let sessions = Mutex::new(Arc::new(Sessions::new(tls.clone(), credentials.clone())));
        Self { number, credentials, tls, sessions }
    }

    /// 1 for the first certificate since the process started, then one more each time.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The certificate and its key.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// For accepting from other sidecars: a good certificate required, all hops between sidecars spoken. The caller
    /// judges whoever has completed a handshake: [`Tls::client_of`].
    #[must_use]
    pub fn sidecar_server(&self) -> Arc<ServerConfig> {
        self.sessions().server()
    }

    /// For connecting to the sidecar at `addr`, which has to be `expect`, speaking `hop`; resumes a session with that
    /// one if there is any. The caller judges whoever has completed a handshake: [`Tls::server_of`].
    #[must_use]
    pub fn sidecar_client(&self, expect: &Expect, hop: Hop, addr: SocketAddr) -> Arc<ClientConfig> {
        self.sessions().client_at(expect, hop, addr)
    }

    /// For connecting to a server that has to be `expect`, speaking `hop`, by a full handshake.
    #[must_use]
    pub fn client(&self, expect: &Expect, hop: Hop) -> Arc<ClientConfig> {
        self.sessions().client(expect, hop)
    }

    /// Those of this certificate and the trust of the moment: another value of trust starts without any. The lock is
    /// held for a look, once per new connection, never for a request.
    fn sessions(&self) -> Arc<Sessions> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if !sessions.are_current() {
            *sessions = Arc::new(Sessions::new(self.tls.clone(), self.credentials.clone()));
        }
        Arc::clone(&sessions)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("number", &self.number)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod resumption;
#[cfg(test)]
mod tests;
