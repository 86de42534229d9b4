//! Ports on loopback that nobody uses, for processes that are about to start.
//!
//! Between finding a port and a child's binding it, anybody may take it. Ports that the kernel hands out by
//! itself (32768 and up on Linux) are taken all the time, by every outgoing connection, the children's own
//! included; so these come from below, starting at a place that differs from process to process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::SystemTime;

/// Finds free ports on 127.0.0.1, each one once.
#[derive(Debug)]
pub(crate) struct FreePorts {
    next: u16,
    left: u16,
}

impl FreePorts {
    /// Starts looking somewhere.
    pub(crate) fn new() -> Self {
        let nanos =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
        let spread = std::process::id().wrapping_mul(0x9E37_79B9) ^ nanos;
        let start = u16::try_from(spread % u32::from(COUNT)).unwrap_or(0);
        Self { next: FIRST + start, left: COUNT }
    }

    /// An address nobody listens on.
    ///
    /// # Errors
    /// If all of them are taken.
    pub(crate) fn take(&mut self) -> io::Result<SocketAddr> {
        while self.left > 0 {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, self.next));
            self.left -= 1;
            self.next = if self.next + 1 < FIRST + COUNT { self.next + 1 } else { FIRST };
            if TcpListener::bind(addr).is_ok() {
                return Ok(addr);
            }
        }
        let all = format!("every port from {FIRST} to {} is taken", FIRST + COUNT - 1);
        Err(io::Error::new(io::ErrorKind::AddrInUse, all))
    }
}

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_port_is_given_twice_and_none_that_is_taken() {
        let mut free = FreePorts::new();
        let taken = TcpListener::bind(free.take().unwrap()).unwrap().local_addr().unwrap();
        let mut again = FreePorts { next: taken.port(), left: 200 };
        let ports: BTreeSet<_> = (0..100).map(|_| again.take().unwrap()).collect();
        assert_eq!(ports.len(), 100);
        assert!(ports.iter().all(|addr| (FIRST..FIRST + COUNT).contains(&addr.port())));
    }
}
