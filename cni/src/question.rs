//! What the plugin asks the agent, over a UNIX socket that only root of the node can open: one line of JSON each way.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is to be done.
    pub wish: Wish,
    /// The path of the pod's network namespace, as the runtime has it.
    pub netns: String,
    /// For messages.
    pub pod: String,
}

/// What the agent can do for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Make these rules.
    Make(String),
    /// Say whether there are any.
    Look,
    /// Say that it is there.
    Hello,
}

impl Question {
    /// As one line.
    #[must_use]
    pub fn to_line(&self) -> String {
        let (wish, rules) = match &self.wish {
            Wish::Make(rules) => ("make", &**rules),
            Wish::Look => ("look", ""),
            Wish::Hello => ("hello", ""),
        };
        format!("{}\n", json!({"wish": wish, "rules": rules, "netns": self.netns, "pod": self.pod}))
    }

    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it: the two programs are of different versions, then.
    pub fn of_line(line: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(line).map_err(|error| format!("this is no question: {error}"))?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let wish = match &*text("wish") {
            "make" => Wish::Make(text("rules")),
            "look" => Wish::Look,
            "hello" => Wish::Hello,
            other => return Err(format!("nobody here knows how to `{other}`")),
        };
        Ok(Self { wish, netns: text("netns"), pod: text("pod") })
    }
}

/// Puts a question to the agent, and waits for its answer.
///
/// # Errors
/// [`Unanswered`].
pub fn ask(socket: &Path, question: &Question) -> Result<(), Unanswered> {
    let lost = |source| Unanswered::Lost { source };
    let mut stream = UnixStream::connect(socket)
        .map_err(|source| Unanswered::Absent { socket: socket.display().to_string(), source })?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(lost)?;
    stream.write_all(question.to_line().as_bytes()).map_err(lost)?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut line).map_err(lost)?;
    match serde_json::from_str::<Value>(&line) {
        Ok(answer) if answer.get("done") == Some(&Value::Bool(true)) => Ok(()),
        Ok(answer) => {
            let why = answer.get("why").and_then(Value::as_str).unwrap_or("it does not say why");
            Err(Unanswered::Refused { why: why.to_owned() })
        }
        Err(_) => Err(lost(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// What is answered.
#[must_use]
pub fn answer(done: Result<(), String>) -> String {
    let answer = match done {
        Ok(()) => json!({"done": true}),
        Err(why) => json!({"done": false, "why": why}),
    };
    format!("{answer}\n")
}

/// Why a pod is not as it is to be.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// Nobody listens.
    #[error(
        "the node's agent is not there ({socket}: {source}): see whether the DaemonSet of weft-cni runs on this node"
    )]
    Absent {
        /// Where it should be.
        socket: String,
        /// What the system said.
        source: io::Error,
    },
    /// It went away, or takes too long.
    #[error("the node's agent does not answer: {source}")]
    Lost {
        /// What the system said.
        source: io::Error,
    },
    /// It could not.
    #[error("the node's agent could not: {why}")]
    Refused {
        /// In its words.
        why: String,
    },
}

/// The longest line, either way.
pub const MAX_LINE: u64 = 64 << 10;
/// The kubelet gives a pod four minutes.
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_it_was_written() {
        for wish in [Wish::Make("--proxy-uid=2102".to_owned()), Wish::Look, Wish::Hello] {
            let question =
                Question { wish, netns: "/run/netns/a \"b\"\n".to_owned(), pod: "shop/web".to_owned() };
            let line = question.to_line();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(Question::of_line(&line).unwrap(), question);
        }
        for bad in ["", "[]", "{}", "{\"wish\":\"drink\"}"] {
            assert!(Question::of_line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_agent_that_is_not_there_is_named_with_what_to_look_at() {
        let question = Question { wish: Wish::Hello, netns: String::new(), pod: String::new() };
        let error = ask(Path::new("/nowhere/agent.sock"), &question).unwrap_err();
        assert!(error.to_string().contains("DaemonSet"), "{error}");
    }
}
