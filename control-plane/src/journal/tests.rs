use std::sync::Arc;

use proptest::prelude::*;

use super::sim::{Chance, Fault, SimDisk};
use super::*;

/// What a history does to a journal.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    Compact,
}

/// Appends of all sizes, some longer than a sector, some ending in zeros, and now and then a new generation.
fn history(seed: u64, steps: usize) -> Vec<Step> {
    let mut chance = Chance(seed);
    (0..steps)
        .map(|_| {
            if chance.one_in(6) {
                return Step::Compact;
            }
            let len = 1 + if chance.one_in(3) { chance.below(900) } else { chance.below(60) };
            let zeros = chance.below(len + 1);
            let byte = |at| if at >= zeros { 0 } else { u8::try_from(chance.next() % 256).unwrap() };
            Step::Append((0..len).map(byte).collect())
        })
        .collect()
}

/// Plays `steps` until the disk fails. Gives what certainly holds, and what may hold beyond that.
fn play(disk: &SimDisk, steps: &[Step]) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
    let mut holds = Vec::new();
    let Ok(mut journal) = Journal::create(Arc::new(disk.clone()), &[]) else { return (holds, None) };
    for step in steps {
        let done = match step {
            Step::Append(payload) => journal.append(payload),
            Step::Compact => journal.compact(&holds),
        };
        match (step, done) {
            (Step::Append(payload), Ok(())) => holds.push(payload.clone()),
            (Step::Append(payload), Err(_)) => return (holds, Some(payload.clone())),
            (Step::Compact, Ok(())) => {}
            (Step::Compact, Err(_)) => return (holds, None),
        }
    }
    (holds, None)
}

fn reopen(disk: &SimDisk) -> Opened {
    Journal::open(Arc::new(disk.clone())).unwrap().expect("there is a journal")
}

/// Crashes `steps` at every byte and between any two operations, and looks at what each of some disks then shows.
/// Returns the number of crashes.
fn crash_everywhere(steps: &[Step], seed: u64) -> u64 {
    let whole = SimDisk::default();
    play(&whole, steps);
    let last = whole.steps_taken();
    for at in 0..=last {
        let disk = SimDisk::default();
        disk.kill_after(at);
        let (holds, perhaps) = play(&disk, steps);
        let disk = disk.after_crash(seed ^ at);
        let Some(mut opened) = Journal::open(Arc::new(disk.clone()))
            .unwrap_or_else(|error| panic!("seed {seed}, crash at {at}: {error}"))
        else {
            assert!(holds.is_empty(), "seed {seed}, crash at {at}: the journal is gone");
            continue;
        };
        let mut with_it = holds.clone();
        with_it.extend(perhaps);
        let seen = opened.records;
        assert!(seen == holds || seen == with_it, "seed {seed}, crash at {at}: neither old nor new");
        assert!(opened.mended.is_none(), "seed {seed}, crash at {at}: {:?}", opened.mended);

        // And it goes on from there, across a second crash.
        opened.journal.append(b"after").unwrap();
        let again = reopen(&disk.after_crash(at)).records;
        assert_eq!(again.split_last(), Some((&b"after".to_vec(), seen.as_slice())));
    }
    last + 1
}

#[test]
fn a_crash_at_any_byte_of_any_write_leaves_the_old_state_or_the_new() {
    let crashes: u64 = (0..6).map(|seed| crash_everywhere(&history(seed, 12), seed)).sum();
    assert!(crashes > 10_000, "{crashes}");
    println!(r#"scorecard: {{"row":24,"ours":"{crashes} crash points, 0 unreadable states","pass":true}}"#);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_history_survives_a_crash_anywhere(seed: u64, steps in 1_usize..5) {
        crash_everywhere(&history(seed, steps), seed);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), keep_header: bool) {
        let disk = SimDisk::default();
        let mut file = if keep_header { Header::with_snapshot(1, &[b"one".to_vec()]).unwrap().1 } else { Vec::new() };
        file.extend(bytes);
        disk.create("journal.000001", &file).unwrap();
        let _ = Journal::open(Arc::new(disk));
    }
}

