//! Wall-clock times as people read them: how long ago, how long still.

use std::time::{Duration, SystemTime};

/// Seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `in 11 h 58 min`, `3 s ago`; `never` for 0, which is how the wire says "not known".
pub(crate) fn relative(unix: u64, now: u64) -> String {
    match unix {
        0 => "never".to_owned(),
        ahead if ahead > now => format!("in {}", span(Duration::from_secs(ahead - now))),
        past => format!("{} ago", span(Duration::from_secs(now - past))),
    }
}

/// The two largest units: `12 s`, `3 min 20 s`, `11 h 58 min`, `29 d 4 h`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let Some(first) = units.iter().position(|(size, _)| seconds >= *size) else { return "0 s".to_owned() };
    let mut rest = seconds;
    let parts = units.iter().skip(first).take(2).filter_map(|(size, unit)| {
        let count = rest / size;
        rest %= size;
        (count > 0).then(|| format!("{count} {unit}"))
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// Reads `500ms`, `30s`, `5m`, `12h`, `7d`.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "write a number and a unit, like 30s".to_owned())?;
    let millis = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("`{unit}` is no unit of time: use ms, s, m, h or d")),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| "that is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_in_its_two_largest_units() {
        for (unix, want) in [
            (0, "never"),
            (100_000, "0 s ago"),
            (99_988, "12 s ago"),
            (100_000 + 200, "in 3 min 20 s"),
            (100_000 + 43_080, "in 11 h 58 min"),
            (100_000 + 86_400, "in 1 d"),
            (100_000 + 90_001, "in 1 d 1 h"),
        ] {
            assert_eq!(relative(unix, 100_000), want);
        }
    }

    #[test]
    fn a_span_needs_a_unit_that_is_one() {
        for (text, want) in
            [("30s", 30_000), ("500ms", 500), ("2", 2_000), ("5m", 300_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(want)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "3 weeks", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
