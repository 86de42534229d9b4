//! What was measured, in words, and the lines that the scorecard reads (tests/src/figures.rs).

use std::time::Duration;

/// The value that so many hundredths of all are not above; zero of none.
pub(crate) fn percentile(of: &[Duration], hundredths: usize) -> Duration {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// The one in the middle; 0 of none.
pub(crate) fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// As a line shows it.
pub(crate) fn millis(of: Duration) -> String {
    format!("{:.0} ms", of.as_secs_f64() * 1e3)
}

/// As a line shows it.
pub(crate) fn mebi(bytes: u64) -> u64 {
    bytes >> 20
}

/// Tells a figure to whoever runs this.
pub(crate) fn report(row: u8, ours: &str, pass: bool) {
    println!("scorecard: {}", serde_json::json!({ "row": row, "ours": ours, "pass": pass }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let all: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!([50, 99, 100].map(|p| percentile(&all, p).as_millis()), [100, 198, 200]);
        assert_eq!(percentile(&all[..1], 99), all[0]);
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
