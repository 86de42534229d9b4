//! What the counters of a family say, and that between two looks exactly one of them went up.

use std::collections::BTreeMap;

use weft_tests::eventually::eventually;

/// One value for each series, by the label that tells them apart.
pub(crate) type Counts = BTreeMap<String, u64>;

/// The series of `family` that have `among` in their labels, by the value of `label`.
pub(crate) fn counts(metrics: &str, family: &str, among: &str, label: &str) -> Counts {
    let lines = metrics.lines().filter(|line| line.starts_with(family) && line.contains(among));
    let read = lines.filter_map(|line| {
        let value = line.split(&format!("{label}=\"")).nth(1)?.split('"').next()?;
        Some((value.to_owned(), line.rsplit(' ').next()?.parse().ok()?))
    });
    read.collect()
}

/// What went up.
pub(crate) fn risen(before: &Counts, after: &Counts) -> Counts {
    let by = |(name, count): (&String, &u64)| {
        let more = count - before.get(name).copied().unwrap_or(0);
        (more > 0).then(|| (name.clone(), more))
    };
    after.iter().filter_map(by).collect()
}

/// Waits until something has gone up, and that is `reason`, by one.
pub(crate) async fn only(what: &str, before: &Counts, reason: &str, mut look: impl AsyncFnMut() -> Counts) {
    let risen = eventually(format!("{what} is counted as {reason}"), async || {
        Some(risen(before, &look().await)).filter(|risen| !risen.is_empty())
    })
    .await;
    assert_eq!(risen, Counts::from([(reason.to_owned(), 1)]), "{what}");
}
