//! The next certificate, at half of the life of this one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use weft_certs::clock::Clock;
use weft_certs::request::KeyAndRequest;
use weft_certs::rotation::{renew_in, retry_in};
use weft_certs::tls::Credentials;
use weft_policy::draw::Draw;
use weft_proto::v1::RenewRequest;
use weft_proto::v1::identity_client::IdentityClient;

use super::enroll::{enroll_again, reason};
use super::{ControlChannel, Identity, Transport};
use crate::config::Config;

/// Renews for as long as the process lives. A failure is asked again, more urgently towards the end of the
/// certificate's life; the old one stays in use until it expires. From then on it is asked as at the beginning: a mesh whose
/// control plane was away for longer than a certificate lasts is well again once it is back. `now` asks for one at once.
pub(crate) async fn keep_renewed(
    config: &Config,
    identity: &Identity,
    channel: ControlChannel,
    transport: impl Transport,
    now: Arc<Notify>,
    mut draw: Draw,
) {
    let mut client = IdentityClient::new(channel);
    // Our own beginning is not written in what we keep; the process has it for at least this long.
    let mut not_before = identity.clock.now();
    let mut failures = 0;
    loop {
        let not_after = identity.generation().credentials().us().not_after;
        let wait = if failures == 0 {
            renew_in(not_before, not_after, identity.clock.now(), draw.unit())
        } else {
            retry_in(failures, not_before, not_after, identity.clock.now(), draw.unit())
        };
        let asked = tokio::select! {
            () = passed(wait.max(Duration::from_millis(100)), &identity.clock) => false,
            () = now.notified() => true,
        };
        let has_expired = identity.clock.now() >= not_after;
        let done = if has_expired {
            enroll_again(config, identity, &transport, failures).await
        } else {
            renew(config, identity, &mut client).await
        };
        match done {
            Ok(()) => {
                failures = 0;
                not_before = identity.clock.now();
                tracing::info!(asked, "certificate renewed");
            }
            Err(error) => {
                failures += 1;
                let then = if has_expired {
                    "it has expired: nobody believes us"
                } else {
                    "the present one stays in use"
                };
                tracing::warn!(%error, failures, then, "could not renew the certificate");
            }
        }
    }
}

/// Returns after `wait`, by our own clock or by the time of day: a machine that was asleep has missed it, and a clock that is
/// set back does not make it longer.
async fn passed(wait: Duration, clock: &Clock) {
    let (begun, due) = (Instant::now(), clock.now() + wait);
    loop {
        let left =
            due.duration_since(clock.now()).unwrap_or_default().min(wait.saturating_sub(begun.elapsed()));
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

async fn renew(
    config: &Config,
    identity: &Identity,
    client: &mut IdentityClient<ControlChannel>,
) -> Result<(), String> {
    let key = KeyAndRequest::generate().map_err(|error| error.to_string())?;
    let request = RenewRequest { csr_der: key.csr_der.clone(), lifetime: None };
    let reply = client.renew(request).await.map_err(|status| reason(&status))?.into_inner();
    let credentials = Credentials::new(reply.chain_der, &key.key).map_err(|error| error.to_string())?;
    identity.replace(credentials, &key.key, config.state_dir.as_deref())
}

/// How soon it is noticed that the time of day has moved on without us.
const LOOK: Duration = Duration::from_secs(15);
