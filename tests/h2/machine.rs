//! A sidecar as a process of its own, so that its memory and its time can be read.

use std::net::SocketAddr;
use std::process::Command;

use weft_tests::mesh::Mesh;
use weft_tests::port;
use weft_tests::program::{self, Process};

use crate::lab::service;

/// A mesh whose one sidecar is a process.
pub(crate) struct Machine {
    _mesh: Mesh,
    process: Process,
    /// Where peers reach it.
    pub(crate) inbound: SocketAddr,
}

impl Machine {
    /// Beside an application; `None` where the program is not built.
    pub(crate) async fn beside(application: SocketAddr, speaks: &str, test: &str) -> Option<Self> {
        let program = program::ours("weft-proxy", test)?;
        let mesh = Mesh::start(&service(speaks)).await;
        let inbound = port::of_its_own();
        let beside = mesh.beside("shop/api-1").http(application).set("WEFT_INBOUND", &inbound);
        let mut command = Command::new(program);
        command.env_clear().envs(beside.settings().await);
        let process = Process::start(command, &mesh.scratch().join("weft-proxy.said"));
        mesh.serves("shop/api", 80, 1).await;
        Some(Self { _mesh: mesh, process, inbound })
    }

    /// Memory of its own, in KiB: without what is mapped from files.
    pub(crate) fn memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .expect("a running process has memory")
    }

    /// Time it has computed for, in hundredths of a second.
    pub(crate) fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        // After the name, in brackets: fields 14 and 15 are user and system time.
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        fields[11..=12].iter().map(|field| field.parse::<u64>().unwrap_or(0)).sum()
    }
}
