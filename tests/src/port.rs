//! Ports on loopback that are known before somebody listens on them: what a manifest, a configuration file or another
//! program must be told.
//!
//! Never one of those that the system hands out by itself (32768 and up on Linux): between finding such a port and the
//! child's binding it, any listener on port 0 and any connection that goes out may be given it. With hundreds of
//! tests beside each other, it is.
//!
//! Test programs that run at the same time share these ports as well, so each takes a block of them for as long as it
//! lives, by listening on the first one of the block.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// An address on 127.0.0.1 where nobody listens, which no other test is given; nor is it taken while whoever listens
/// there is stopped.
///
/// # Panics
/// If every block is taken, or every port of this one.
pub fn of_its_own() -> SocketAddr {
    static BLOCK: LazyLock<Block> = LazyLock::new(Block::take);
    BLOCK.next()
}

/// [`EACH`] ports, the first of which says that the others are taken.
struct Block {
    first: TcpListener,
    given: AtomicU16,
}

impl Block {
    fn take() -> Self {
        let start = std::process::id() % u32::from(BLOCKS);
        let order = (0..BLOCKS).map(|nth| (start as u16 + nth) % BLOCKS);
        let mut taken = order.filter_map(|block| TcpListener::bind(on_loopback(FIRST + block * EACH)).ok());
        Self { first: taken.next().expect("fewer test programs than blocks"), given: AtomicU16::new(0) }
    }

    fn next(&self) -> SocketAddr {
        let first = self.first.local_addr().expect("a bound socket").port();
        (1..EACH)
            .map(|_| first + 1 + self.given.fetch_add(1, Ordering::Relaxed) % (EACH - 1))
            .map(on_loopback)
            .find(|addr| TcpListener::bind(addr).is_ok())
            .expect("fewer listeners than ports in a block")
    }
}

const fn on_loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// `meshctl` looks for ports of its own from 20 000 on.
const FIRST: u16 = 10_000;
const BLOCKS: u16 = 5;
/// More than one test program asks for: the largest asks for nine hundred, and a port that is given twice is now and then
/// just being tried here when its first owner wants it.
const EACH: u16 = 2000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn two_programs_beside_each_other_are_never_given_the_same_port() {
        let (ours, theirs) = (Block::take(), Block::take());
        let ports: BTreeSet<_> = (0..100).flat_map(|_| [ours.next(), theirs.next()]).collect();
        assert_eq!(ports.len(), 200);
        assert!(ports.iter().all(|addr| (FIRST..FIRST + BLOCKS * EACH).contains(&addr.port())));
    }

    #[test]
    fn a_port_that_somebody_else_has_is_passed_over() {
        let block = Block::take();
        let taken = TcpListener::bind(block.next()).unwrap();
        block.given.store(0, Ordering::Relaxed);
        assert_ne!(block.next(), taken.local_addr().unwrap());
    }
}
