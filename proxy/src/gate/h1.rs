//! The HTTP/1 gate: a stream that lets pass only what every parser reads alike.
//!
//! It lies beneath hyper and reads the raw bytes, because hyper's parsed head has already dropped the evidence of many
//! attacks (a length beside a transfer coding, bare line feeds, chunk extensions). A head is passed on when it is
//! complete and has been found good, so nothing of a bad one reaches anybody; most heads come in one piece and are looked
//! at where they lie.
//!
//! **How a bad head is answered.** The gate puts a head of its own in its place, which names the rule that was broken.
//! hyper hands that up in its turn, after the requests before it, and the proxy answers it like any other refusal:
//! logged, counted, closed. A client cannot write that head: the gate lets nobody's `_OTHER` pass.

mod chunked;
mod follow;
mod head;
mod rest;
mod rule;
mod switch;
mod waiting;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::memory::{Fill, Memory};
use follow::{Follow, Step, Then};
use rule::REFUSED_METHOD;
use switch::Answer;
use waiting::{Wait, Waiting};

pub(crate) use chunked::Chunked;
pub(crate) use head::{Asked, Body as Framing, Head, MAX_HEAD};
pub(crate) use rest::Lender;
pub(crate) use rule::Rule;
pub(crate) use switch::{Busy, Switch};

/// A client's connection, followed and held to the rules.
pub(crate) struct Gate<S> {
    io: S,
    follow: Follow,
    /// Bytes read and not passed on: those of a head that is not complete, or that wait for an answer.
    held: BytesMut,
    /// So many of them may be passed on.
    release: usize,
    /// What comes after those.
    end: Option<End>,
    waiting: Option<Waiting>,
    /// Something has been written since somebody last asked.
    wrote: bool,
    /// Something has been written that may not have gone out, or that hyper still holds.
    unflushed: bool,
    switch: Arc<Switch>,
    memory: Arc<Memory>,
}

/// Why nothing more is read.
#[derive(Clone, Copy, Debug)]
enum End {
    /// A head was refused; our own stands in its place.
    Refused,
    /// A body broke off.
    Broken(Rule),
    /// The stream's own end.
    Eof,
    /// Its write side is closed, and what is still on its way to us is thrown away.
    Lingering,
}

impl<S> Gate<S> {
    /// What a client sends on `io`. Whoever answers tells `switch`.
    pub(super) fn new(io: S, switch: Arc<Switch>, memory: Arc<Memory>) -> Self {
        Self {
            io,
            follow: Follow::new(),
            held: BytesMut::new(),
            release: 0,
            end: None,
            waiting: None,
            wrote: false,
            unflushed: false,
            switch,
            memory,
        }
    }

    /// What remains to be done when the bytes that may pass have passed.
    fn then(&mut self, then: Then) {
        match then {
            Then::More | Then::Keep | Then::Hold => {}
            Then::Refuse(rule) => self.refuse(rule),
            Then::Break(rule) => self.end = Some(End::Broken(rule)),
        }
    }

    /// Puts our own head in place of the one that broke `rule`.
    fn refuse(&mut self, rule: Rule) {
        self.held.truncate(self.release);
        self.held.extend_from_slice(REFUSED_METHOD.as_bytes());
        self.held.extend_from_slice(b" / HTTP/1.1\r\nconnection: close\r\n");
        self.held.extend_from_slice(REFUSED_RULE.as_bytes());
        self.held.extend_from_slice(b": ");
        self.held.extend_from_slice(rule.name().as_bytes());
        self.held.extend_from_slice(b"\r\n\r\n");
        self.release = self.held.len();
        self.end = Some(End::Refused);
        self.waiting = None;
    }

    /// Examines what is held, `more` of it new.
    fn examine(&mut self, more: usize) {
        let Step { pass, then } = self.follow.feed(&self.held);
        self.release = pass;
        if matches!(then, Then::Keep) {
            self.expect_rest_of_head(more);
        } else {
            self.waiting = None;
        }
        self.then(then);
    }

