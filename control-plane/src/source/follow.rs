//! Reads a directory when it starts, when the system says that something in it changed, and every few seconds besides,
//! because notifications get lost (network file systems, overflowing queues) and inodes get replaced.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout_at};

use super::Texts;
use super::directory::Directory;
use super::last_good::LastGood;
use crate::world::WorldHandle;

/// Asks the watcher to read now, and to say which revision that led to.
#[derive(Clone, Debug)]
pub struct Rescan(mpsc::Sender<oneshot::Sender<u64>>);

impl Rescan {
    /// Reads the directory, now. Returns the revision in which everything is that was written before the call;
    /// `None` if the control plane is shutting down or the directory cannot be listed.
    pub async fn now(&self) -> Option<u64> {
        let (reply, revision) = oneshot::channel();
        self.0.send(reply).await.ok()?;
        revision.await.ok()
    }
}

/// Follows a directory: sends what it reads to the world, for as long as there is one, and keeps a copy of what
/// is good.
pub async fn follow(
    directory: Directory,
    last_good: LastGood,
    rescan: Duration,
    world: WorldHandle,
    mut asked: RescanRequests,
) {
    let (poke, mut poked) = mpsc::channel(1);
    let watcher = watch(directory.root(), poke);
    if watcher.is_none() {
        tracing::warn!(path = %directory.root().display(), ?rescan, "no notifications of changes; only rescans");
    }
    // The first tick comes at once: something may have changed before it was watched.
    let mut ticks = interval(rescan);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Texts::new();
    loop {
        let (reply, settled) = tokio::select! {
            reply = asked.0.recv() => match reply {
                Some(reply) => (Some(reply), true),
                None => return,
            },
            Some(()) = poked.recv(), if watcher.is_some() => {
                quiet(&mut poked).await;
                (None, true)
            }
            _ = ticks.tick() => (None, false),
        };
        let Some(mut texts) = read(&directory).await else { continue };
        if !settled && texts != last {
            texts = settle(&directory, texts).await;
        }
        let revision = if texts == last {
            world.revision().await
        } else {
            last = texts.clone();
            declare(&world, &last_good, texts).await
        };
        if let (Some(reply), Some(revision)) = (reply, revision) {
            // Who asked may have gone away.
            let _gone = reply.send(revision);
        }
    }
}

/// The receiving end of [`Rescan`].
#[derive(Debug)]
pub struct RescanRequests(mpsc::Receiver<oneshot::Sender<u64>>);

/// A way to ask, and where it leads.
#[must_use]
pub fn rescans() -> (Rescan, RescanRequests) {
    let (send, receive) = mpsc::channel(16);
    (Rescan(send), RescanRequests(receive))
}

/// Reads the directory. `None` if that is not possible now.
async fn read(directory: &Directory) -> Option<Texts> {
    let reader = directory.clone();
    let _whole = directory.publishing().await;
    // Thousands of files on a slow disk: not on a thread that serves streams.
    match tokio::task::spawn_blocking(move || reader.texts()).await {
        Ok(Ok(texts)) => Some(texts),
        Ok(Err(error)) => {
            tracing::error!(%error, "the config directory was not read");
            None
        }
        Err(error) => {
            tracing::error!(%error, "reading the config directory panicked; a defect");
            None
        }
    }
}

/// Reads again until two readings are alike: without a notification nobody knows whether somebody is still writing.
async fn settle(directory: &Directory, mut texts: Texts) -> Texts {
    let patience = Instant::now() + LONGEST_WRITE;
    while Instant::now() < patience {
        sleep(PAUSE).await;
        match read(directory).await {
            Some(again) if again != texts => texts = again,
            _ => break,
        }
    }
    texts
}

async fn declare(world: &WorldHandle, last_good: &LastGood, texts: Texts) -> Option<u64> {
    let revision = world.files(texts.clone()).await?;
    let (last_good, findings) = (last_good.clone(), Arc::clone(&world.view().findings));
    let kept = tokio::task::spawn_blocking(move || last_good.keep(&texts, &findings)).await;
    if let Ok(Err(error)) = kept {
        tracing::warn!(%error, "the last good versions could not be copied");
    }
    Some(revision)
}

/// Waits until whoever writes has paused: an editor truncates, writes and renames in quick succession.
async fn quiet(poked: &mut mpsc::Receiver<()>) {
    let patience = Instant::now() + LONGEST_WRITE;
    loop {
        let pause = (Instant::now() + PAUSE).min(patience);
        match timeout_at(pause, poked.recv()).await {
            Ok(Some(())) if Instant::now() < patience => sleep_until(pause).await,
            _ => return,
        }
    }
}

/// Has the system say when something changes. `None` if it cannot; rescans remain.
fn watch(root: &Path, poke: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Being read is no change, and we read.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // Full means that a poke is waiting already.
            let _full = poke.try_send(());
        }
    })
    .ok()?;
    watcher.watch(root, RecursiveMode::Recursive).ok()?;
    Some(watcher)
}

const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_WRITE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
