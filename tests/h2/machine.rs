//! A sidecar as a process of its own, so that its memory and its time can be read.

use std::net::SocketAddr;

use weft_tests::machine;
use weft_tests::mesh::Mesh;

use crate::lab::service;

/// A mesh whose one sidecar is a process.
pub(crate) struct Machine {
    _mesh: Mesh,
    sidecar: machine::Machine,
    /// Where peers reach it.
    pub(crate) inbound: SocketAddr,
}

impl Machine {
    /// Beside an application; `None` where the program is not built.
    pub(crate) async fn beside(application: SocketAddr, speaks: &str, test: &str) -> Option<Self> {
        let mesh = Mesh::start(&service(speaks)).await;
        let sidecar = machine::Machine::start(mesh.beside("shop/api-1").http(application), "", test).await?;
        mesh.serves("shop/api", 80, 1).await;
        Some(Self { _mesh: mesh, inbound: sidecar.inbound, sidecar })
    }

    /// Memory of its own, in KiB: without what is mapped from files.
    pub(crate) fn memory(&self) -> u64 {
        self.sidecar.process().memory()
    }

    /// Time it has computed for, in hundredths of a second.
    pub(crate) fn ticks(&self) -> u64 {
        self.sidecar.process().ticks()
    }
}
