//! The questions of a pod's author, as the injector writes them into one setting.

use std::sync::Arc;

use serde::Deserialize;
use weft_policy::health::Probe;

/// A question, and where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The path by which the kubelet means it.
    pub at: Arc<str>,
    /// The application's port.
    pub port: u16,
    /// What is asked there.
    pub probe: Probe,
}

/// `[{"at": "/probe/api/readiness", "port": 8080, "http": "/ready"}]`; with `grpc` a service instead of a path, with
/// neither a connection alone.
///
/// # Errors
/// What is wrong with it.
pub fn questions(text: &str) -> Result<Vec<Question>, String> {
    let written: Vec<Written> =
        serde_json::from_str(text).map_err(|error| format!("no list of probes: {error}"))?;
    if written.len() > MOST {
        return Err(format!("{} probes; at most {MOST} are kept", written.len()));
    }
    written
        .into_iter()
        .map(|Written { at, port, http, grpc }| {
            let probe = match (http, grpc) {
                (Some(path), None) => Probe::Http { path: path.into() },
                (None, Some(service)) => Probe::Grpc { service: service.into() },
                (None, None) => Probe::Tcp,
                (Some(_), Some(_)) => return Err(format!("{at} asks by http and by grpc; name one")),
            };
            if !at.starts_with(PREFIX) || port == 0 {
                return Err(format!(
                    "{at} at port {port}: a path of ours begins with {PREFIX}, and 0 is no port"
                ));
            }
            Ok(Question { at: at.into(), port, probe })
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    at: String,
    port: u16,
    http: Option<String>,
    grpc: Option<String>,
}

const PREFIX: &str = "/probe/";
/// A pod has a few containers, and each at most five questions.
const MOST: usize = 500;
