//! The demo's manifests, as a newcomer reads them and as `meshctl up -f` would take them.

use std::path::Path;

use anyhow::Context;

/// What the mesh starts with: file name and text.
pub(super) const FILES: [(&str, &str); 4] = [
    ("services.yaml", include_str!("mesh/services.yaml")),
    ("split.yaml", include_str!("mesh/split.yaml")),
    ("traffic.yaml", include_str!("mesh/traffic.yaml")),
    ("access.yaml", include_str!("mesh/access.yaml")),
];

/// What can be applied next.
pub(super) const NEXT: [(&str, &str); 2] =
    [("split.yaml", include_str!("next/split.yaml")), ("deny.yaml", include_str!("next/deny.yaml"))];

/// The share of requests that [`FILES`] say goes to each version.
pub(super) const SPLIT: [(&str, f64); 2] = [("v1", 0.9), ("v2", 0.1)];

/// All of [`FILES`] as one YAML stream.
pub(super) fn printed() -> String {
    let texts: Vec<String> = FILES.iter().map(|(name, text)| format!("# {name}\n{text}")).collect();
    texts.join("---\n")
}

/// Writes files into a directory.
///
/// # Errors
/// If one cannot be written.
pub(super) fn write(dir: &Path, files: &[(&str, &str)]) -> anyhow::Result<()> {
    for (name, text) in files {
        let file = dir.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_manifests::check::check;
    use weft_manifests::load::load;
    use weft_manifests::object::Object;

    /// The manifests with one file put in place of the one of its name, or beside the others.
    fn with<'f>(next: &(&'f str, &'f str)) -> Vec<(&'f str, &'f str)> {
        let others = FILES.into_iter().filter(|(name, _)| *name != next.0);
        others.chain([*next]).collect()
    }

    fn weights(files: &[(&str, &str)]) -> Vec<(String, u32)> {
        let loaded = load(files);
        let routes = loaded.accepted().filter_map(|object| match object {
            Object::HttpRoute(route) => Some(route),
            _ => None,
        });
        let backends = routes.flat_map(|route| route.rules[0].backends.clone());
        backends.map(|backend| (backend.name.to_string(), backend.weight)).collect()
    }

    #[test]
    fn nothing_is_wrong_with_the_manifests_nor_with_what_comes_next() {
        for files in
            [FILES.to_vec(), with(&NEXT[0]), with(&NEXT[1]), vec![("printed.yaml", printed().as_str())]]
        {
            let report = check(&files);
            // Endpoints register themselves: that none is declared is no mistake here.
            let found: Vec<String> =
                report.diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
            assert!(found.is_empty(), "{found:#?}");
        }
    }

    #[test]
    fn the_split_that_is_checked_is_the_one_that_is_written() {
        let written: Vec<(String, f64)> =
            weights(&FILES).into_iter().map(|(name, weight)| (name, f64::from(weight) / 100.0)).collect();
        let wanted: Vec<(String, f64)> =
            SPLIT.iter().map(|(v, share)| (format!("api-{v}"), *share)).collect();
        assert_eq!(written, wanted);
        let shifted: Vec<u32> = weights(&with(&NEXT[0])).into_iter().map(|(_, weight)| weight).collect();
        assert_eq!(shifted, [50, 50]);
    }
}
