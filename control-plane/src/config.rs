//! What an operator sets, read once from one table of settings, with every mistake reported together.
//!
//! A setting has one name: `--config-dir` on the command line is `WEFT_CONFIG_DIR` in the environment. The
//! command line wins. `main` makes its `--help` from the same table, so that neither can forget a setting.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use weft_policy::identity::TrustDomain;

mod placeholder;
mod replicas;
mod webhook;

pub use replicas::ReplicasConfig;
pub use webhook::WebhookConfig;

use placeholder::Placeholder;

/// One setting: its flag, what stands where nothing is said, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// As in `--config-dir`.
    pub flag: &'static str,
    /// `None`: it has to be said.
    pub default: Option<&'static str>,
    /// Whether it is a switch, without a value.
    pub switch: bool,
    /// For `--help`.
    pub help: &'static str,
}

impl Setting {
    /// The environment variable of the same meaning: `WEFT_CONFIG_DIR`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("WEFT_{}", self.flag.to_ascii_uppercase().replace('-', "_"))
    }
}

/// Every setting there is.
pub const SETTINGS: &[Setting] = &[
    Setting::with("source", "directory", "Where objects come from: directory, kubernetes"),
    Setting::with(
        "config-dir",
        "",
        "Directory of manifests (**/*.yaml, **/*.yml); --source directory needs it",
    ),
    Setting::with(
        "kubeconfig",
        "",
        "How the API server is reached; else KUBECONFIG, else the pod's own account",
    ),
    Setting::with(
        "namespace",
        "weft-system",
        "Policies without targets in this namespace are for the whole mesh; on Kubernetes, where Weft is installed",
    ),
    Setting::with(
        "lease",
        "weft",
        "On Kubernetes, the Lease in its own namespace by which replicas agree on who writes statuses",
    ),
    Setting::with(
        "keys-secret",
        "",
        "On Kubernetes, the Secret in its own namespace that holds the mesh's identity; else --state-dir does",
    ),
    Setting::required("state-dir", "Directory of keys, tokens and the journal; keep it, it is not a cache"),
    Setting::switch(
        "init",
        "Mint a new root in an empty state directory (otherwise an empty one is an error)",
    ),
    Setting::with("trust-domain", "weft.local", "The trust domain that this control plane signs for"),
    Setting::with("listen", "127.0.0.1:15010", "Where proxies connect: gRPC over TLS"),
    Setting::with("admin", "127.0.0.1:15014", "Where /live, /ready and /metrics are served, in plaintext"),
    Setting::with(
        "inspect",
        "",
        "Where meshctl's questions are answered besides the operator's socket: gRPC in plaintext, on loopback, so \
         that whoever may forward a port to the pod may ask; else nowhere",
    ),
    Setting::with(
        "default-mtls",
        "permissive",
        "What holds where no AuthenticationPolicy says: strict, permissive",
    ),
    Setting::with("webhook-listen", "", "Where an API server reaches the webhooks, over HTTPS; else nowhere"),
    Setting::with("webhook-name", "", "The name by which it does: SERVICE.NAMESPACE.svc"),
    Setting::with("webhook-configuration", "", "The name of the webhook configurations that are kept right"),
    Setting::switch(
        "prove-validator",
        "Let the API server take no route or policy without the validator (failurePolicy: Fail) once a dry run has shown \
         that it answers, and not wait for it when it does not",
    ),
    Setting::with("proxy-image", "", "The image of the proxy that is put into pods"),
    Setting::with("proxy-pull-policy", "IfNotPresent", "When it is pulled: Always, IfNotPresent, Never"),
    Setting::with("proxy-control-plane", "", "Where it connects: HOST:PORT of this control plane"),
    Setting::with("proxy-redirect", "init-container", "What brings connections to it: init-container, node"),
    Setting::with("proxy-env", "{}", "Further environment of it, as a JSON object"),
    Setting::with("replica", "weft-0", "The name of this control plane in answers and logs"),
    Setting::with("pod-uid", "", "On Kubernetes, the uid of the pod that the replica is named after"),
    Setting::with("max-age", "30m", "Age at which a stream is asked to reconnect, give or take half"),
    Setting::with("settle", "100ms", "The longest that changes are gathered before they are published"),
    Setting::with("rescan", "5s", "How often the manifests are read again, should a notification be lost"),
    Setting::switch(
        "paranoid",
        "Compile everything after every change and compare; slow, for finding defects",
    ),
    Setting::switch("log-json", "Log in JSON"),
];

impl Setting {
    const fn required(flag: &'static str, help: &'static str) -> Self {
        Self { flag, default: None, switch: false, help }
    }

    const fn with(flag: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { flag, default: Some(default), switch: false, help }
    }

    const fn switch(flag: &'static str, help: &'static str) -> Self {
        Self { flag, default: Some("false"), switch: true, help }
    }
}

