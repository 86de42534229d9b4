//! Waiting for a moment, to some microseconds: the runtime's own timer counts whole milliseconds, which is more than
//! the latencies that are measured by it.

use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

#[cfg(target_os = "linux")]
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A timer of the kernel's.
#[derive(Debug)]
pub(super) struct Pace {
    #[cfg(target_os = "linux")]
    timer: tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>,
}

impl Pace {
    /// One that is not set.
    #[cfg(target_os = "linux")]
    #[expect(
        deprecated,
        reason = "what its successor asks for in `unsafe` is so: the descriptor is closed with it"
    )]
    pub(super) fn new() -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).context("no timer")?;
        Ok(Self { timer: tokio::io::unix::AsyncFd::new(timer).context("no timer")? })
    }

    /// Returns at `due`, or at once if that is past.
    #[cfg(target_os = "linux")]
    pub(super) async fn until(&self, due: Instant) -> anyhow::Result<()> {
        let left = due.saturating_duration_since(Instant::now());
        if left < NOW {
            return Ok(());
        }
        let value = Timespec::try_from(left).context("too far away")?;
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).context("no timer")?;
        loop {
            let mut ready = self.timer.readable().await.context("no timer")?;
            let mut expired = [0; 8];
            match rustix::io::read(&self.timer, &mut expired) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error).context("no timer"),
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) async fn until(&self, due: Instant) -> anyhow::Result<()> {
        tokio::time::sleep_until(due).await;
        Ok(())
    }
}

/// Nearer than this is now.
const NOW: Duration = Duration::from_micros(2);
