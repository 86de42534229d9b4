//! Durations as the Gateway API writes them (GEP-2257): `1h30m`, `250ms`.

use std::time::Duration;

/// Reads a duration: `^([0-9]{1,5}(h|m|s|ms)){1,4}$`.
///
/// # Errors
/// A sentence about the form.
pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str =
        "a duration is one to four numbers of up to five digits, each with h, m, s or ms, like 1m30s";
    let mut total = Duration::ZERO;
    let mut rest = text;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = rest.split_at(digits);
        if !(1..=5).contains(&digits) {
            return Err(FORM);
        }
        let number: u64 = number.parse().map_err(|_| FORM)?;
        // `ms` before `m`: the longer unit is meant where both fit.
        let (one, after) = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
            .iter()
            .find_map(|(name, millis)| unit.strip_prefix(name).map(|after| (*millis, after)))
            .ok_or(FORM)?;
        total += Duration::from_millis(number * one);
        rest = after;
        if rest.is_empty() {
            return Ok(total);
        }
    }
    Err(FORM)
}

/// The sentence that goes with the error.
pub(crate) const HELP: &str = "write a duration like 250ms, 10s or 1m30s";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_gep_2257() {
        let ok = [("0s", 0), ("250ms", 250), ("10s", 10_000), ("1h30m", 5_400_000), ("1h1m1s1ms", 3_661_001)];
        for (text, millis) in ok {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "1", "s", "-1s", "1.5s", "100000s", "1d", "1s ", "1h1m1s1ms1s", "1us", "١s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
