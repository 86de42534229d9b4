//! Our own certificate of the moment, and the TLS configurations that follow from it.
//!
//! A renewal puts a new generation in place; whoever has taken the old one keeps using it for the connections
//! it was taken for. Configurations are built once per generation and shared, because rustls keys what it may
//! reuse by them, and dropped with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use rustls::{ClientConfig, ServerConfig};

use crate::tls::{Credentials, Hop, Tls};
use crate::verify::{ClientAuth, Expect};

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
    sidecar_server: Arc<ServerConfig>,
    clients: Mutex<HashMap<(Expect, Hop), Arc<ClientConfig>>>,
}

impl Generation {
    /// As many client configurations are kept; beyond it they are forgotten and built again.
    pub const MAX_CLIENTS: usize = 1024;

    fn new(number: u64, credentials: Credentials, tls: Tls) -> Self {
        let sidecar_server = tls.server(&credentials, &Hop::BETWEEN_SIDECARS, ClientAuth::Required);
        Self { number, credentials, tls, sidecar_server, clients: Mutex::default() }
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

    /// For accepting from other sidecars: a good certificate required, all hops between sidecars spoken.
    #[must_use]
    pub fn sidecar_server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.sidecar_server)
    }

    /// For connecting to a server that has to be `expect`, speaking `hop`. The lock is held for a look into a
    /// map, once per new connection, never for a request.
    #[must_use]
    pub fn client(&self, expect: &Expect, hop: Hop) -> Arc<ClientConfig> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (expect.clone(), hop);
        if let Some(config) = clients.get(&key) {
            return Arc::clone(config);
        }
        if clients.len() >= Self::MAX_CLIENTS {
            // Rare, and cheaper than remembering who was used when: a configuration is a few pointers.
            clients.clear();
        }
        let config = self.tls.client(&self.credentials, expect.clone(), hop);
        clients.insert(key, Arc::clone(&config));
        config
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
mod tests;