/// The settings, read and valid.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where objects come from.
    pub source: SourceKind,
    /// Where the manifests are, if objects come from there.
    pub config_dir: PathBuf,
    /// The kubeconfig to use; `None`: `KUBECONFIG`, else the pod's own account.
    pub kubeconfig: Option<PathBuf>,
    /// Policies without targets in this namespace are for the whole mesh.
    pub namespace: String,
    /// What it has in common with others.
    pub replicas: ReplicasConfig,
    /// Where keys, tokens and the journal are.
    pub state_dir: PathBuf,
    /// Whether an empty state directory may be filled with a new root.
    pub init: bool,
    /// Whom this control plane signs for.
    pub trust_domain: TrustDomain,
    /// Where gRPC is served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where liveness, readiness and metrics are served; port 0 takes a free one.
    pub admin: SocketAddr,
    /// Where questions are answered besides the operator's socket, of the mesh and not of one caller; `None`: nowhere.
    pub inspect: Option<SocketAddr>,
    /// What an API server asks before it takes an object; `None`: nothing.
    pub webhook: Option<WebhookConfig>,
    /// What holds where no `AuthenticationPolicy` says.
    pub default_mtls: DefaultMtls,
    /// The name of this control plane in answers and logs.
    pub replica: String,
    /// When a stream is asked to reconnect, give or take half.
    pub max_age: Duration,
    /// The longest that changes are gathered.
    pub settle: Duration,
    /// How often the manifests are read again.
    pub rescan: Duration,
    /// Whether every incremental compilation is checked against one from scratch.
    pub paranoid: bool,
    /// Whether logs are JSON.
    pub log_json: bool,
}

impl Config {
    /// Reads every setting; `said` gives what the operator said for a setting, wherever he said it.
    ///
    /// # Errors
    /// All settings that are missing or mistaken.
    pub fn read(said: impl Fn(&Setting) -> Option<String>) -> Result<Self, BadSettings> {
        let mut reader = Reader { said, bad: Vec::new() };
        let source = reader.value("source", parse);
        let config = Self {
            source,
            config_dir: match source {
                SourceKind::Directory => reader.value("config-dir", path),
                SourceKind::Kubernetes => PathBuf::new(),
            },
            kubeconfig: Some(reader.value("kubeconfig", any_path))
                .filter(|path| !path.as_os_str().is_empty()),
            namespace: reader.value("namespace", namespace),
            replicas: replicas::read(&mut reader, source),
            state_dir: reader.value("state-dir", path),
            init: reader.value("init", parse),
            trust_domain: reader.value("trust-domain", parse),
            listen: reader.value("listen", parse),
            admin: reader.value("admin", loopback),
            inspect: reader.value("inspect", loopback_or_nowhere),
            webhook: webhook::read(&mut reader, source),
            default_mtls: reader.value("default-mtls", parse),
            replica: reader.value("replica", parse),
            max_age: reader.value("max-age", duration),
            settle: reader.value("settle", duration),
            rescan: reader.value("rescan", duration),
            paranoid: reader.value("paranoid", parse),
            log_json: reader.value("log-json", parse),
        };
        if reader.bad.is_empty() { Ok(config) } else { Err(BadSettings(reader.bad)) }
    }

    /// For tests: the defaults, two directories and free ports.
    ///
    /// # Panics
    /// If a default of [`SETTINGS`] is not valid.
    #[must_use]
    pub fn on_free_ports(config_dir: &Path, state_dir: &Path) -> Self {
        let directory = |setting: &Setting| match setting.flag {
            "config-dir" => Some(config_dir.display().to_string()),
            "state-dir" => Some(state_dir.display().to_string()),
            "init" => Some("true".to_owned()),
            "listen" | "admin" => Some("127.0.0.1:0".to_owned()),
            _ => None,
        };
        Self::read(directory).expect("every default is valid")
    }
}

/// Where objects come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// YAML files.
    Directory,
    /// The API server of a cluster.
    Kubernetes,
}

impl FromStr for SourceKind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "directory" => Ok(Self::Directory),
            "kubernetes" => Ok(Self::Kubernetes),
            _ => Err("neither directory nor kubernetes"),
        }
    }
}

/// The mTLS mode of ports that no `AuthenticationPolicy` speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultMtls {
    /// Plaintext is refused.
    Strict,
    /// Plaintext is let in, as nobody.
    Permissive,
}

impl FromStr for DefaultMtls {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "strict" => Ok(Self::Strict),
            "permissive" => Ok(Self::Permissive),
            _ => Err("neither strict nor permissive"),
        }
    }
}