    /// Nothing has come yet of a head that is not complete: where there is no room for it, nobody loses anything by its end.
    fn expect_rest_of_head(&mut self, more: usize) {
        if self.memory.take(more) == Fill::Full {
            return self.refuse(Rule::NoRoom);
        }
        let expected = self.waiting.as_ref().is_some_and(|waiting| waiting.what == Wait::Head);
        if !expected {
            self.waiting = Some(Waiting::new(Wait::Head, HEAD));
        }
    }

    /// Bytes have come in: the far end is alive.
    fn heard(&mut self) {
        self.switch.stir();
        if let Some(Waiting { what: Wait::Quiet { ticks }, .. }) = &mut self.waiting {
            *ticks = 0;
        }
    }

    /// The stream has ended. A client that has asked and closed its side may still be waiting for the answer, or may
    /// have gone: nobody can tell before something is written to it. So it is believed to wait for a while; then what
    /// is under way for it ends, and gives back its place under every limit.
    fn ended(&mut self) {
        self.end = Some(End::Eof);
        let asked_all = self.follow.is_between_messages() && self.held.is_empty();
        if asked_all && self.switch.is_busy() {
            self.waiting = Some(Waiting::new(Wait::HalfClosed, HALF_CLOSED));
        }
    }

    /// What a client that has closed its side waited for is written: its end can be heard. hyper reads and writes in one
    /// task, and asks for more only when it is woken.
    fn hear_the_end_if_answered(&mut self, cx: &Context<'_>) {
        if self.waiting.as_ref().is_some_and(|waiting| waiting.what == Wait::HalfClosed)
            && !self.switch.is_busy()
        {
            self.waiting = None;
            cx.waker().wake_by_ref();
        }
    }

    fn is_half_closed(&self) -> bool {
        let waits = self.waiting.as_ref().is_some_and(|waiting| waiting.what == Wait::HalfClosed);
        waits && self.switch.is_busy()
    }

    /// Nothing comes in. Says what that means, if it has taken too long.
    fn waited(&mut self, cx: &mut Context<'_>) -> Option<End> {
        let is_idle = self.is_idle();
        let waiting = self.waiting.get_or_insert_with(|| Waiting::new(Wait::Quiet { ticks: 0 }, QUIET));
        while waiting.until.as_mut().poll(cx).is_ready() {
            match &mut waiting.what {
                Wait::Head => return Some(End::Refused),
                Wait::HalfClosed if std::mem::take(&mut self.wrote) => waiting.again(HALF_CLOSED),
                Wait::HalfClosed | Wait::Linger { .. } => return Some(End::Eof),
                Wait::Quiet { ticks } => {
                    *ticks = ticks.saturating_add(1);
                    let ticks = *ticks;
                    // A byte may have come just before the first tick: only the second one proves silence.
                    if self.follow.is_in_body() && ticks > BODY_TICKS {
                        return Some(End::Broken(Rule::BodyTimeout));
                    }
                    if ticks > 1 && is_idle {
                        self.switch.come_to_rest();
                    }
                    waiting.again(QUIET);
                }
            }
        }
        None
    }
}

