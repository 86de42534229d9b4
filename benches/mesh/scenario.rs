//! What is measured: a table, and how a row of it is turned into figures.

pub(crate) mod turns;
mod work;
mod changing;
mod derived;

use crate::way::{Between, Handshake, Http};

/// A row.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// For `SCENARIOS`.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) about: &'static str,
    /// What stands between client and origin: several, where they are to be compared with each other.
    pub(crate) variants: &'static [Variant],
    /// What the client does.
    pub(crate) work: Work,
    /// Bytes of an answer.
    pub(crate) body: usize,
    /// The metric that it is about.
    pub(crate) about_metric: &'static str,
}

/// One of several ways to be compared.
#[derive(Debug)]
pub(crate) struct Variant {
    /// Ends the names of its metrics; the only one has none.
    pub(crate) label: &'static str,
    pub(crate) between: Between,
}

/// What the client does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Asks again as soon as it has an answer; `streams` at once on each connection.
    Closed { connections: usize, streams: usize },
    /// As `Closed`, with calls that stay: an exchange is a message and its answer.
    Streaming { connections: usize, streams: usize },
    /// So many requests a second, whatever becomes of them.
    Open { rate: u32, connections: usize },
    /// Opens a connection for every word.
    NewConnections { callers: usize },
    /// Sends as many bytes as go through.
    Bulk { connections: usize },
    /// Nothing.
    IdleMemory,
    /// As `Closed`, for what it does to the memory.
    LoadedMemory { connections: usize },
    /// Holds so many connections, and then twice as many, that have asked once; fewer where a process may not have as many
    /// files.
    IdleConnections { first: usize },
}

impl Work {
    /// Whether it is about what proxies hold in memory, of which there is nothing where there are none.
    pub(crate) const fn is_of_memory(self) -> bool {
        matches!(self, Self::IdleMemory | Self::LoadedMemory { .. } | Self::IdleConnections { .. })
    }
}

impl Scenario {
    /// Whether each turn begins with new processes: where what the turn before left behind would be measured too, and
    /// where all peers together would hold more connections than a process may have.
    pub(crate) fn begins_afresh(&self) -> bool {
        self.work.is_of_memory() || self.is_anywhere()
    }

    /// How often it is done of so many runs: what a process holds hardly differs from one to the next.
    pub(crate) fn runs(&self, of: u32) -> u32 {
        if self.begins_afresh() { of.min(3) } else { of }
    }

    /// Whether the application answers at every address of loopback.
    pub(crate) fn is_anywhere(&self) -> bool {
        self.variants.iter().any(|variant| variant.between.is_anywhere())
    }
}

const fn only(between: Between) -> Variant {
    Variant { label: "", between }
}

const ONE: &[Variant] = &[only(Between::One { routes: 1 })];
const MESH: &[Variant] = &[only(Between::Mesh(Http::H1))];
const MESH_H2: &[Variant] = &[only(Between::Mesh(Http::H2))];
const LOAD: Work = Work::Closed { connections: 64, streams: 1 };
const KB: usize = 1024;

