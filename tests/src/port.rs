//! Ports on loopback that are known before somebody listens on them: what a manifest, a configuration file or another
//! program must be told.
//!
//! Never one of those that the system hands out by itself (32768 and up on Linux): between finding such a port and the
//! child's binding it, any listener on port 0 and any connection that goes out may be given it. With hundreds of
//! tests beside each other, it is.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// An address on 127.0.0.1 where nobody listens, which no other test is given; nor is it taken while whoever listens
/// there is stopped.
///
/// # Panics
/// If a thousand in a row are taken.
pub fn of_its_own() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run beside each other rarely have the same remainder; where they do, the bind tells.
    let first = FIRST + (std::process::id() % u32::from(PROCESSES)) as u16 * EACH;
    (0..1000)
        .map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed) % EACH)
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|addr| TcpListener::bind(addr).is_ok())
        .expect("fewer than a thousand listeners of tests")
}

const FIRST: u16 = 10_000;
const PROCESSES: u16 = 50;
const EACH: u16 = 200;
