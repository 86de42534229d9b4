//! What was measured, as a table for people and a file for programs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

/// Rows, in the order in which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(String, Value)>);

impl Table {
    /// Adds one, and says it at once: the rest takes minutes.
    pub(crate) fn row(&mut self, name: &str, figures: Value) {
        eprintln!("{}", line(name, &figures));
        self.0.push((name.to_owned(), figures));
    }

    pub(crate) fn print(&self) {
        println!();
        self.0.iter().for_each(|(name, figures)| println!("{}", line(name, figures)));
    }

    /// Writes the file; `about` says what was measured, where and when.
    pub(crate) fn write(&self, path: &str, about: &str) -> anyhow::Result<()> {
        let rows: Map<String, Value> = self.0.iter().cloned().collect();
        if let Some(folder) = Path::new(path).parent() {
            fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(&json!({"about": about, "rows": rows}))?;
        fs::write(path, text + "\n").with_context(|| path.to_owned())?;
        println!("\n{about}\nwritten to {path}");
        Ok(())
    }
}

fn line(name: &str, figures: &Value) -> String {
    let number = |value: &Value| value.as_f64().map_or_else(|| value.to_string(), |it| format!("{it:.1}"));
    let figures = figures.as_object().into_iter().flatten();
    let figures: Vec<String> = figures.map(|(name, value)| format!("{name} {}", number(value))).collect();
    format!("{name:<60} {}", figures.join("  "))
}

/// The half, ninety-nine of a hundred, and the longest, in milliseconds.
pub(crate) fn spread(measured: &[Duration], unit: &str) -> Value {
    let mut sorted = measured.to_vec();
    sorted.sort_unstable();
    let at = |per_mille: usize| {
        // The smallest that so many are not above.
        let nth = (sorted.len() * per_mille).div_ceil(1000).saturating_sub(1);
        sorted.get(nth).map_or(0.0, |it| it.as_secs_f64() * 1000.0)
    };
    json!({"n": sorted.len(), format!("p50_{unit}"): at(500), format!("p99_{unit}"): at(990), format!("max_{unit}"): at(1000)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_what_so_many_are_not_above() {
        let measured: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(
            spread(&measured, "ms"),
            json!({"n": 200, "p50_ms": 100.0, "p99_ms": 198.0, "max_ms": 200.0})
        );
        assert_eq!(spread(&[], "ms")["max_ms"], 0.0);
    }
}