/// The table.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "one-h1-1k",
        about: "one proxy, HTTP/1.1 in plaintext, 1 KB, 64 connections",
        variants: ONE,
        work: LOAD,
        body: KB,
        about_metric: "cpu",
    },
    Scenario {
        name: "one-h1-64k",
        about: "one proxy, HTTP/1.1 in plaintext, 64 KB, 64 connections",
        variants: ONE,
        work: LOAD,
        body: 64 * KB,
        about_metric: "cpu",
    },
    Scenario {
        name: "one-h1-1m",
        about: "one proxy, HTTP/1.1 in plaintext, 1 MB, 16 connections",
        variants: ONE,
        work: Work::Closed { connections: 16, streams: 1 },
        body: KB * KB,
        about_metric: "cpu",
    },
    Scenario {
        name: "mesh-h1-1k",
        about: "client -> proxy -> mTLS -> proxy -> origin, HTTP/1.1, 1 KB, 64 connections",
        variants: MESH,
        work: LOAD,
        body: KB,
        about_metric: "cpu",
    },
    Scenario {
        name: "mesh-h1-alone",
        about: "the same, one client on one connection",
        variants: MESH,
        work: Work::Closed { connections: 1, streams: 1 },
        body: KB,
        about_metric: "p50",
    },
    Scenario {
        name: "mesh-h1-64k",
        about: "client -> proxy -> mTLS -> proxy -> origin, HTTP/1.1, 64 KB, 64 connections",
        variants: MESH,
        work: LOAD,
        body: 64 * KB,
        about_metric: "cpu",
    },
    Scenario {
        name: "mesh-h2-1k",
        about: "client -> proxy -> mTLS -> proxy -> origin, HTTP/2, 1 KB, 8 connections of 16 streams",
        variants: MESH_H2,
        work: Work::Closed { connections: 8, streams: 16 },
        body: KB,
        about_metric: "cpu",
    },
    Scenario {
        name: "mesh-grpc",
        about: "client -> proxy -> mTLS -> proxy -> origin, gRPC, calls of 1 KB each way, 8 connections of 16 streams",
        variants: &[only(Between::Mesh(Http::Grpc))],
        work: Work::Closed { connections: 8, streams: 16 },
        body: KB,
        about_metric: "cpu",
    },
    Scenario {
        name: "mesh-grpc-stream",
        about: "the same as messages of calls that stay, one message at a time in each",
        variants: &[only(Between::Mesh(Http::Grpc))],
        work: Work::Streaming { connections: 8, streams: 16 },
        body: KB,
        about_metric: "cpu",
    },
    Scenario {
        name: "mesh-rules",
        about: "as mesh-h1-1k, with 1, 100 and 1000 rules on who may call, of which the last is about the caller",
        variants: &[
            Variant { label: "1", between: Between::Rules(1) },
            Variant { label: "100", between: Between::Rules(100) },
            Variant { label: "1000", between: Between::Rules(1000) },
        ],
        work: LOAD,
        body: KB,
        about_metric: "cpu-growth",
    },
    Scenario {
        name: "mesh-changes",
        about: "as mesh-h1-1k, with routes that stay as they are, and with routes that are written 100 times a second",
        variants: &[
            Variant { label: "still", between: Between::Mesh(Http::H1) },
            Variant { label: "changing", between: Between::Changing },
        ],
        work: LOAD,
        body: KB,
        about_metric: "cpu-growth",
    },
    Scenario {
        name: "mesh-tcp",
        about: "bytes over mTLS between two proxies, 4 connections",
        variants: &[only(Between::Tcp(Handshake::AsItComes))],
        work: Work::Bulk { connections: 4 },
        body: 0,
        about_metric: "cpu",
    },
    Scenario {
        name: "mesh-handshake",
        about: "new connections over mTLS between two proxies, a full handshake each, or a resumed one; 16 callers",
        variants: &[
            only(Between::Tcp(Handshake::Full)),
            Variant { label: "resumed", between: Between::Tcp(Handshake::Resumed) },
        ],
        work: Work::NewConnections { callers: 16 },
        body: 0,
        about_metric: "cpu",
    },
    Scenario {
        name: "mesh-latency-2k",
        about: "client -> proxy -> mTLS -> proxy -> origin, HTTP/1.1, 1 KB, 2000 requests a second over 32 connections",
        variants: MESH,
        work: Work::Open { rate: 2000, connections: 32 },
        body: KB,
        about_metric: "p50-over-direct",
    },
    Scenario {
        name: "idle-memory",
        about: "resident memory of one proxy of the mesh that has carried nothing",
        variants: MESH,
        work: Work::IdleMemory,
        body: KB,
        about_metric: "resident",
    },
    Scenario {
        name: "loaded-memory",
        about: "resident memory of both proxies of the mesh at the end of mesh-h1-1k",
        variants: MESH,
        work: Work::LoadedMemory { connections: 64 },
        body: KB,
        about_metric: "resident",
    },
    Scenario {
        name: "idle-connections",
        about: "resident memory of one proxy for each idle keep-alive connection, the first 5000 and 10 000, or as many as there are files for",
        variants: &[
            Variant { label: "plaintext", between: Between::One { routes: 1 } },
            Variant { label: "mtls", between: Between::Inbound },
        ],
        work: Work::IdleConnections { first: 5000 },
        body: KB,
        about_metric: "plaintext",
    },
    Scenario {
        name: "routes-10k",
        about: "as one-h1-1k, with 1, 100, 1000 and 10 000 routes on the host, all of them asked for",
        variants: &[
            Variant { label: "1", between: Between::One { routes: 1 } },
            Variant { label: "100", between: Between::One { routes: 100 } },
            Variant { label: "1000", between: Between::One { routes: 1000 } },
            Variant { label: "10000", between: Between::One { routes: 10_000 } },
        ],
        work: LOAD,
        body: KB,
        about_metric: "cpu-growth",
    },
    Scenario {
        name: "endpoints-10k",
        about: "as one-h1-1k, with 10, 100, 1000 and 10 000 endpoints, the less loaded of two for each request",
        variants: &[
            Variant { label: "10", between: Between::Endpoints(10) },
            Variant { label: "100", between: Between::Endpoints(100) },
            Variant { label: "1000", between: Between::Endpoints(1000) },
            Variant { label: "10000", between: Between::Endpoints(10_000) },
        ],
        work: LOAD,
        body: KB,
        about_metric: "cpu-growth",
    },
];
