//! The values that `meshctl install` knows: names, defaults and meaning are the chart's.

use anyhow::{bail, ensure};
use serde_json::Value;

/// What an operator has said, beside the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Values {
    pub(super) replicas: u32,
    pub(super) trust_domain: String,
    pub(super) default_mtls: String,
    pub(super) log_level: String,
    pub(super) log_json: bool,
    /// Whether a new root may be minted.
    pub(super) initialize: bool,
    pub(super) image: Image,
    pub(super) proxy_image: Image,
    pub(super) redirect: String,
    pub(super) injection: FailurePolicy,
    pub(super) validation: FailurePolicy,
    pub(super) network_policy: bool,
    pub(super) cni: Cni,
}

/// Whether the node makes the rules, and where what makes them is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cni {
    pub(super) enabled: bool,
    /// Of the DaemonSet; empty: with the rest.
    pub(super) namespace: String,
    pub(super) bin_dir: String,
    pub(super) conf_dir: String,
    pub(super) netns_dir: String,
}

impl Default for Cni {
    fn default() -> Self {
        Self {
            enabled: false,
            namespace: String::new(),
            bin_dir: "/opt/cni/bin".to_owned(),
            conf_dir: "/etc/cni/net.d".to_owned(),
            netns_dir: "/run/netns".to_owned(),
        }
    }
}

/// What an API server does without our answer: `Fail` or `Ignore`.
pub(super) type FailurePolicy = String;

/// Where an image is pulled from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) tag: String,
    pub(super) digest: String,
    pub(super) pull_policy: String,
}

impl Image {
    fn of(repository: &str) -> Self {
        Self {
            registry: String::new(),
            repository: repository.to_owned(),
            tag: String::new(),
            digest: String::new(),
            pull_policy: "IfNotPresent".to_owned(),
        }
    }

    /// The reference, as the chart writes it: a digest wins over a tag.
    pub(super) fn reference(&self, registry: &str) -> String {
        let registry = if self.registry.is_empty() { registry } else { &self.registry };
        let slash = if registry.is_empty() { "" } else { "/" };
        let which = match (self.digest.as_str(), self.tag.as_str()) {
            ("", "") => format!(":{}", env!("CARGO_PKG_VERSION")),
            ("", tag) => format!(":{tag}"),
            (digest, _) => format!("@{digest}"),
        };
        format!("{registry}{slash}{}{which}", self.repository)
    }

    fn part(&mut self, name: &str) -> Option<&mut String> {
        Some(match name {
            "registry" => &mut self.registry,
            "repository" => &mut self.repository,
            "tag" => &mut self.tag,
            "digest" => &mut self.digest,
            "pullPolicy" => &mut self.pull_policy,
            _ => return None,
        })
    }
}

impl Default for Values {
    fn default() -> Self {
        Self {
            replicas: 1,
            trust_domain: "weft.local".to_owned(),
            default_mtls: "permissive".to_owned(),
            log_level: "info".to_owned(),
            log_json: true,
            initialize: true,
            image: Image::of("weft/control-plane"),
            proxy_image: Image::of("weft/proxy"),
            redirect: "init-container".to_owned(),
            injection: "Fail".to_owned(),
            validation: "Auto".to_owned(),
            network_policy: true,
            cni: Cni::default(),
        }
    }
}

