//! Access logs, read while they are written.

use std::path::Path;

use serde_json::Value;

use crate::eventually::eventually;

/// The lines that `wanted` wants, once there are at least `count`.
///
/// # Panics
/// If a line is not JSON, or there are too few for too long.
pub async fn lines(file: &Path, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let what = format!("{} has {count} such lines", file.display());
    eventually(what, async || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        // What stands after the last line break is still being written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let found: Vec<Value> = whole.lines().map(read).filter(&wanted).collect();
        (found.len() >= count).then_some(found)
    })
    .await
}
