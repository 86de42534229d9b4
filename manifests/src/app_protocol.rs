//! `appProtocol`, of a Service's port and of a `Workload`'s.

use weft_policy::protocol::AppProtocol;

use crate::reader::{At, shorten};

/// Reads `appProtocol`; an unknown one is a remark, and means: look at the first bytes.
pub(crate) fn app_protocol(at: &At<'_>) -> Option<AppProtocol> {
    let text = at.text()?;
    let known = AppProtocol::from_app_protocol(&text);
    if known.is_none() {
        at.remark(
            format!(
                "nobody here knows the protocol `{}`; it is detected from the first bytes",
                shorten(&text)
            ),
            "use http, kubernetes.io/h2c, grpc, tls or tcp",
        );
    }
    known
}
