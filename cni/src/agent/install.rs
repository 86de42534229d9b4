//! Our program among the node's CNI plugins, and our entry in the list that the runtime reads. Every file is written beside
//! its place and moved there, so that a runtime that reads at any moment reads a whole one.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::conflist::{self, NoList};

/// The node's folders for plugins.
#[derive(Clone, Debug)]
pub struct Place {
    /// The plugin, as it came with the agent.
    pub program: PathBuf,
    /// `/opt/cni/bin`
    pub programs: PathBuf,
    /// `/etc/cni/net.d`
    pub configurations: PathBuf,
}

impl Place {
    /// Puts the program and the entry where they belong, if they are not there. Says whether that changed anything.
    ///
    /// # Errors
    /// [`NotInstalled`].
    pub fn keep(&self, socket: &str) -> Result<bool, NotInstalled> {
        let copied = self.copy()?;
        let names = self.names()?;
        let Some(name) = conflist::in_force(names.iter().map(String::as_str)) else {
            return Err(NotInstalled::NoNetwork { folder: self.configurations.display().to_string() });
        };
        let file = self.configurations.join(name);
        let text = fs::read_to_string(&file).map_err(|source| failed("read", &file, source))?;
        let list = |source| NotInstalled::NoList { file: file.display().to_string(), source };
        match conflist::with_us(&text, socket).map_err(list)? {
            Some(with) => write(&file, with.as_bytes(), 0o644).map(|()| true),
            None => Ok(copied),
        }
    }

    /// Takes the entry out of every list it stands in. The program stays: it deletes nothing, and a runtime that has read
    /// the list before still runs it for pods that go.
    ///
    /// # Errors
    /// The last thing that failed; the rest was done.
    pub fn leave(&self) -> Result<(), NotInstalled> {
        let mut done = Ok(());
        for name in self.names()? {
            let file = self.configurations.join(&name);
            let Ok(text) = fs::read_to_string(&file) else { continue };
            // What is no list has no entry of ours.
            let Ok(Some(without)) = conflist::without_us(&text) else { continue };
            match write(&file, without.as_bytes(), 0o644) {
                Ok(()) => {
                    tracing::info!(file = %file.display(), "the plugin has left the node's configuration")
                }
                Err(error) => done = Err(error),
            }
        }
        done
    }

    fn names(&self) -> Result<Vec<String>, NotInstalled> {
        let folder = &self.configurations;
        let entries = fs::read_dir(folder).map_err(|source| failed("read", folder, source))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn copy(&self) -> Result<bool, NotInstalled> {
        let target = self.programs.join(conflist::TYPE);
        if is_newer_copy(&target, &self.program) {
            return Ok(false);
        }
        let ours = fs::read(&self.program).map_err(|source| failed("read", &self.program, source))?;
        if fs::read(&target).is_ok_and(|there| there == ours) {
            return Ok(false);
        }
        write(&target, &ours, 0o755).map(|()| true)
    }
}

/// Whether `target` was written after `program` and is as long. It is asked every second, and an upgrade brings a program
/// that is newer than any copy: only then, or where the clock cannot tell, is it worth reading both.
fn is_newer_copy(target: &Path, program: &Path) -> bool {
    let seen = |file: &Path| fs::metadata(file).and_then(|meta| Ok((meta.len(), meta.modified()?)));
    let (Ok((length, written)), Ok((wanted, made))) = (seen(target), seen(program)) else { return false };
    length == wanted && written > made
}

/// Writes a file whole. Its other name begins with a dot and ends in nothing that a runtime takes for a configuration.
fn write(file: &Path, bytes: &[u8], mode: u32) -> Result<(), NotInstalled> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = file.with_file_name(format!(".{name}.weft"));
    let written = fs::write(&beside, bytes)
        .and_then(|()| fs::set_permissions(&beside, fs::Permissions::from_mode(mode)))
        .and_then(|()| fs::rename(&beside, file));
    written.map_err(|source| failed("write", file, source))
}

fn failed(doing: &'static str, file: &Path, source: io::Error) -> NotInstalled {
    NotInstalled::Failed { doing, file: file.display().to_string(), source }
}

/// Why pods are made without the plugin.
#[derive(Debug, thiserror::Error)]
pub enum NotInstalled {
    /// No other plugin has written its configuration yet.
    #[error(
        "there is no CNI configuration in {folder}: this plugin makes no network, and waits for one that does"
    )]
    NoNetwork {
        /// Where.
        folder: String,
    },
    /// There is nothing to stand in.
    #[error("{file}: {source}")]
    NoList {
        /// Which.
        file: String,
        /// Why.
        source: NoList,
    },
    /// The disk.
    #[error("cannot {doing} {file}: {source}")]
    Failed {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node with a program to be copied, and these configurations.
    fn node(files: &[(&str, &str)]) -> (tempfile::TempDir, Place) {
        let node = tempfile::tempdir().unwrap();
        let place = Place {
            program: node.path().join("weft-cni"),
            programs: node.path().join("bin"),
            configurations: node.path().join("net.d"),
        };
        fs::create_dir(&place.programs).unwrap();
        fs::create_dir(&place.configurations).unwrap();
        fs::write(&place.program, "program 1").unwrap();
        for (name, text) in files {
            fs::write(place.configurations.join(name), text).unwrap();
        }
        (node, place)
    }

    fn text(place: &Place, name: &str) -> String {
        fs::read_to_string(place.configurations.join(name)).unwrap()
    }

    const LIST: &str = r#"{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge"}]}"#;

    #[test]
    fn the_plugin_stands_in_the_list_that_is_read_and_comes_back_into_it() {
        let (_node, place) = node(&[("10-a.conflist", LIST), ("20-b.conflist", LIST)]);
        assert!(place.keep("/s").unwrap());
        assert!(!place.keep("/s").unwrap(), "nothing is written twice");
        assert!(text(&place, "10-a.conflist").contains("weft-cni"));
        assert_eq!(text(&place, "20-b.conflist"), LIST, "the runtime does not read it");
        assert!(fs::metadata(place.programs.join("weft-cni")).unwrap().permissions().mode() & 0o111 != 0);
        // Another plugin is upgraded, and so is ours.
        fs::write(place.configurations.join("10-a.conflist"), LIST).unwrap();
        fs::write(&place.program, "program 2").unwrap();
        assert!(place.keep("/s").unwrap());
        assert!(text(&place, "10-a.conflist").contains("weft-cni"));
        assert_eq!(fs::read(place.programs.join("weft-cni")).unwrap(), b"program 2");
        let names = place.names().unwrap();
        assert_eq!(names.len(), 2, "nothing is left beside them: {names:?}");
    }

    #[test]
    fn who_leaves_leaves_everything_as_it_was_but_the_program() {
        let (_node, place) = node(&[("10-a.conflist", LIST), ("99.txt", "weft-cni")]);
        place.keep("/s").unwrap();
        place.leave().unwrap();
        let is = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(is(&text(&place, "10-a.conflist")), is(LIST));
        assert!(place.programs.join("weft-cni").exists());
        place.leave().unwrap();
    }

    #[test]
    fn what_cannot_be_stood_in_is_left_alone_and_said() {
        for (files, said) in [
            (&[][..], "waits for one that does"),
            (&[("10.conf", r#"{"type":"bridge"}"#)][..], "make it a .conflist"),
            (&[("10.conflist", "{\"plugins\": [")][..], "no JSON"),
        ] {
            let (_node, place) = node(files);
            let error = place.keep("/s").unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            for (name, before) in files {
                assert_eq!(text(&place, name), *before);
            }
        }
    }
}