impl Values {
    /// Takes a file of values.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub(super) fn read(&mut self, file: &Value) -> anyhow::Result<()> {
        self.read_below("", file)
    }

    fn read_below(&mut self, above: &str, value: &Value) -> anyhow::Result<()> {
        match value {
            Value::Null if above.is_empty() => Ok(()),
            Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
                let name = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
                self.read_below(&name, value)
            }),
            Value::String(text) => self.set(above, text),
            Value::Bool(_) | Value::Number(_) => self.set(above, &value.to_string()),
            Value::Null | Value::Array(_) => bail!("{}", unknown(above)),
        }
    }

    /// Takes one value, by its name in the chart.
    ///
    /// # Errors
    /// If it is none that is known here, or means nothing.
    pub(super) fn set(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        let one_of = |known: &[&str]| {
            ensure!(known.contains(&value), "{name}={value}: write one of {}", known.join(", "));
            Ok(value.to_owned())
        };
        let text = |is_fit: fn(char) -> bool, what: &str| {
            ensure!(!value.is_empty() && value.chars().all(is_fit), "{name}={value}: {what}");
            Ok(value.to_owned())
        };
        let yes_or_no = || one_of(&["true", "false"]).map(|it| it == "true");
        match name {
            "replicas" => {
                let replicas = value.parse().ok().filter(|replicas| (1..=99).contains(replicas));
                let Some(replicas) = replicas else { bail!("replicas={value}: write a number from 1 to 99") };
                self.replicas = replicas;
            }
            "trustDomain" => {
                let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
                self.trust_domain = text(is_fit, "use a-z, 0-9, dot, dash and underscore")?;
            }
            "defaultMtls" => self.default_mtls = one_of(&["permissive", "strict"])?,
            "log.level" => {
                self.log_level = text(|c| !c.is_whitespace() && !c.is_control(), "write it without blanks")?
            }
            "log.json" => self.log_json = yes_or_no()?,
            "state.initialize" => self.initialize = yes_or_no()?,
            "injection.redirect" => self.redirect = one_of(&["init-container", "node"])?,
            "injection.failurePolicy" => self.injection = one_of(&["Fail", "Ignore"])?,
            "validation.failurePolicy" => self.validation = one_of(&VALIDATION)?,
            "cni.enabled" => self.cni.enabled = yes_or_no()?,
            "cni.namespace" => {
                let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                self.cni.namespace = text(is_fit, "use a-z, 0-9 and dash, as in the name of a namespace")?;
            }
            "cni.binDir" | "cni.confDir" | "cni.netnsDir" => {
                ensure!(value.starts_with('/'), "{name}={value}: write a folder of the node, from / on");
                let folder = text(|c| !c.is_whitespace() && !c.is_control(), "write it without blanks")?;
                *match name {
                    "cni.binDir" => &mut self.cni.bin_dir,
                    "cni.confDir" => &mut self.cni.conf_dir,
                    _ => &mut self.cni.netns_dir,
                } = folder;
            }
            "networkPolicy.enabled" => self.network_policy = yes_or_no()?,
            "image.pullPolicy" | "proxy.image.pullPolicy" => {
                *self.image_part(name)? = one_of(&["Always", "IfNotPresent", "Never"])?;
            }
            "image.digest" | "proxy.image.digest" => {
                let is_one = value.strip_prefix("sha256:").is_some_and(|hex| {
                    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
                });
                ensure!(is_one, "{name}={value}: write sha256: and 64 hexadecimal digits");
                *self.image_part(name)? = value.to_owned();
            }
            _ => {
                let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
                self.image_part(name)?;
                *self.image_part(name)? = text(is_fit, "this is no part of an image's name")?;
            }
        }
        Ok(())
    }

    fn image_part(&mut self, name: &str) -> anyhow::Result<&mut String> {
        let part = match name.strip_prefix("proxy.image.") {
            Some(part) => self.proxy_image.part(part),
            None => name.strip_prefix("image.").and_then(|part| self.image.part(part)),
        };
        part.ok_or_else(|| anyhow::anyhow!("{}", unknown(name)))
    }
}

fn unknown(name: &str) -> String {
    format!(
        "{name} is no value that `meshctl install` knows; it knows {}. For every value of the chart use Helm: \
         helm install weft charts/weft",
        KNOWN.join(", ")
    )
}

/// What the API server does with a route or policy without our answer.
const VALIDATION: [&str; 3] = ["Auto", "Fail", "Ignore"];

/// Every one of them.
pub(super) const KNOWN: [&str; 25] = [
    "replicas",
    "trustDomain",
    "defaultMtls",
    "log.level",
    "log.json",
    "state.initialize",
    "image.registry",
    "image.repository",
    "image.tag",
    "image.digest",
    "image.pullPolicy",
    "proxy.image.registry",
    "proxy.image.repository",
    "proxy.image.tag",
    "proxy.image.digest",
    "proxy.image.pullPolicy",
    "injection.redirect",
    "injection.failurePolicy",
    "validation.failurePolicy",
    "networkPolicy.enabled",
    "cni.enabled",
    "cni.namespace",
    "cni.binDir",
    "cni.confDir",
    "cni.netnsDir",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_value_is_taken_from_a_file_or_a_flag_and_no_other() {
        let mut values = Values::default();
        values
            .read(&json!({"replicas": 2, "image": {"tag": "v1"}, "networkPolicy": {"enabled": false}}))
            .unwrap();
        values.set("replicas", "3").unwrap();
        assert_eq!((values.replicas, &*values.image.tag, values.network_policy), (3, "v1", false));
        for known in KNOWN {
            let refused = Values::default().set(known, "\n").unwrap_err().to_string();
            assert!(refused.starts_with(known) && !refused.contains("Helm"), "{refused}");
        }
        for (name, value, expected) in [
            ("replicas", "0", "from 1 to 99"),
            ("replica", "2", "replica is no value that `meshctl install` knows; it knows replicas,"),
            ("controlPlane.maxAge", "1h", "helm install"),
            ("image", "x", "is no value"),
            ("image.digest", "latest", "sha256"),
            ("trustDomain", "Weft Local", "a-z"),
            ("cni.binDir", "opt/cni/bin", "from / on"),
            ("cni.namespace", "kube system", "a-z"),
            ("defaultMtls", "maybe", "permissive, strict"),
        ] {
            let refused = Values::default().set(name, value).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
        assert!(
            Values::default().read(&json!({"tolerations": []})).unwrap_err().to_string().contains("Helm")
        );
    }

    #[test]
    fn an_image_is_named_as_the_chart_names_it() {
        let image = |registry: &str, tag: &str, digest: &str| Image {
            registry: registry.to_owned(),
            tag: tag.to_owned(),
            digest: digest.to_owned(),
            ..Image::of("weft/proxy")
        };
        for (image, above, expected) in [
            (image("", "", ""), "", concat!("weft/proxy:", env!("CARGO_PKG_VERSION"))),
            (image("", "v2", ""), "r.example:5000", "r.example:5000/weft/proxy:v2"),
            (image("own.example", "v2", "sha256:ab"), "r.example", "own.example/weft/proxy@sha256:ab"),
        ] {
            assert_eq!(image.reference(above), expected);
        }
    }
}
