//! The other two programs, `weft-control-plane` and `weft-proxy`: found beside this one, then on `PATH`.
//!
//! Beside first, because a build or an archive puts all three into one folder, and they should be of one build.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// One of the programs that meshctl starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// `weft-control-plane`
    ControlPlane,
    /// `weft-proxy`
    Proxy,
}

impl Program {
    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "weft-control-plane",
            Self::Proxy => "weft-proxy",
        }
    }

    /// Finds it.
    ///
    /// # Errors
    /// Where it was looked for, and what to do.
    pub(crate) fn find(self) -> anyhow::Result<PathBuf> {
        let own = std::env::current_exe().ok();
        let beside = own.as_deref().and_then(Path::parent);
        let path = std::env::var_os("PATH");
        self.look(beside, path.as_deref())
    }

    fn look(self, beside: Option<&Path>, path: Option<&OsStr>) -> anyhow::Result<PathBuf> {
        let on_path = path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
        let mut places = beside.map(Path::to_owned).into_iter().chain(on_path);
        places.find_map(|place| Some(place.join(self.name())).filter(|file| file.is_file())).ok_or_else(|| {
            let beside = beside.map_or_else(|| "this program".to_owned(), |dir| dir.display().to_string());
            anyhow::anyhow!(
                "{name} is neither in {beside} nor on PATH: build it with `cargo build -p {name}`, or put it \
                 beside meshctl",
                name = self.name()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_beside_us_comes_before_the_one_on_the_path() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = Some(there.path().as_os_str());
        let look = || Program::Proxy.look(Some(here.path()), path);
        let error = look().unwrap_err().to_string();
        assert!(error.contains("weft-proxy") && error.contains("cargo build"), "{error}");
        std::fs::write(there.path().join("weft-proxy"), "").unwrap();
        assert_eq!(look().unwrap(), there.path().join("weft-proxy"));
        std::fs::write(here.path().join("weft-proxy"), "").unwrap();
        assert_eq!(look().unwrap(), here.path().join("weft-proxy"));
    }
}
