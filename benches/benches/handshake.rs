//! What a connection between two sidecars costs before its first byte: both ends of a handshake, in memory, on one
//! thread.
//!
//! Three ways to meet: a stranger, whose chain has to be verified; somebody whose chain was accepted before; and
//! somebody whose session is resumed. The key exchange is the hybrid one (X25519MLKEM768) in all of them. What is told is
//! the processor's time, which does not grow when others use the machine.
//!
//! `cargo bench -p weft-benches --bench handshake`

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rustix::time::{ClockId, clock_gettime};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ServerConfig, ServerConnection,
};
use weft_certs::authority::{Authority, Lifetime};
use weft_certs::bundle::{DenyList, TrustBundle, TrustBundles, TrustStore};
use weft_certs::request::KeyAndRequest;
use weft_certs::rotation::{Generation, Identity};
use weft_certs::tls::{Credentials, Hop, Tls};
use weft_certs::verify::Expect;

/// Two sidecars of one mesh, each with its own trust.
struct Pair {
    bundle: TrustBundle,
    web: Sidecar,
    api: Sidecar,
}

struct Sidecar {
    generation: Arc<Generation>,
    trust: Arc<TrustStore>,
}

fn pair() -> Pair {
    let domain = "weft.local".parse().expect("a trust domain");
    let authority = Authority::mint(&domain, SystemTime::now()).expect("an authority");
    let bundle =
        TrustBundle::new(domain, 1, [authority.root().clone()], DenyList::default()).expect("a bundle");
    let sidecar = |account: &str| {
        let trust = Arc::new(TrustStore::new(TrustBundles::default().with(bundle.clone())));
        let id = format!("spiffe://weft.local/ns/shop/sa/{account}").parse().expect("an identity");
        let KeyAndRequest { key, csr_der } = KeyAndRequest::generate().expect("a key");
        let issued = authority.issue(&csr_der, &id, Lifetime::Default, SystemTime::now()).expect("a leaf");
        let credentials = Credentials::new(issued.chain_der, &key).expect("credentials");
        let identity = Identity::unknown(Tls::new(Arc::clone(&trust)));
        Sidecar { generation: identity.swap(credentials), trust }
    };
    Pair { web: sidecar("web"), api: sidecar("api"), bundle }
}

impl Pair {
    /// What both ends begin with; `port` tells far ends apart that have a session of their own.
    fn ends(&self, port: u16) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
        let expect = Expect::Exactly(self.api.generation.credentials().us().id.clone());
        let client = self.web.generation.sidecar_client(&expect, Hop::Tcp, ([10, 0, 0, 7], port).into());
        (client, self.api.generation.sidecar_server())
    }

    /// What both ends begin with that cannot resume anything.
    fn ends_without_sessions(&self) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
        let expect = Expect::Exactly(self.api.generation.credentials().us().id.clone());
        (self.web.generation.client(&expect, Hop::Tcp), self.api.generation.sidecar_server())
    }

    /// Nobody has been judged yet.
    fn forget(&self) {
        for side in [&self.web, &self.api] {
            side.trust.replace(TrustBundles::default().with(self.bundle.clone()));
        }
    }
}

/// Both ends until the client has the ticket of the server.
fn meet((client, server): (Arc<ClientConfig>, Arc<ServerConfig>), kind: HandshakeKind) {
    let name = ServerName::try_from("mesh.weft").expect("a DNS name");
    let mut client = ClientConnection::new(client, name).expect("a client");
    let mut server = ServerConnection::new(server).expect("a server");
    let mut wire = Vec::with_capacity(8192);
    for _ in 0..2 {
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory takes all");
        }
        let mut unread = wire.as_slice();
        while !unread.is_empty() {
            server.read_tls(&mut unread).expect("memory");
            server.process_new_packets().expect("the client is let in");
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory takes all");
        }
        let mut unread = wire.as_slice();
        while !unread.is_empty() {
            client.read_tls(&mut unread).expect("memory");
            client.process_new_packets().expect("the server is who was meant");
        }
        wire.clear();
    }
    assert_eq!(client.handshake_kind(), Some(kind));
    assert_eq!(server.handshake_kind(), Some(kind));
    let group = client.negotiated_key_exchange_group().map(|group| group.name());
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
}

/// What the processor has spent on this thread.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        let (seconds, nanos) = (u64::try_from(spent.tv_sec), u32::try_from(spent.tv_nsec));
        Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
    }

    fn end(&self, began: Duration) -> Duration {
        self.start().saturating_sub(began)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    /// In nanoseconds, as the formatter of durations takes them.
    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn handshake(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("handshake");
    let pair = pair();
    group.bench_function("full, with a stranger", |b| {
        let begin = || {
            pair.forget();
            pair.ends_without_sessions()
        };
        b.iter_batched(begin, |ends| meet(ends, HandshakeKind::Full), BatchSize::PerIteration);
    });
    group.bench_function("full, with somebody known", |b| {
        let begin = || pair.ends_without_sessions();
        b.iter_batched(begin, |ends| meet(ends, HandshakeKind::Full), BatchSize::PerIteration);
    });
    meet(pair.ends(1), HandshakeKind::Full);
    group.bench_function("resumed", |b| {
        b.iter_batched(|| pair.ends(1), |ends| meet(ends, HandshakeKind::Resumed), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = handshake
}
criterion_main!(benches);
