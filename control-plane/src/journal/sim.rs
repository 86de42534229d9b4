//! A disk in memory for tests: it can be stopped after any byte of any write and between any two operations, it
//! fills up, it fails, and after a crash it shows one of the many things that a real disk may then show.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Disk;

/// A simulated disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>);

/// What goes wrong from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Half of what is written arrives, then ENOSPC.
    Full,
    /// Everything is written and nothing can be synced: EIO.
    NoSync,
    /// EROFS.
    ReadOnly,
}

#[derive(Debug, Default)]
struct Inner {
    names: BTreeMap<String, usize>,
    files: Vec<SimFile>,
    /// What of `names` has reached the disk, and what has not.
    synced_names: BTreeMap<String, usize>,
    unsynced_names: Vec<(String, Option<usize>)>,
    /// Steps (bytes and operations) until the power goes; `None`: never.
    steps_left: Option<u64>,
    steps_taken: u64,
    fault: Fault,
}

#[derive(Clone, Debug, Default)]
struct SimFile {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

impl SimDisk {
    /// The power goes after `steps` more steps.
    pub(crate) fn kill_after(&self, steps: u64) {
        self.lock().steps_left = Some(steps);
    }

    pub(crate) fn steps_taken(&self) -> u64 {
        self.lock().steps_taken
    }

    pub(crate) fn suffer(&self, fault: Fault) {
        self.lock().fault = fault;
    }

    /// The disk as the next process finds it. `seed` chooses what of the unsynced has arrived.
    pub(crate) fn after_crash(&self, seed: u64) -> Self {
        let inner = self.lock();
        let mut chance = Chance(seed);
        let mut names = inner.synced_names.clone();
        for (name, file) in &inner.unsynced_names {
            if chance.one_in(2) {
                match file {
                    Some(file) => names.insert(name.clone(), *file),
                    None => names.remove(name),
                };
            }
        }
        let files = inner
            .files
            .iter()
            .map(|file| {
                let bytes = arrived(&file.synced, &file.bytes, &mut chance);
                SimFile { synced: bytes.clone(), bytes }
            })
            .collect();
        Self(Arc::new(Mutex::new(Inner {
            names: names.clone(),
            synced_names: names,
            files,
            ..Inner::default()
        })))
    }

    /// Flips one bit of a file.
    pub(crate) fn flip(&self, name: &str, bit: usize) {
        let mut inner = self.lock();
        let file = inner.names[name];
        for bytes in [true, false] {
            let file = &mut inner.files[file];
            let bytes = if bytes { &mut file.bytes } else { &mut file.synced };
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    pub(crate) fn forget(&self, name: &str) {
        let mut inner = self.lock();
        inner.names.remove(name);
        inner.synced_names.remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }
}

impl Inner {
    fn step(&mut self) -> io::Result<()> {
        self.steps_taken += 1;
        match &mut self.steps_left {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut SimFile> {
        let file = *self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(&mut self.files[file])
    }

    fn write(&mut self, name: &str, offset: usize, bytes: &[u8]) -> io::Result<()> {
        if self.fault == Fault::ReadOnly {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let arrives = if self.fault == Fault::Full { bytes.len() / 2 } else { bytes.len() };
        assert!(offset <= self.file(name)?.bytes.len(), "a hole in {name}");
        for (at, byte) in bytes[..arrives].iter().enumerate() {
            self.step()?;
            let file = self.file(name)?;
            match file.bytes.get_mut(offset + at) {
                Some(place) => *place = *byte,
                None => file.bytes.push(*byte),
            }
        }
        if arrives < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.sync(name)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.step()?;
        if self.fault == Fault::NoSync {
            return Err(io::Error::other("input/output error"));
        }
        let file = self.file(name)?;
        file.synced = file.bytes.clone();
        Ok(())
    }

    fn rename_in_directory(&mut self, name: &str, file: Option<usize>) -> io::Result<()> {
        self.step()?;
        if self.fault == Fault::ReadOnly {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        match file {
            Some(file) => self.names.insert(name.to_owned(), file),
            None => self.names.remove(name),
        };
        self.unsynced_names.push((name.to_owned(), file));
        Ok(())
    }
}

impl Disk for SimDisk {
    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let of = |name: &str| match name.rsplit_once('/') {
            Some((parent, file)) => (parent == directory).then(|| file.to_owned()),
            None => directory.is_empty().then(|| name.to_owned()),
        };
        Ok(self.lock().names.keys().filter_map(|name| of(name)).collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.lock().file(name).map(|file| file.bytes.clone())
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        inner.files.push(SimFile::default());
        let file = inner.files.len() - 1;
        inner.rename_in_directory(name, Some(file))?;
        inner.write(name, 0, bytes)
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.lock().write(name, usize::try_from(offset).unwrap(), bytes)
    }

    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        let mut inner = self.lock();
        inner.step()?;
        if inner.fault == Fault::ReadOnly {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        inner.file(name)?.bytes.truncate(usize::try_from(len).unwrap());
        inner.sync(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        let file = *inner.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        inner.rename_in_directory(to, Some(file))?;
        // One operation of the file system: it arrives whole, which two independent entries only imitate.
        inner.names.remove(from);
        inner.unsynced_names.push((from.to_owned(), None));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        if !inner.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.rename_in_directory(name, None)
    }

    fn sync_directory(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.step()?;
        if inner.fault == Fault::NoSync {
            return Err(io::Error::other("input/output error"));
        }
        let parent = |name: &str| name.rsplit_once('/').map(|(parent, _)| parent.to_owned());
        let wanted = parent(name);
        let (arrived, still): (Vec<_>, Vec<_>) =
            inner.unsynced_names.drain(..).partition(|(name, _)| parent(name) == wanted);
        inner.unsynced_names = still;
        for (name, file) in arrived {
            match file {
                Some(file) => inner.synced_names.insert(name, file),
                None => inner.synced_names.remove(&name),
            };
        }
        Ok(())
    }
}

/// What a disk shows of a file whose newest bytes were not synced: all, nothing, a beginning, or any of its
/// sectors with zeros for the rest.
fn arrived(synced: &[u8], written: &[u8], chance: &mut Chance) -> Vec<u8> {
    if synced == written {
        return synced.to_vec();
    }
    if written.len() <= synced.len() {
        return if chance.one_in(2) { written.to_vec() } else { synced.to_vec() };
    }
    let (old, new) = written.split_at(synced.len());
    let mut bytes = old.to_vec();
    match chance.below(4) {
        0 => {}
        1 => bytes.extend_from_slice(new),
        2 => bytes.extend_from_slice(&new[..chance.below(new.len() + 1)]),
        _ => {
            let mut sector = usize::MAX;
            let mut kept = false;
            for (at, byte) in new.iter().enumerate() {
                let of = (old.len() + at) / 512;
                if of != sector {
                    (sector, kept) = (of, chance.one_in(2));
                }
                bytes.push(if kept { *byte } else { 0 });
            }
        }
    }
    bytes
}

/// A small generator (SplitMix64), so that a failure is repeated by its seed.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