/// Every setting that is missing or mistaken.
#[derive(Debug, PartialEq, Eq)]
pub struct BadSettings(pub Vec<BadSetting>);

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, bad) in self.0.iter().enumerate() {
            write!(f, "{}{bad}", if nth == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for BadSettings {}

/// One of them.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("--{flag} ({variable}): {problem}", variable = variable_of(flag))]
pub struct BadSetting {
    /// Which.
    pub flag: &'static str,
    /// What is wrong, with the value that was given.
    pub problem: String,
}

/// Reads settings one by one and remembers what was wrong.
struct Reader<Said> {
    said: Said,
    bad: Vec<BadSetting>,
}

impl<Said: Fn(&Setting) -> Option<String>> Reader<Said> {
    /// The setting's value. Where it has none, its mistake is noted and a value of the right type stands in:
    /// nobody sees it, since [`Config::read`] then gives the mistakes.
    fn value<T: Placeholder>(&mut self, flag: &'static str, read: fn(&str) -> Result<T, String>) -> T {
        let setting = SETTINGS.iter().find(|setting| setting.flag == flag).expect("every field has its row");
        let said = (self.said)(setting).or_else(|| setting.default.map(str::to_owned));
        let read = match &said {
            None => Err("has to be given".to_owned()),
            Some(text) => read(text).map_err(|problem| format!("`{text}` is {problem}")),
        };
        read.unwrap_or_else(|problem| {
            self.bad.push(BadSetting { flag, problem });
            T::placeholder()
        })
    }
}

fn parse<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|problem: T::Err| format!("not understood: {problem}"))
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("not a directory".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn any_path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

/// A DNS label (RFC 1123 §2.1), as every namespace is.
fn namespace(text: &str) -> Result<String, String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=63).contains(&text.len()) && text.bytes().all(inner);
    if fits && !text.starts_with('-') && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("not the name of a namespace: use a-z, 0-9 and dash".to_owned())
    }
}

/// Metrics and readiness carry no authentication, so they never leave the machine by accident.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let addr: SocketAddr = parse(text)?;
    if addr.ip().is_loopback() { Ok(addr) } else { Err("not a loopback address".to_owned()) }
}

fn loopback_or_nowhere(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() { Ok(None) } else { loopback(text).map(Some) }
}

/// `5s`, `100ms`, `30m`: a whole number and its unit, at most a day, never nothing.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("not a duration: write a whole number and one of ms, s, m, h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "not a duration: write a whole number first".to_owned())?;
    match number.checked_mul(millis) {
        Some(millis @ 1..=MAX_MILLIS) => Ok(Duration::from_millis(millis)),
        _ => Err("not between 1ms and 24h".to_owned()),
    }
}

fn variable_of(flag: &str) -> String {
    SETTINGS.iter().find(|setting| setting.flag == flag).map(Setting::variable).unwrap_or_default()
}

const MAX_MILLIS: u64 = 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(said: &[(&str, &str)]) -> Result<Config, BadSettings> {
        Config::read(|setting| {
            said.iter().find(|(flag, _)| *flag == setting.flag).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn on_a_cluster_there_is_no_directory_of_manifests() {
        let config = read(&[("source", "kubernetes"), ("state-dir", "/var/lib/weft")]).unwrap();
        assert_eq!(config.source, SourceKind::Kubernetes);
        assert_eq!((config.kubeconfig, config.namespace.as_str()), (None, "weft-system"));
        assert_eq!((config.replicas.lease.as_str(), config.replicas.keys_secret), ("weft", None));
        let bad = read(&[("state-dir", "/var/lib/weft")]).unwrap_err();
        assert_eq!(bad.to_string(), "--config-dir (WEFT_CONFIG_DIR): `` is not a directory");
    }

    #[test]
    fn two_directories_are_all_that_has_to_be_said() {
        let config = read(&[("config-dir", "/etc/weft"), ("state-dir", "/var/lib/weft")]).unwrap();
        assert_eq!(config.listen, "127.0.0.1:15010".parse().unwrap());
        assert_eq!(config.admin, "127.0.0.1:15014".parse().unwrap());
        assert_eq!(config.trust_domain.as_str(), "weft.local");
        assert_eq!(config.default_mtls, DefaultMtls::Permissive);
        assert_eq!(config.max_age, Duration::from_secs(1800));
        assert!(!config.init && !config.paranoid);
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let said = [
            ("config-dir", ""),
            ("trust-domain", "Weft Local"),
            ("listen", "15010"),
            ("admin", "0.0.0.0:15014"),
            ("inspect", "0.0.0.0:15012"),
            ("default-mtls", "maybe"),
            ("namespace", "Weft"),
            ("lease", "weft_0"),
            ("source", "etcd"),
            ("init", "perhaps"),
            ("max-age", "30"),
            ("settle", "0ms"),
            ("rescan", "99999999999999999999h"),
        ];
        let bad = read(&said).unwrap_err();
        let mut flags: Vec<_> = bad.0.iter().map(|bad| bad.flag).collect();
        flags.sort_unstable();
        let mut want: Vec<_> = said.iter().map(|(flag, _)| *flag).chain(["state-dir"]).collect();
        want.sort_unstable();
        assert_eq!(flags, want);
        let text = bad.to_string();
        assert!(text.contains("--default-mtls (WEFT_DEFAULT_MTLS): `maybe` is"), "{text}");
    }
}
