//! How a container runtime speaks to a plugin: the CNI specification 1.0.0, sections 2 (execution) and 5 (results). What to
//! do stands in the environment, with what configuration on standard input, and the answer goes to standard output.

use std::io::{self, Read};

use serde_json::{Map, Value, json};

/// What a runtime asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A pod is being made.
    Add,
    /// A pod is gone, or going.
    Del,
    /// Is a pod as it was made?
    Check,
    /// Could pods be made? (1.1.0)
    Status,
    /// Who is left behind? (1.1.0)
    Gc,
    /// Which versions are spoken?
    Version,
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What is asked for.
    pub command: Command,
    /// The pod's network namespace, as a path; empty where there is none.
    pub netns: String,
    /// `namespace/name`, where the runtime says it: for messages.
    pub pod: String,
    /// The plugin's entry in the configuration, completed by the runtime.
    pub config: Map<String, Value>,
}

impl Call {
    /// Reads a call.
    ///
    /// # Errors
    /// [`Failure`], as the specification numbers them.
    pub fn read(get: impl Fn(&str) -> Option<String>, input: impl Read) -> Result<Self, Failure> {
        let said = get("CNI_COMMAND").unwrap_or_default();
        let command = match &*said {
            "ADD" => Command::Add,
            "DEL" => Command::Del,
            "CHECK" => Command::Check,
            "STATUS" => Command::Status,
            "GC" => Command::Gc,
            "VERSION" => Command::Version,
            other => {
                return Err(Failure::environment(format!("CNI_COMMAND is `{other}`, which is no command")));
            }
        };
        let mut text = String::new();
        input
            .take(LONGEST)
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(Code::Io, format!("cannot read the configuration: {error}")))?;
        let config: Value = match (serde_json::from_str(&text), command) {
            (Ok(config), _) => config,
            // Some runtimes ask for versions with nothing in their hands.
            (Err(_), Command::Version) => json!({}),
            (Err(error), _) => {
                return Err(Failure::new(Code::Decode, format!("the configuration is no JSON: {error}")));
            }
        };
        let Value::Object(config) = config else {
            return Err(Failure::new(Code::Decode, "the configuration is no JSON object".to_owned()));
        };
        let call = Self { command, netns: get("CNI_NETNS").unwrap_or_default(), pod: pod(&get), config };
        if !SPOKEN.contains(&call.version()) && command != Command::Version {
            let why = format!(
                "version {} of CNI is not spoken here: there are {}",
                call.version(),
                SPOKEN.join(", ")
            );
            return Err(Failure::new(Code::Version, why));
        }
        Ok(call)
    }

    /// In which version the answer is to be.
    #[must_use]
    pub fn version(&self) -> &str {
        self.config.get("cniVersion").and_then(Value::as_str).unwrap_or("0.1.0")
    }

    /// What the pod says of itself, where the runtime tells: `None` where it does not.
    #[must_use]
    pub fn annotations(&self) -> Option<&Map<String, Value>> {
        self.config.get("runtimeConfig")?.get(ANNOTATIONS)?.as_object()
    }
}

/// What `weft-cni` answers to `VERSION`.
#[must_use]
pub fn versions() -> Value {
    json!({"cniVersion": "1.1.0", "supportedVersions": SPOKEN})
}

/// `CNI_ARGS` is `KEY=value;KEY=value`.
fn pod(get: impl Fn(&str) -> Option<String>) -> String {
    let arguments = get("CNI_ARGS").unwrap_or_default();
    let of = |key: &str| {
        arguments.split(';').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).unwrap_or("?")
    };
    format!("{}/{}", of("K8S_POD_NAMESPACE"), of("K8S_POD_NAME"))
}

/// Why a call comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failure {
    code: Code,
    why: String,
}

/// By the specification, section 5: 1 to 99 are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The configuration is of a version that is not spoken.
    Version = 1,
    /// Something in the environment is missing or wrong.
    Environment = 4,
    /// Reading or writing failed.
    Io = 5,
    /// What was read is not what it should be.
    Decode = 6,
    /// The configuration makes no sense.
    Config = 7,
    /// It may work in a while.
    TryAgain = 11,
    /// No pod can be made at the moment (1.1.0, `STATUS`).
    Unavailable = 50,
    /// A pod is not as it was made: our own.
    Changed = 100,
}

impl Failure {
    /// Of that kind, with what an operator has to know.
    #[must_use]
    pub const fn new(code: Code, why: String) -> Self {
        Self { code, why }
    }

    pub(crate) const fn environment(why: String) -> Self {
        Self::new(Code::Environment, why)
    }

    /// Which kind.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The answer that says so.
    #[must_use]
    pub fn answer(&self, version: &str) -> Value {
        json!({"cniVersion": version, "code": self.code as u32, "msg": format!("weft-cni: {}", self.why)})
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Code::Io, error.to_string())
    }
}

/// Versions whose calls are understood. What is passed on is in the version in which it came.
pub const SPOKEN: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// The capability by which a runtime is asked for a pod's annotations.
pub const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";
/// A pod's annotations may have 256 KiB, and stand in it.
const LONGEST: u64 = 4 << 20;
