//! The live table, and below it what to try next, with real paths so that it can be pasted.

use std::fmt::Write as _;
use std::time::Duration;

use super::config::SPLIT;
use super::load::Load;
use super::mesh::{Identities, Mesh};
use super::scratch::Scratch;
use super::watch::Seen;
use crate::clock::span;
use crate::output::{Align, Page, Table, Tone, write_out};

/// The screen.
#[derive(Debug)]
pub(super) struct Screen {
    colour: bool,
    next: Vec<(String, &'static str)>,
    setup: String,
    drawn: bool,
}

impl Screen {
    /// Nothing is drawn yet.
    pub(super) fn new(colour: bool, scratch: &Scratch, mesh: &Mesh) -> Self {
        let own = std::env::current_exe().ok();
        let bin = own.as_deref().and_then(|path| path.parent()).map(|dir| dir.display().to_string());
        let bin = bin.unwrap_or_else(|| ".".to_owned());
        let setup = format!("export PATH={bin}:$PATH WEFT_STATE_DIR={}", scratch.state().display());
        let next_dir = scratch.next().display().to_string();
        let port = |name: &str| mesh.member(name).map_or(0, |member| member.application.port());
        let v2 = format!("{{{},{}}}", port("api-v2-1"), port("api-v2-2"));
        let next = vec![
            (
                "meshctl explain --from demo/web-1 --to api.demo GET /".to_owned(),
                "why a request goes where it goes",
            ),
            (format!("meshctl apply -f {next_dir}/split.yaml --wait"), "shift the split: half and half"),
            (
                format!("curl -X POST 'http://127.0.0.1:{v2}/control?fail=100'"),
                "break v2 (and fail=0 mends it)",
            ),
            (format!("meshctl apply -f {next_dir}/deny.yaml --wait"), "deny a caller: web gets 403"),
            ("meshctl apply --remove deny.yaml --wait".to_owned(), "and let it in again"),
            ("meshctl status".to_owned(), "who has applied what"),
            (format!("tail -f {}", scratch.log("web-1-access").display()), "every request, with its draw"),
        ];
        Self { colour, next, setup, drawn: false }
    }

    /// Draws a frame over the last one.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(super) fn draw(
        &mut self,
        load: &Load,
        seen: &Seen,
        identities: &Identities,
        ready: Duration,
        since: Duration,
    ) -> anyhow::Result<()> {
        let mut page = Page::new(self.colour);
        headline(&mut page, load, ready, since);
        page.gap();
        versions(&mut page, load);
        page.gap();
        facts(&mut page, seen, identities);
        page.gap();
        page.line("Try next, in another terminal:");
        page.line(format!("  {}", self.setup));
        let mut table = Table::of_words(&["", ""]).indented(2);
        for (command, what) in &self.next {
            table.row([(Tone::Strong, command.clone()), (Tone::Faint, format!("# {what}"))]);
        }
        page.table(&table);
        page.gap();
        page.toned(Tone::Faint, "Ctrl-C ends all of it.");

        // Home, each line cleared to its end, then everything below: no flicker, whatever was there before.
        let mut frame = if self.drawn { "\x1b[H".to_owned() } else { "\x1b[2J\x1b[H".to_owned() };
        for line in fitted(&page.into_text(), rows()) {
            let _ = writeln!(frame, "{line}\x1b[K");
        }
        frame.push_str("\x1b[J");
        self.drawn = true;
        write_out(&frame)
    }
}

/// As many lines as there are rows, but for the cursor's: first the empty ones go, then the last ones.
fn fitted(text: &str, rows: usize) -> impl Iterator<Item = &str> {
    let room = rows.saturating_sub(1);
    let tight = text.lines().count() > room;
    text.lines().filter(move |line| !tight || !line.is_empty()).take(room)
}

/// Of the terminal; many where nobody knows.
fn rows() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_row > 0 => usize::from(size.ws_row),
        _ => usize::MAX,
    }
}

fn headline(page: &mut Page, load: &Load, ready: Duration, since: Duration) {
    let (all, recent) = (load.so_far(), load.recently());
    let good = recent.requests - recent.failed;
    let success = if recent.requests == 0 { 100.0 } else { 100.0 * good as f64 / recent.requests as f64 };
    let tone = if recent.failed == 0 { Tone::Good } else { Tone::Bad };
    page.line(format!(
        "{}  ready in {} ms · {} · {} requests · {}",
        page.paint(Tone::Strong, "weft demo"),
        ready.as_millis(),
        span(since),
        all.requests,
        page.paint(tone, format!("{success:.1} % of the last 10 s succeeded")),
    ));
    for failure in recent.failures.iter().take(1) {
        page.toned(Tone::Bad, format!("  failed: {failure}"));
    }
}

fn versions(page: &mut Page, load: &Load) {
    let (all, recent) = (load.so_far(), load.recently());
    let mut table = Table::new(&[
        ("client → web → api", Align::Left),
        ("requests", Align::Right),
        ("share", Align::Right),
        ("last 10 s", Align::Right),
        ("at first", Align::Right),
    ])
    .indented(2);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    for (version, wanted) in SPLIT {
        table.row([
            (Tone::Strong, format!("api {version}")),
            (Tone::Plain, all.versions.get(version).copied().unwrap_or(0).to_string()),
            (Tone::Plain, percent(all.share(version))),
            (Tone::Plain, percent(recent.share(version))),
            (Tone::Faint, percent(wanted)),
        ]);
    }
    let failed_recently = if recent.failed > 0 { Tone::Bad } else { Tone::Plain };
    table.row([
        (Tone::Plain, "failed".to_owned()),
        (if all.failed > 0 { Tone::Bad } else { Tone::Plain }, all.failed.to_string()),
        (Tone::Plain, String::new()),
        (failed_recently, recent.failed.to_string()),
        (Tone::Faint, "0".to_owned()),
    ]);
    page.table(&table);
    let millis = |share| recent.quantile(share).as_secs_f64() * 1000.0;
    page.line(format!("  latency, last 10 s: p50 {:.1} ms, p99 {:.1} ms", millis(0.5), millis(0.99)));
}

fn facts(page: &mut Page, seen: &Seen, identities: &Identities) {
    let mut table = Table::of_words(&["", ""]).indented(2);
    table.row([
        (Tone::Plain, "retried".to_owned()),
        (Tone::Plain, format!("{} times, unseen by the client", seen.retried)),
    ]);
    let (tone, now) = match seen.open_now {
        0 => (Tone::Good, "closed".to_owned()),
        open => (Tone::Bad, format!("open for {open} of 3 endpoints of api")),
    };
    table.row([(Tone::Plain, "breaker".to_owned()), (tone, format!("{now}; opened {} times", seen.opened))]);
    table.row([(Tone::Plain, "mTLS from".to_owned()), (Tone::Plain, identities.caller.clone())]);
    table.row([(Tone::Plain, "mTLS to".to_owned()), (Tone::Plain, identities.servers.join(", "))]);
    page.table(&table);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_never_scrolls_the_terminal() {
        let text = "a\n\nb\n\nc\n";
        for (rows, want) in
            [(6, &["a", "", "b", "", "c"][..]), (5, &["a", "b", "c"]), (3, &["a", "b"]), (0, &[])]
        {
            assert_eq!(fitted(text, rows).collect::<Vec<_>>(), want, "{rows}");
        }
    }
}