impl<S: AsyncRead + Unpin> Gate<S> {
    /// Reads more behind what is held. `Ready(0)` at the end of the stream.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [0; PIECE];
        let mut into = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut into))?;
        self.held.extend_from_slice(into.filled());
        Poll::Ready(Ok(into.filled().len()))
    }

    /// Passes on what is released.
    fn give(&mut self, out: &mut ReadBuf<'_>) {
        let n = self.release.min(out.remaining());
        out.put_slice(self.held.get(..n).unwrap_or_default());
        self.held.advance(n);
        self.release -= n;
        if self.held.is_empty() {
            self.held = BytesMut::new(); // an idle connection holds nothing
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.release > 0 {
                this.give(out);
                return Poll::Ready(Ok(()));
            }
            match this.end {
                None => {}
                // hyper closes when it has answered; until then there is nothing to hear.
                Some(End::Refused | End::Lingering) => return Poll::Pending,
                Some(End::Broken(rule)) => return Poll::Ready(Err(rule.into())),
                Some(End::Eof) if this.is_half_closed() => match this.waited(cx) {
                    None => return Poll::Pending,
                    Some(_) => {
                        this.waiting = None;
                        return Poll::Ready(Ok(()));
                    }
                },
                Some(End::Eof) => return Poll::Ready(Ok(())),
            }
            if this.follow.is_held() {
                match this.switch.take_answer() {
                    Answer::Open => {
                        this.switch.wait_for_answer(cx.waker());
                        if this.held.len() >= MAX_HELD {
                            return Poll::Pending;
                        }
                    }
                    answer => {
                        this.follow.answered(answer == Answer::Leave);
                        this.examine(0);
                        continue;
                    }
                }
            }
            let read = if this.held.is_empty() && !this.follow.is_held() {
                let before = out.filled().len();
                match Pin::new(&mut this.io).poll_read(cx, out)? {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => {
                        let new = out.filled().get(before..).unwrap_or_default();
                        let (n, Step { pass, then }) = (new.len(), this.follow.feed(new));
                        this.held.extend_from_slice(new.get(pass..).unwrap_or_default());
                        out.set_filled(before + pass);
                        if matches!(then, Then::Keep) {
                            this.expect_rest_of_head(n);
                        }
                        this.then(then);
                        if pass > 0 {
                            this.heard();
                            return Poll::Ready(Ok(()));
                        }
                        Poll::Ready(n)
                    }
                }
            } else {
                let read = this.poll_more(cx)?;
                if let Poll::Ready(more @ 1..) = read
                    && !this.follow.is_held()
                {
                    this.examine(more);
                }
                read
            };
            match read {
                Poll::Ready(0) => this.ended(),
                Poll::Ready(_) => this.heard(),
                Poll::Pending => match this.waited(cx) {
                    None => return Poll::Pending,
                    Some(End::Refused) => this.refuse(Rule::HeadTimeout),
                    end => this.end = end,
                },
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        (self.wrote, self.unflushed) = (true, true);
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        (self.wrote, self.unflushed) = (true, true);
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hear_the_end_if_answered(cx);
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Closes. Where a request was refused, its sender may not have finished sending: were the socket closed with bytes
    /// unread, the kernel would reset the connection and take our answer back (RFC 9112 §9.6).
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if matches!(this.end, Some(End::Refused | End::Broken(_))) {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
            this.end = Some(End::Lingering);
            this.waiting = Some(Waiting::new(Wait::Linger { left: LINGER_BYTES }, LINGER));
        }
        let Some(End::Lingering) = this.end else { return Pin::new(&mut this.io).poll_shutdown(cx) };
        loop {
            let mut piece = [0; PIECE];
            let mut into = ReadBuf::new(&mut piece);
            match Pin::new(&mut this.io).poll_read(cx, &mut into) {
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {
                    let n = into.filled().len();
                    match &mut this.waiting {
                        Some(Waiting { what: Wait::Linger { left }, .. }) if *left > n => *left -= n,
                        _ => return Poll::Ready(Ok(())),
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    return if this.waited(cx).is_some() { Poll::Ready(Ok(())) } else { Poll::Pending };
                }
            }
        }
    }
}

/// The rule that a head broke for which `request` stands, if it is one of the gate's own.
pub(crate) fn refused<B>(request: &Request<B>) -> Option<Rule> {
    if request.method().as_str() != REFUSED_METHOD {
        return None;
    }
    request.headers().get(REFUSED_RULE).and_then(|name| Rule::named(name.as_bytes()))
}

/// The field that names the rule.
const REFUSED_RULE: &str = "weft-wire-rule";

/// How long a head may take from its first byte (catalogue row 24).
const HEAD: Duration = Duration::from_secs(10);
/// How often a silent connection is looked at.
const QUIET: Duration = Duration::from_millis(300);
/// Looks for which a request's body may stand still: five minutes.
const BODY_TICKS: u16 = 1000;
/// How long an answer may take for a client that has closed its side.
const HALF_CLOSED: Duration = Duration::from_secs(5);
/// How long, and for how many bytes, a refused client is heard out.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 << 10;
/// Read at a time where a head comes in pieces.
const PIECE: usize = 2048;
/// Bytes kept that follow a request to leave HTTP.
const MAX_HELD: usize = 16 << 10;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
