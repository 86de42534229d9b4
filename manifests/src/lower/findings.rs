//! What lowering one route brings up: why it is not accepted, what leads nowhere, what differs from what is written.

use weft_policy::route::InvalidBackend;

use super::condition::{Detail, Reason};

/// What lowering one route has brought up.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// Why it is not accepted.
    pub(super) refused: Vec<(Reason, Detail)>,
    /// Which references lead nowhere.
    pub(super) unresolved: Vec<(Reason, Detail)>,
    /// Which parts do something else than they say.
    pub(super) partial: Vec<Detail>,
    /// What is as written and hardly meant.
    pub(super) remarks: Vec<Detail>,
}

impl Findings {
    pub(super) fn refuse(&mut self, reason: Reason, field: impl Into<String>, message: impl Into<String>) {
        self.refused.push((reason, Detail::new(field, message)));
    }

    pub(super) fn unresolved(&mut self, why: InvalidBackend, detail: Detail) {
        let reason = match why {
            InvalidBackend::InvalidKind => Reason::InvalidKind,
            // Grants are for Gateways; nothing in here asks for one.
            InvalidBackend::BackendNotFound | InvalidBackend::RefNotPermitted => Reason::BackendNotFound,
            InvalidBackend::UnsupportedProtocol => Reason::UnsupportedProtocol,
        };
        self.unresolved.push((reason, detail));
    }

    pub(super) fn partial(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.partial.push(Detail::new(field, message));
    }

    pub(super) fn remark(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.remarks.push(Detail::new(field, message));
    }
}
