//! Which addresses are this host's own: asked of the kernel, by four system calls that send nothing.
//!
//! Addresses come and go while a proxy runs, so there is no list of them. What was one of ours is taken for one for a
//! second longer, by each worker for itself: an application that opens a thousand connections is asked about once. That
//! an address is not ours is never remembered; it may be the next moment.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Whether the kernel would deliver to this host itself: then, and only then, it takes the destination for the source
/// as well.
pub(super) fn has(addr: SocketAddr) -> bool {
    let addr = super::canonical(addr);
    let any: IpAddr =
        if addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let asked = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(addr)?; // no packet leaves
        socket.local_addr()
    });
    asked.is_ok_and(|local| local.ip() == addr.ip())
}

/// The same, or was so within the last second.
pub(super) fn had_lately(addr: SocketAddr, now: Instant) -> bool {
    LATELY.with_borrow_mut(|lately| lately.ask(addr, now, has))
}

thread_local! {
    static LATELY: RefCell<Lately> = RefCell::default();
}

/// Addresses that were this host's, and when that was asked.
#[derive(Debug, Default)]
struct Lately(Vec<(IpAddr, Instant)>);

impl Lately {
    fn ask(&mut self, addr: SocketAddr, now: Instant, has: impl FnOnce(SocketAddr) -> bool) -> bool {
        let is_fresh = |asked: Instant| now.saturating_duration_since(asked) < FRESH;
        let ip = addr.ip();
        if self.0.iter().any(|(known, asked)| *known == ip && is_fresh(*asked)) {
            return true;
        }
        if !has(addr) {
            return false;
        }
        self.0.retain(|(known, asked)| *known != ip && is_fresh(*asked));
        // One of a single link is another host's on the next.
        let is_everywhere = !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if is_everywhere && self.0.len() < MAX_KNOWN {
            self.0.push((ip, now));
        }
        true
    }
}

/// For so long an address is still ours after it was.
const FRESH: Duration = Duration::from_secs(1);
/// A pod has two, a host a few more; beyond it the kernel is asked.
const MAX_KNOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_kernel_is_asked_once_a_second_about_what_is_ours_and_always_about_what_is_not() {
        let (mut lately, start) = (Lately::default(), Instant::now());
        let after = |millis| start + Duration::from_millis(millis);
        // When, about whom, what the kernel would say, whether it is asked, what is answered.
        for (at, about, kernel, is_asked, want) in [
            (0, "10.9.0.2:1", false, true, false),
            (1, "10.9.0.2:2", true, true, true),
            (2, "10.9.0.2:3", false, false, true),
            (1000, "10.9.0.2:4", false, false, true),
            (1001, "10.9.0.2:5", false, true, false),
            (1002, "10.9.0.2:6", true, true, true),
            (1003, "10.9.0.3:7", false, true, false),
            (1004, "[fd00:9::2]:8", true, true, true),
            (1005, "[fd00:9::2]:9", false, false, true),
            (1006, "[fe80::1%2]:10", true, true, true),
            (1007, "[fe80::1%3]:11", false, true, false),
        ] {
            let mut asked = false;
            let answer = lately.ask(addr(about), after(at), |_| {
                asked = true;
                kernel
            });
            assert_eq!((asked, answer), (is_asked, want), "{about} after {at} ms");
        }
    }

    #[test]
    fn any_number_of_addresses_is_remembered_in_bounds() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        for n in 0..=255 {
            assert!(lately.ask(SocketAddr::from(([10, 9, 0, n], 1)), now, |_| true));
            assert!(lately.0.len() <= MAX_KNOWN);
        }
    }
}
