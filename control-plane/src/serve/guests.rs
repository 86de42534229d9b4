//! Callers without a certificate: they may enrol, and then they leave.
//!
//! Nothing is known of them, so nothing is kept for them for long: each has a minute, and of all of them there is a
//! bounded number, of which the oldest goes when another comes.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// Everybody who is here without a certificate. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Guests(Arc<Mutex<VecDeque<oneshot::Sender<()>>>>);

impl Guests {
    /// One more. Who has been here longest leaves, if there are as many as there may be.
    #[must_use]
    pub fn admit(&self) -> Stay {
        let (ends, told) = oneshot::channel();
        let mut guests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if guests.len() >= MOST {
            guests.retain(|guest| !guest.is_closed());
        }
        if guests.len() >= MOST {
            // Dropping the sender tells him.
            guests.pop_front();
        }
        guests.push_back(ends);
        Stay { until: Box::pin(sleep(LONGEST)), told }
    }
}

/// How long one of them may stay: until his time is up, or his place is needed.
pub struct Stay {
    until: Pin<Box<Sleep>>,
    told: oneshot::Receiver<()>,
}

impl Stay {
    /// Ready when it is over.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.told).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        ready!(self.until.as_mut().poll(cx));
        Poll::Ready(())
    }
}

impl fmt::Debug for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stay")
    }
}

/// A fleet of ten thousand that enrols at once has no more than this under way at one moment.
const MOST: usize = 512;
/// Enrolling takes milliseconds; asking again, because the control plane was busy, some seconds.
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn is_over(stay: &mut Stay) -> bool {
        // A task that polls hundreds of things at one go is told that none of them is ready.
        tokio::task::yield_now().await;
        poll_fn(|cx| Poll::Ready(stay.poll_over(cx).is_ready())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_stays_for_a_minute_and_the_oldest_leaves_for_the_newest() {
        let guests = Guests::default();
        let mut first = guests.admit();
        assert!(!is_over(&mut first).await);
        let mut others: Vec<Stay> = (1..MOST).map(|_| guests.admit()).collect();
        assert!(!is_over(&mut first).await, "there is room for so many");
        // Who has left of himself makes room.
        others.pop();
        others.push(guests.admit());
        assert!(!is_over(&mut first).await);
        others.push(guests.admit());
        assert!(is_over(&mut first).await, "the oldest");
        for stay in &mut others {
            assert!(!is_over(stay).await);
        }
        sleep(LONGEST + Duration::from_secs(1)).await;
        for stay in &mut others {
            assert!(is_over(stay).await);
        }
    }
}
