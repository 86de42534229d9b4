//! The settings of admission: where it is served, under which name, and what is put into pods.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use weft_manifests::inject::Redirect;

use super::{Placeholder, Reader, Setting, SourceKind, parse};
use crate::webhook::{Failure, ProxySettings};

/// Admission, where it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where the API server connects.
    pub listen: SocketAddr,
    /// By what name: `<service>.<namespace>.svc`.
    pub name: String,
    /// The name of the webhook configurations whose `caBundle` is kept right.
    pub configuration: String,
    /// Who decides whether the API server waits for the validator.
    pub failure: Failure,
    /// What is put into pods.
    pub proxy: ProxySettings,
}

/// `None`: it is not served, and nothing else of it has to be said.
pub(super) fn read<Said>(reader: &mut Reader<Said>, source: SourceKind) -> Option<WebhookConfig>
where
    Said: Fn(&Setting) -> Option<String>,
{
    let said = match source {
        SourceKind::Kubernetes => anything,
        // There is no API server that would ask, and none whose configurations could be kept.
        SourceKind::Directory => nothing,
    };
    if reader.value("webhook-listen", said).is_empty() {
        return None;
    }
    Some(WebhookConfig {
        listen: reader.value("webhook-listen", parse),
        name: reader.value("webhook-name", something),
        configuration: reader.value("webhook-configuration", something),
        failure: if reader.value("prove-validator", parse) { Failure::AsProven } else { Failure::AsWritten },
        proxy: ProxySettings {
            image: reader.value("proxy-image", something),
            pull_policy: reader.value("proxy-pull-policy", pull_policy),
            control_plane: reader.value("proxy-control-plane", something),
            redirect: reader.value("proxy-redirect", redirect),
            environment: reader.value("proxy-env", environment),
        },
    })
}

fn anything(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn nothing(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { Err("of no use without --source kubernetes".to_owned()) }
}

fn something(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("not enough: --webhook-listen needs it".to_owned()) } else { anything(text) }
}

fn pull_policy(text: &str) -> Result<String, String> {
    let known = ["Always", "IfNotPresent", "Never"].contains(&text);
    if known { anything(text) } else { Err("none of Always, IfNotPresent, Never".to_owned()) }
}

fn redirect(text: &str) -> Result<Redirect, String> {
    match text {
        "init-container" => Ok(Redirect::InitContainer),
        "node" => Ok(Redirect::Node),
        _ => Err("neither init-container nor node".to_owned()),
    }
}

/// A JSON object of strings, as a chart writes it: `{"WEFT_ACCESS_LOG": "stdout"}`.
fn environment(text: &str) -> Result<BTreeMap<String, String>, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON object of strings: {error}"))
}

impl Placeholder for Redirect {
    fn placeholder() -> Self {
        Self::InitContainer
    }
}

impl Placeholder for BTreeMap<String, String> {
    fn placeholder() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BadSettings, Config};

    const SAID: [(&str, &str); 7] = [
        ("source", "kubernetes"),
        ("state-dir", "/state"),
        ("webhook-listen", "0.0.0.0:15017"),
        ("webhook-name", "weft.weft-system.svc"),
        ("webhook-configuration", "weft"),
        ("proxy-image", "weft/proxy:1"),
        ("proxy-control-plane", "weft.weft-system.svc:15010"),
    ];

    fn read(said: &[(&str, &str)]) -> Result<Config, BadSettings> {
        // What is said last counts.
        let find = |flag| said.iter().rev().find(|(known, _)| *known == flag);
        Config::read(|setting| find(setting.flag).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn admission_is_off_until_it_is_told_where_to_listen_and_then_needs_its_names() {
        assert_eq!(read(&SAID[..2]).unwrap().webhook, None);
        let webhook = read(&SAID).unwrap().webhook.unwrap();
        assert_eq!((webhook.listen.port(), &*webhook.proxy.pull_policy), (15017, "IfNotPresent"));
        assert_eq!((webhook.proxy.redirect, webhook.failure), (Redirect::InitContainer, Failure::AsWritten));
        let flags: Vec<_> = read(&SAID[..3]).unwrap_err().0.iter().map(|bad| bad.flag).collect();
        assert_eq!(flags, ["webhook-name", "webhook-configuration", "proxy-image", "proxy-control-plane"]);
    }

    #[test]
    fn every_mistake_in_it_is_named() {
        for (flag, value, expected) in [
            ("webhook-listen", "15017", "not understood"),
            ("proxy-redirect", "magic", "neither init-container nor node"),
            ("proxy-pull-policy", "Sometimes", "none of Always"),
            ("proxy-env", "WEFT_LOG=debug", "no JSON object"),
            ("proxy-env", r#"{"WEFT_WORKERS": 2}"#, "no JSON object of strings"),
        ] {
            let said: Vec<_> = SAID.iter().copied().chain([(flag, value)]).collect();
            let bad = read(&said).unwrap_err();
            assert!(bad.0.len() == 1 && bad.0[0].flag == flag, "{bad}");
            assert!(bad.to_string().contains(expected), "{bad}");
        }
        let on_a_laptop =
            read(&[("config-dir", "/mesh"), ("state-dir", "/state"), ("webhook-listen", "[::]:15017")]);
        assert!(on_a_laptop.unwrap_err().to_string().contains("--source kubernetes"));
    }
}
