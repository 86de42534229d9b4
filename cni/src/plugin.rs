//! The plugin's answers. It is last in its chain: what those before it have made (`prevResult`) is passed on as it is.
//!
//! A pod without the injector's annotation is none of ours, and passes whether or not the agent is there. Where the runtime
//! does not tell annotations every pod passes, and the agent finds those that wait for their rules.

use std::path::Path;

use serde_json::Value;

use crate::call::{Call, Code, Command, Failure, versions};
use crate::question::{Question, Unanswered, Wish};

/// Answers a call. `ask` puts a question to the agent.
///
/// # Errors
/// [`Failure`]: the runtime tells the kubelet, which tries again.
pub fn answer(
    call: &Call,
    ask: impl Fn(&Path, &Question) -> Result<(), Unanswered>,
) -> Result<Option<Value>, Failure> {
    let socket = call.config.get("socket").and_then(Value::as_str).unwrap_or(SOCKET);
    let put = |wish: Wish| {
        ask(Path::new(socket), &Question { wish, netns: call.netns.clone(), pod: call.pod.clone() })
    };
    match call.command {
        Command::Version => Ok(Some(versions())),
        // The rules were in the namespace, and are gone with it.
        Command::Del | Command::Gc => Ok(None),
        Command::Status => {
            put(Wish::Hello).map_err(|why| Failure::new(Code::Unavailable, why.to_string())).map(|()| None)
        }
        Command::Add => {
            let made = made_before(call)?;
            if let Some(rules) = rules(call) {
                named(call)?;
                put(Wish::Make(rules.to_owned()))
                    .map_err(|why| Failure::new(Code::TryAgain, why.to_string()))?;
            }
            Ok(Some(made.clone()))
        }
        Command::Check => {
            made_before(call)?;
            if rules(call).is_some() {
                named(call)?;
                put(Wish::Look).map_err(|why| Failure::new(Code::Changed, why.to_string()))?;
            }
            Ok(None)
        }
    }
}

/// The rules that the pod is to have, if it is to have any.
fn rules(call: &Call) -> Option<&str> {
    call.annotations()?.get(REDIRECT)?.as_str()
}

fn made_before(call: &Call) -> Result<&Value, Failure> {
    let none = || "there is no prevResult: this plugin makes no network, and stands behind one that does";
    call.config.get("prevResult").ok_or_else(|| Failure::new(Code::Config, none().to_owned()))
}

fn named(call: &Call) -> Result<(), Failure> {
    if call.netns.is_empty() { Err(Failure::environment("CNI_NETNS is not set".to_owned())) } else { Ok(()) }
}

/// The injector's annotation.
const REDIRECT: &str = "weft.mesh/redirect";
/// Where the agent listens, on the node.
pub const SOCKET: &str = "/run/weft-cni/agent.sock";

#[cfg(test)]
mod tests;
