//! The certificate that the webhooks are served by: made when there is none, when it has lived half of its life, and when
//! another root signs. The next connection is shown the new one; nothing is restarted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use weft_certs::authority::Front;

use crate::custody::Custody;

/// Makes certificates for one name as they fall due.
#[derive(Debug)]
pub struct Fronts {
    custody: Arc<Custody>,
    name: String,
    shown: Mutex<Option<(Front, Arc<ServerConfig>)>>,
}

impl Fronts {
    /// For the name by which the API server calls: `weft-control-plane.weft-system.svc`.
    #[must_use]
    pub fn new(custody: Arc<Custody>, name: &str) -> Self {
        Self { custody, name: name.to_owned(), shown: Mutex::default() }
    }

    /// For the next connection. `None`: there is no certificate, and the log says why.
    pub(super) fn server_config(&self) -> Option<Arc<ServerConfig>> {
        self.at(SystemTime::now())
    }

    fn at(&self, now: SystemTime) -> Option<Arc<ServerConfig>> {
        let signer = self.custody.signer();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((front, config)) = &*shown
            && !front.is_due(now)
            && front.root() == signer.root()
        {
            return Some(Arc::clone(config));
        }
        match signer.issue_front(&self.name, now) {
            Ok(front) => {
                tracing::info!(name = self.name, "the webhooks have a new certificate");
                let config = front.server_config(b"http/1.1");
                *shown = Some((front, Arc::clone(&config)));
                Some(config)
            }
            Err(error) => {
                tracing::error!(%error, name = self.name, "the webhooks get no new certificate");
                // The one that there is may still be good for hours.
                shown.as_ref().map(|(_, config)| Arc::clone(config))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::custody::{Init, RotationStep};

    #[test]
    fn a_certificate_is_shown_until_it_is_due_or_another_root_signs() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let domain = "weft.local".parse().unwrap();
        let custody = Arc::new(Custody::open(&dir.path().join("state"), Init::Yes, &domain, now).unwrap());
        let fronts = Fronts::new(Arc::clone(&custody), "weft.weft-system.svc");
        let first = fronts.at(now).unwrap();
        assert!(Arc::ptr_eq(&first, &fronts.at(now + Duration::from_secs(3600)).unwrap()));
        let renewed = fronts.at(now + Duration::from_secs(13 * 3600)).unwrap();
        assert!(!Arc::ptr_eq(&first, &renewed));
        custody.rotate(RotationStep::Prepare, &[], now).unwrap();
        assert!(Arc::ptr_eq(&renewed, &fronts.at(now).unwrap()), "the old root signs still");
        custody.rotate(RotationStep::Activate, &[], now).unwrap();
        assert!(!Arc::ptr_eq(&renewed, &fronts.at(now).unwrap()));
        let nameless = Fronts::new(custody, "näme");
        assert!(nameless.at(now).is_none());
    }
}
