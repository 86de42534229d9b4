//! How a proxy is, in its own words: what the control plane hears of it every half minute, and at once where it matters.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use weft_proto::v1::report::Phase;
use weft_proto::v1::{self, Report};

use super::Stream;
use crate::health::AppHealth;

impl Stream {
    pub(super) fn report(&self) -> Report {
        let (application, detail) = match &*self.health.borrow() {
            AppHealth::Unknown => (v1::Health::Unconfirmed, String::new()),
            AppHealth::Well => (v1::Health::Healthy, String::new()),
            AppHealth::Sick { why } => (v1::Health::Unhealthy, why.clone()),
        };
        let not_after = self.identity.generation().credentials().us().not_after;
        let bundles = self.identity.trust.current();
        Report {
            phase: self.phase().into(),
            application: application.into(),
            connections: 0,
            detail,
            cert_not_after_unix: not_after
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            trust_sequence: bundles
                .of(self.identity.us().trust_domain())
                .map_or(0, |bundle| bundle.sequence()),
            plaintext: self.plaintext(),
            holding: None,
        }
    }

    /// Nobody is to come before there is a policy by which he may: he would be refused.
    pub(super) fn phase(&self) -> Phase {
        if self.drain.has_begun() {
            Phase::Going
        } else if self.discovered.has_inbound() {
            Phase::Serving
        } else {
            Phase::Starting
        }
    }

    fn plaintext(&self) -> Vec<v1::PlaintextCaller> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let callers = self.metrics.plaintext_callers().lately(now).into_iter();
        let told = |(address, last_unix): (IpAddr, u64)| v1::PlaintextCaller {
            address: address.to_canonical().to_string(),
            last_unix,
        };
        callers.map(told).collect()
    }
}
