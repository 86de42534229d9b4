//! Pods that started without the plugin: it was not there yet, or another one had written the node's configuration anew.
//!
//! Their proxy has noticed, holds back everything else in the pod, and tells whoever comes to its port which rules it waits
//! for. So they are found by asking in every namespace, and get their rules afterwards, which is as good as from the start,
//! since nothing has run: nobody is restarted, and no API server has to let us delete anything. Where there are rules
//! already nobody is believed: a pod cannot have them changed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::{Namespaces, Numbers, RulesFailed};
use crate::rules::Rules;

/// Looks into every namespace once.
pub(super) fn round(namespaces: &Namespaces, numbers: &Numbers) {
    let all = match namespaces.all() {
        Ok(all) => all,
        Err(error) => {
            tracing::error!(%error, folder = %namespaces.folder.display(), "cannot see the pods of this node");
            return;
        }
    };
    for namespace in all {
        match put_right(namespaces, &namespace) {
            Ok(false) => {}
            Ok(true) => {
                numbers.repaired();
                tracing::warn!(
                    namespace = %namespace.display(),
                    "a pod had started without its rules, and has them now; nothing in it had run"
                );
            }
            // Pods go while they are looked at.
            Err(error) if !namespace.exists() => tracing::debug!(%error, "a pod has gone"),
            // One that was unmounted and whose file is still there is nobody's.
            Err(error @ RulesFailed::NoEntry { .. }) => {
                tracing::debug!(%error, "a namespace cannot be looked at")
            }
            Err(error) => {
                numbers.failed();
                tracing::error!(%error, namespace = %namespace.display(), "a pod waits for its rules");
            }
        }
    }
}

fn put_right(namespaces: &Namespaces, namespace: &Path) -> Result<bool, RulesFailed> {
    let Some(rules) = namespaces.inside(namespace, waited_for)? else { return Ok(false) };
    if namespaces.has_rules(namespace)? {
        return Ok(false);
    }
    namespaces.make(namespace, &rules.parse::<Rules>()?)?;
    Ok(true)
}

/// What the proxy of this namespace waits for, if there is one and it waits.
fn waited_for() -> Option<String> {
    let stream = TcpStream::connect_timeout(&SELF_TEST, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line).ok()?;
    let (_nonce, rules) = line.strip_prefix("weft-redirect ")?.split_once(' ')?;
    Some(rules.trim_end().to_owned())
}

/// Where a proxy tests whether its connections come to it.
const SELF_TEST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 15022);
/// On loopback somebody answers at once or is busy; it is asked again.
const PATIENCE: Duration = Duration::from_millis(200);
const LONGEST: u64 = 8192;