#[test]
fn every_flipped_bit_is_noticed_and_named_and_none_is_skipped() {
    let records: Vec<Vec<u8>> = (1_u8..6).map(|byte| vec![byte; usize::from(byte) * 3]).collect();
    let disk = SimDisk::default();
    let mut journal = Journal::create(Arc::new(disk.clone()), &[]).unwrap();
    for record in &records {
        journal.append(record).unwrap();
    }
    let mut named = std::collections::BTreeSet::new();
    for bit in 0..usize::try_from(journal.len()).unwrap() * 8 {
        disk.flip("journal.000001", bit);
        let error = Journal::open(Arc::new(disk.clone())).expect_err("a flipped bit");
        let JournalError::Damaged { file, damage } = &error else { panic!("{error}") };
        assert_eq!(file, "journal.000001");
        assert!(damage.offset() <= bit as u64 / 8, "bit {bit}: {damage}");
        assert!(error.to_string().contains("backup"), "{error}");
        named.insert(damage.offset());
        disk.flip("journal.000001", bit);
    }
    // The header, and each record at the byte where it begins.
    assert_eq!(named.into_iter().collect::<Vec<_>>(), [0, 36, 47, 61, 78, 98]);
    assert_eq!(reopen(&disk).records, records);
}

#[test]
fn a_damaged_beginning_is_taken_from_the_generation_before() {
    let disk = SimDisk::default();
    let records = [b"one".to_vec(), b"two".to_vec()];
    let mut journal = Journal::create(Arc::new(disk.clone()), &[]).unwrap();
    for record in &records {
        journal.append(record).unwrap();
    }
    journal.compact(&records).unwrap();
    journal.append(b"three").unwrap();
    disk.flip("journal.000002", 8 * 46);

    let opened = reopen(&disk);
    assert_eq!(opened.records, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
    let mended = opened.mended.expect("it says so").to_string();
    assert!(mended.contains("journal.000002") && mended.contains("byte 36"), "{mended}");
    assert!(opened.journal.wants_compaction(), "a good copy is written soon");

    // Without the generation before, nothing can stand in for it.
    disk.forget("journal.000001");
    let error = Journal::open(Arc::new(disk)).unwrap_err().to_string();
    assert!(error.contains("byte 36") && error.contains("remove journal.000002"), "{error}");
}

#[test]
fn two_generations_stay_and_no_more() {
    let disk = SimDisk::default();
    let mut journal = Journal::create(Arc::new(disk.clone()), &[]).unwrap();
    for _ in 0..4 {
        journal.compact(&[b"state".to_vec()]).unwrap();
    }
    assert_eq!(disk.names(), ["journal.000004", "journal.000005"]);
}

#[test]
fn a_full_or_failing_disk_changes_nothing_and_writing_resumes_when_it_recovers() {
    for fault in [Fault::Full, Fault::NoSync, Fault::ReadOnly] {
        let disk = SimDisk::default();
        let mut journal = Journal::create(Arc::new(disk.clone()), &[]).unwrap();
        journal.append(b"before").unwrap();
        disk.suffer(fault);
        for _ in 0..3 {
            let error = journal.append(b"while it fails").unwrap_err().to_string();
            assert!(error.contains("nothing has changed"), "{error}");
            assert!(journal.compact(&[b"before".to_vec()]).is_err());
        }
        assert_eq!(reopen(&disk.after_crash(0)).records.first(), Some(&b"before".to_vec()));
        disk.suffer(Fault::None);
        journal.append(b"after").unwrap();
        assert_eq!(
            reopen(&disk.after_crash(1)).records,
            [b"before".to_vec(), b"after".to_vec()],
            "{fault:?}"
        );
    }
}

#[test]
fn a_record_that_is_too_large_is_refused_before_it_is_written() {
    let disk = SimDisk::default();
    let mut journal = Journal::create(Arc::new(disk.clone()), &[]).unwrap();
    journal.append(&vec![7; MAX_RECORD_BYTES]).unwrap();
    assert!(matches!(journal.append(&vec![7; MAX_RECORD_BYTES + 1]), Err(JournalError::TooLarge { .. })));
    assert_eq!(reopen(&disk).records.len(), 1);
}

#[test]
fn the_real_file_system_keeps_what_the_simulated_one_keeps() {
    let place = tempfile::tempdir().unwrap();
    let disk = Arc::new(Directory::new(place.path()));
    let mut journal = Journal::create(disk.clone(), &[b"one".to_vec()]).unwrap();
    journal.append(b"two").unwrap();
    journal.compact(&[b"both".to_vec()]).unwrap();
    journal.append(b"three").unwrap();
    disk.write("journal.000002", journal.len(), &[9; 5]).unwrap();

    let opened = Journal::open(disk.clone()).unwrap().unwrap();
    assert_eq!((opened.records, opened.torn_bytes), (vec![b"both".to_vec(), b"three".to_vec()], 5));
    assert_eq!(disk.read("journal.000002").unwrap().len() as u64, journal.len(), "the torn end is gone");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(place.path().join("journal.000002")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}
