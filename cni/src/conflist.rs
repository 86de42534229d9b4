//! A node's list of plugins as text, with our entry in it or without. Everything else in it stays as somebody else has
//! written it.

use serde_json::{Value, json};

use crate::call::ANNOTATIONS;

/// The list with our entry at its end, where our rules find the network that the others have made. `None`: it is so
/// already.
///
/// # Errors
/// [`NoList`]; it is to be left alone then.
pub fn with_us(text: &str, socket: &str) -> Result<Option<String>, NoList> {
    let entry = json!({"type": TYPE, "socket": socket, "capabilities": {ANNOTATIONS: true}});
    changed(text, |plugins| {
        plugins.retain(|plugin| !is_ours(plugin));
        plugins.push(entry);
    })
}

/// The list without our entry. `None`: it has none.
///
/// # Errors
/// [`NoList`]; it is to be left alone then.
pub fn without_us(text: &str) -> Result<Option<String>, NoList> {
    changed(text, |plugins| plugins.retain(|plugin| !is_ours(plugin)))
}

/// Which of a folder's files the runtime reads: of those that it takes for one, the first by name.
pub fn in_force<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let is_one = |name: &&str| [".conf", ".conflist", ".json"].iter().any(|ending| name.ends_with(ending));
    names.into_iter().filter(is_one).min()
}

fn changed(text: &str, change: impl FnOnce(&mut Vec<Value>)) -> Result<Option<String>, NoList> {
    let mut list: Value = serde_json::from_str(text).map_err(|source| NoList::NoJson { source })?;
    let plugins = list.get_mut("plugins").and_then(Value::as_array_mut).ok_or(NoList::NoPlugins)?;
    let before = plugins.clone();
    change(plugins);
    let is_changed = *plugins != before;
    Ok(is_changed.then(|| format!("{list:#}\n")))
}

fn is_ours(plugin: &Value) -> bool {
    plugin.get("type").and_then(Value::as_str) == Some(TYPE)
}

/// Why a file is left alone.
#[derive(Debug, thiserror::Error)]
pub enum NoList {
    /// Somebody is writing it just now, or has not finished.
    #[error("it is no JSON: {source}")]
    NoJson {
        /// Where.
        source: serde_json::Error,
    },
    /// It is a single plugin.
    #[error("it has no list of plugins to stand in: make it a .conflist, with its plugin under `plugins`")]
    NoPlugins,
}

/// The name of our program.
pub const TYPE: &str = "weft-cni";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOCKET: &str = "/run/weft-cni/agent.sock";

    fn types(text: &str) -> Vec<String> {
        let list: Value = serde_json::from_str(text).unwrap();
        list["plugins"]
            .as_array()
            .unwrap()
            .iter()
            .map(|plugin| plugin["type"].as_str().unwrap_or("?").to_owned())
            .collect()
    }

    #[test]
    fn we_stand_last_and_once_however_often_we_are_put_there() {
        let alone = r#"{"cniVersion":"0.4.0","name":"pods","odd":[1,{}],"plugins":[{"type":"bridge","x":{"y":1}},{"type":"portmap"}]}"#;
        let ours = with_us(alone, SOCKET).unwrap().unwrap();
        assert_eq!(types(&ours), ["bridge", "portmap", "weft-cni"]);
        assert_eq!(with_us(&ours, SOCKET).unwrap(), None, "nothing is written that says the same");
        // Somebody has put one behind us.
        let pushed = ours.replacen("\"plugins\": [", "\"plugins\": [{\"type\":\"weft-cni\"},", 1);
        assert_eq!(
            types(&with_us(&pushed, "/elsewhere").unwrap().unwrap()),
            ["bridge", "portmap", "weft-cni"]
        );
        let back: Value = serde_json::from_str(&without_us(&ours).unwrap().unwrap()).unwrap();
        assert_eq!(back, serde_json::from_str::<Value>(alone).unwrap(), "and all the rest is as it was");
        assert_eq!(without_us(alone).unwrap(), None);
    }

    #[test]
    fn what_is_no_list_is_left_alone() {
        for bad in ["", "{", "[]", "{}", r#"{"type":"bridge"}"#, r#"{"plugins":{}}"#] {
            assert!(with_us(bad, SOCKET).is_err() && without_us(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_runtime_reads_the_first_by_name() {
        assert_eq!(
            in_force(["99-loopback.conf", "10-flannel.conflist", "05.txt", ".tmp"]),
            Some("10-flannel.conflist")
        );
        assert_eq!(in_force(["README"]), None);
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_list_stays(plugins in prop::collection::vec(("[a-z-]{1,9}", any::<u16>()), 0..6)) {
            let written: Vec<Value> =
                plugins.iter().map(|(kind, mtu)| json!({"type": kind, "mtu": mtu})).collect();
            let list = json!({"cniVersion": "1.0.0", "plugins": written}).to_string();
            let with = with_us(&list, SOCKET).unwrap().unwrap_or_else(|| list.clone());
            let without = without_us(&with).unwrap().unwrap_or(with);
            let back: Value = serde_json::from_str(&without).unwrap();
            let others: Vec<_> = written.into_iter().filter(|plugin| !is_ours(plugin)).collect();
            prop_assert_eq!(&back["plugins"], &Value::from(others));
        }
    }
}
