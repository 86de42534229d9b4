//! The journal and the state it amounts to, shared by everybody who records something.
//!
//! A change is planned on the state that it will meet, written, synced, and only then put into effect; two that
//! race are put in a row. Readers never wait for the disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use super::record::Change;
use super::state::{State, entry};
use super::{Disk, Elsewhere, Journal, JournalError};

/// The one place where what outlives a restart is changed.
#[derive(Debug)]
pub struct Ledger {
    journal: Mutex<Journal>,
    state: RwLock<State>,
    elsewhere: OnceLock<Arc<dyn Elsewhere>>,
    failing: AtomicBool,
    failures: AtomicU64,
}

impl Ledger {
    /// Reads the journal on `disk`; `None` if there is none.
    ///
    /// # Errors
    /// As [`Journal::open`] and [`State::replay`].
    pub fn open(disk: Arc<dyn Disk>) -> Result<Option<Self>, JournalError> {
        let Some(opened) = Journal::open(disk)? else { return Ok(None) };
        if opened.torn_bytes > 0 {
            tracing::warn!(
                bytes = opened.torn_bytes,
                "the journal's last record had been cut off by a crash"
            );
        }
        if let Some(error) = opened.mended {
            tracing::error!(%error, "nothing is lost: that part was read from the generation before");
        }
        let state = State::replay(&opened.records)?;
        let ledger = Self::new(opened.journal, state);
        ledger.compact_if_due(&mut ledger.lock());
        Ok(Some(ledger))
    }

    /// Begins a journal with these changes.
    ///
    /// # Errors
    /// As [`Journal::create`].
    pub fn create(disk: Arc<dyn Disk>, changes: Vec<Change>) -> Result<Self, JournalError> {
        let mut state = State::default();
        for change in changes {
            state.apply(change);
        }
        Ok(Self::new(Journal::create(disk, &state.to_entries())?, state))
    }

    /// Looks at the state.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Decides on changes, and makes them hold together. No other change can come between the decision and its
    /// effect. No changes, no write.
    ///
    /// It waits for the disk: from a task, call it through `spawn_blocking`.
    ///
    /// # Errors
    /// What `plan` says, or [`JournalError`]: the state has not changed then.
    pub fn commit<T, E: From<JournalError>>(
        &self,
        plan: impl FnOnce(&State) -> Result<(Vec<Change>, T), E>,
    ) -> Result<T, E> {
        let mut journal = self.lock();
        let (changes, answer) = self.read(plan)?;
        if changes.is_empty() {
            return Ok(answer);
        }
        if let Some(elsewhere) = self.elsewhere.get()
            && changes.iter().any(|change| elsewhere.concerns(change))
        {
            let mut next = self.read(State::clone);
            changes.iter().cloned().for_each(|change| next.apply(change));
            elsewhere.write(&next).map_err(JournalError::from)?;
        }
        if let Err(error) = journal.append(&entry(changes.iter().cloned())) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            // Once when it begins, or a full disk would fill what is left of it with this line.
            if !self.failing.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the state directory cannot be written");
            }
            return Err(error.into());
        }
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the state directory can be written again");
        }
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            changes.into_iter().for_each(|change| state.apply(change));
        }
        self.compact_if_due(&mut journal);
        Ok(answer)
    }

    /// From now on what concerns that place has to be taken there first. It is said once.
    pub fn share(&self, elsewhere: Arc<dyn Elsewhere>) {
        if self.elsewhere.set(elsewhere).is_err() {
            tracing::error!("a ledger was shared twice; a defect");
        }
    }

    /// Where some of it is kept besides, if anywhere.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&Arc<dyn Elsewhere>> {
        self.elsewhere.get()
    }

    /// Takes over what that place has come to hold by somebody else's doing. It is not told there again.
    ///
    /// # Errors
    /// If it cannot be written here; the state has not changed then.
    pub fn adopt(&self, changes: Vec<Change>) -> Result<(), JournalError> {
        let mut journal = self.lock();
        journal.append(&entry(changes.iter().cloned()))?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        changes.into_iter().for_each(|change| state.apply(change));
        Ok(())
    }

    /// Whether the last write failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// How many writes have failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    fn new(journal: Journal, state: State) -> Self {
        let (failing, failures) = (AtomicBool::new(false), AtomicU64::new(0));
        let (journal, state) = (Mutex::new(journal), RwLock::new(state));
        Self { journal, state, elsewhere: OnceLock::new(), failing, failures }
    }

    /// A failure is only told: everything is in the present file.
    fn compact_if_due(&self, journal: &mut Journal) {
        if journal.wants_compaction()
            && let Err(error) = journal.compact(&self.read(State::to_entries))
        {
            tracing::warn!(%error, "the journal could not be compacted; it goes on growing until it can");
        }
    }

    /// A panic in a plan leaves both as they were.
    fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Name;
    use super::super::sim::{Fault, SimDisk};
    use super::*;

    fn gone(name: &str) -> Change {
        Change::GrantGone(Name { namespace: "shop".to_owned(), name: name.to_owned() })
    }

    fn set_revisions(ledger: &Ledger, to: u64) -> Result<(), JournalError> {
        ledger.commit(|_| Ok((vec![Change::Revisions(to)], ())))
    }

    #[test]
    fn a_change_that_cannot_be_written_is_not_in_effect_and_the_next_one_is() {
        let disk = SimDisk::default();
        let ledger = Ledger::create(Arc::new(disk.clone()), vec![Change::Revisions(1)]).unwrap();
        disk.suffer(Fault::Full);
        assert!(set_revisions(&ledger, 2).is_err());
        assert!(ledger.is_failing());
        assert_eq!(ledger.read(|state| state.revisions), 1, "still served");
        disk.suffer(Fault::None);
        set_revisions(&ledger, 3).unwrap();
        assert!(!ledger.is_failing());
        let again = Ledger::open(Arc::new(disk.after_crash(0))).unwrap().unwrap();
        assert_eq!(again.read(|state| state.revisions), 3);
    }

    #[test]
    fn a_plan_that_refuses_writes_nothing() {
        let disk = SimDisk::default();
        let ledger = Ledger::create(Arc::new(disk.clone()), Vec::new()).unwrap();
        let before = disk.steps_taken();
        let refused: Result<(), JournalError> = ledger.commit(|_| Err(JournalError::NoRandomness));
        assert!(refused.is_err());
        ledger.commit(|_| Ok::<_, JournalError>((Vec::new(), ()))).unwrap();
        assert_eq!(disk.steps_taken(), before);
    }

    #[test]
    fn a_long_history_is_compacted_as_it_grows() {
        let disk = SimDisk::default();
        let ledger = Ledger::create(Arc::new(disk.clone()), vec![Change::Revisions(7)]).unwrap();
        let filler = "x".repeat(8 * 1024);
        for _ in 0..70 {
            ledger.commit(|_| Ok::<_, JournalError>((vec![gone(&filler)], ()))).unwrap();
        }
        assert_eq!(disk.names(), ["journal.000002", "journal.000003"]);
        assert_eq!(Ledger::open(Arc::new(disk)).unwrap().unwrap().read(|state| state.revisions), 7);
    }
}
