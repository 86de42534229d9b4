//! The one cryptographic provider of the mesh: aws-lc-rs, with the hybrid key exchange first, and records by whoever is
//! fastest at them.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};

use crate::record;

/// Passed to every configuration by hand: a process-wide default could be set by any dependency.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        Arc::new(CryptoProvider {
            cipher_suites: record::suites(),
            // What is recorded today must not be readable by a quantum computer later; the classical groups
            // are for foreign clients.
            kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
            ..aws_lc_rs::default_provider()
        })
    });
    &PROVIDER
}
