//! The task of one connection to a server: reads and writes its frames, asks now and then whether the far end is there,
//! and lets go of what was given up.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep};

use super::Link;
use super::departures::Next;
use crate::gate::Wire;
use crate::gate::h2::Guard;

/// Ends with the connection.
pub(super) struct Drive {
    connection: Connection<Guard<Wire>, Bytes>,
    pings: Option<PingPong>,
    link: Rc<Link>,
    /// A PING is unanswered, and so often it has been doubted since that somebody is there.
    asked: Option<u32>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Drive {
    pub(super) fn new(mut connection: Connection<Guard<Wire>, Bytes>, link: Rc<Link>) -> Self {
        let pings = connection.ping_pong();
        Self { connection, pings, link, asked: None, timer: None }
    }

    fn ask(&mut self) {
        // It refuses only while an earlier one is unanswered.
        if let Some(pings) = &mut self.pings
            && pings.send_ping(Ping::opaque()).is_ok()
        {
            self.asked = Some(0);
        }
    }

    /// Whether somebody is there, as far as one knows.
    fn is_there(&mut self) -> bool {
        if self.link.is_doubted.take() {
            match &mut self.asked {
                None => {
                    self.ask();
                    self.asked = self.asked.map(|_| 1);
                }
                Some(0) => self.asked = Some(1),
                // From one doubt to the next it has not answered.
                Some(_) => return false,
            }
        }
        true
    }

    /// Lets go of what may leave. Pending where somebody has to wait.
    fn poll_departures(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.link.departures.borrow().is_idle() {
                self.timer = None;
                return Poll::Ready(());
            }
            let now = Instant::now();
            let (gone, next) = self.link.departures.borrow_mut().next(now);
            // Each reset wakes this task, to write it.
            drop(gone);
            match next {
                Next::Nothing => {}
                Next::Ask if self.asked.is_some() => return Poll::Pending,
                Next::Ask => {
                    self.ask();
                    self.link.departures.borrow_mut().asked(now);
                    cx.waker().wake_by_ref();
                }
                Next::Wait(until) => {
                    let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                    if timer.deadline() != until {
                        timer.as_mut().reset(until);
                    }
                    if timer.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl Future for Drive {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        {
            let mut task = this.link.task.borrow_mut();
            if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
        }
        if let Poll::Ready(ended) = Pin::new(&mut this.connection).poll(cx) {
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP/2 connection to a server has ended");
            }
            return Poll::Ready(());
        }
        if this.asked.is_some()
            && let Some(pings) = &mut this.pings
            && let Poll::Ready(answer) = pings.poll_pong(cx)
        {
            if answer.is_err() {
                return Poll::Ready(());
            }
            this.asked = None;
            this.link.departures.borrow_mut().answered(Instant::now());
        }
        if !this.is_there() {
            tracing::debug!("an HTTP/2 connection to a server is given up: it answers no PING");
            return Poll::Ready(());
        }
        // Whether somebody waits there or not, the connection goes on.
        let _ = this.poll_departures(cx);
        Poll::Pending
    }
}
