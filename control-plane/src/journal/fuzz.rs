//! Any file where the journal was: what is read was written, in its order, from the beginning, or it is an error.

use std::sync::Arc;

use prost::Message;

use super::disk::Disk;
use super::record::Entry;
use super::sim::SimDisk;
use super::state::State;
use super::*;

#[test]
fn any_damage_leaves_a_beginning_of_what_was_written_or_an_error() {
    weft_fuzz::law!("journal_damage", |bytes| {
        let Some((count, rest)) = bytes.split_first() else { return };
        let (damage, rest) = rest.split_at((usize::from(count % 4) * 4).min(rest.len()));
        let mut written: Vec<Vec<u8>> = Vec::new();
        let mut rest = rest;
        while let Some((length, after)) = rest.split_first() {
            let (record, after) = after.split_at(usize::from(*length).min(after.len()));
            rest = after;
            written.extend((!record.is_empty()).then(|| record.to_vec()));
        }
        let disk = SimDisk::default();
        let (kept, appended) = written.split_at(written.len() / 3);
        let mut journal = Journal::create(Arc::new(disk.clone()), kept).unwrap();
        appended.iter().for_each(|record| journal.append(record).unwrap());
        let name = file_name(1);
        let mut file = disk.read(&name).unwrap();
        let whole = file.clone();
        for step in damage.chunks_exact(4) {
            let at = usize::from(u16::from_be_bytes([step[1], step[2]])) % (file.len() + 1);
            match step[0] % 4 {
                0 => file.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= step[3].max(1)),
                1 => file.truncate(at),
                2 => file.extend(std::iter::repeat_n(step[3], at)),
                _ => file.iter_mut().skip(at / 512 * 512).take(512).for_each(|byte| *byte = 0),
            }
        }
        let torn = damage.chunks_exact(4).all(|step| step[0] % 4 == 1)
            && file.len() as u64 >= journal.header.snapshot_end();
        disk.create(&name, &file).unwrap();
        match Journal::open(Arc::new(disk.clone())) {
            Ok(Some(opened)) => {
                assert!(written.starts_with(&opened.records), "{:?} was never written", opened.records);
                assert!(file != whole || opened.records == written);
                is_usable(&disk, opened);
            }
            Ok(None) => panic!("a journal that is there was not seen"),
            Err(JournalError::Damaged { .. }) => assert!(!torn, "what a crash cuts off is not damage"),
            Err(error) => panic!("{error}"),
        }
    });
}

/// What was opened can be written to, and holds what it held.
fn is_usable(disk: &SimDisk, opened: Opened) {
    let Opened { mut journal, mut records, .. } = opened;
    journal.append(b"one more").unwrap();
    records.push(b"one more".to_vec());
    let again = Journal::open(Arc::new(disk.clone())).unwrap().unwrap();
    assert_eq!((again.records, again.torn_bytes), (records, 0));
}

#[test]
fn any_file_is_a_journal_or_an_error() {
    weft_fuzz::law!("journal_file", |bytes| {
        let disk = SimDisk::default();
        disk.create(&file_name(7), bytes).unwrap();
        match Journal::open(Arc::new(disk)) {
            Ok(opened) => assert!(
                opened.is_some_and(|opened| opened.records.iter().all(|record| record.len() < bytes.len()))
            ),
            Err(error) => assert!(matches!(error, JournalError::Damaged { .. }), "{error}"),
        }
    });
}

#[test]
fn any_record_that_is_understood_is_kept_by_a_snapshot() {
    weft_fuzz::law!("journal_record", |bytes| {
        let Ok(state) = State::replay(&[bytes.to_vec()]) else { return };
        let snapshot = state.to_entries();
        assert_eq!(State::replay(&snapshot).unwrap(), state, "a snapshot amounts to its history");
        let twice = [snapshot.clone(), snapshot].concat();
        assert_eq!(State::replay(&twice).unwrap(), state, "twice is once");
        let entry = Entry::decode(bytes).unwrap();
        assert_eq!(Entry::decode(entry.encode_to_vec().as_slice()), Ok(entry));
    });
}
