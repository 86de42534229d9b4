//! Why a handshake did not come about: one short name for each reason, for the counters of both programs.
//!
//! The names are a closed set, and none of them nor their texts repeats what the peer sent: a stranger writes neither
//! into our metrics nor into our log.

use std::io;

use rustls::{AlertDescription, InvalidMessage, PeerIncompatible, PeerMisbehaved};

use crate::verify::PeerRefused;

/// Why there is no connection although somebody was there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeFailed {
    /// Its certificate, or that it had none.
    #[error(transparent)]
    Peer(#[from] PeerRefused),
    /// TLS 1.2 or older.
    #[error("the peer does not speak TLS 1.3")]
    Version,
    /// No protocol in common, or none offered.
    #[error("the peer speaks no protocol of this mesh inside TLS; is it outside the mesh?")]
    Protocol,
    /// Something else than TLS.
    #[error("the peer does not speak TLS")]
    NotTls,
    /// A ClientHello that nobody reads: over the limit, or not well formed.
    #[error("the peer's ClientHello is too large or not well formed")]
    ClientHello,
    /// TLS that breaks its own rules.
    #[error("the peer broke the rules of TLS during the handshake")]
    Malformed,
    /// Data before it was known who sends them (0-RTT).
    #[error("the peer sent early data, which is never accepted")]
    EarlyData,
    /// A record under no key of this handshake: early data without end, or a damaged connection.
    #[error("the peer sent what cannot be decrypted")]
    Undecryptable,
    /// No group, suite or signature scheme in common.
    #[error("the peer and we have no cryptography in common")]
    Incompatible,
    /// It was the peer who refused.
    #[error("the peer refused us; its own counters say why")]
    ByPeer,
    /// It hung up.
    #[error("the peer closed the connection during the handshake")]
    Closed,
    /// It took too long.
    #[error("the peer did not complete the handshake in time")]
    TimedOut,
    /// The operating system.
    #[error("the connection failed during the handshake")]
    Io,
}

impl HandshakeFailed {
    /// From the error that an asynchronous handshake ends with.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        if let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
            return Self::of_tls(error);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => Self::Closed,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io,
        }
    }

    /// From an error of rustls.
    #[must_use]
    pub fn of_tls(error: &rustls::Error) -> Self {
        use rustls::Error as Tls;
        if let Some(refused) = PeerRefused::of_handshake(error) {
            return Self::Peer(refused);
        }
        match error {
            Tls::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls13RequiredForQuic
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            )
            | Tls::AlertReceived(AlertDescription::ProtocolVersion) => Self::Version,
            Tls::PeerIncompatible(_) => Self::Incompatible,
            Tls::NoApplicationProtocol | Tls::AlertReceived(AlertDescription::NoApplicationProtocol) => {
                Self::Protocol
            }
            Tls::AlertReceived(_) => Self::ByPeer,
            Tls::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            Tls::PeerMisbehaved(
                PeerMisbehaved::TooMuchEarlyDataReceived
                | PeerMisbehaved::EarlyDataAttemptedInSecondClientHello
                | PeerMisbehaved::EarlyDataExtensionWithoutResumption
                | PeerMisbehaved::EarlyDataOfferedWithVariedCipherSuite,
            ) => Self::EarlyData,
            Tls::DecryptError => Self::Undecryptable,
            _ => Self::Malformed,
        }
    }

    /// A short name for metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Peer(refused) => refused.label(),
            Self::Version => "tls_version",
            Self::Protocol => "alpn",
            Self::NotTls => "not_tls",
            Self::ClientHello => "client_hello",
            Self::Malformed => "malformed_handshake",
            Self::EarlyData => "early_data",
            Self::Undecryptable => "undecryptable",
            Self::Incompatible => "incompatible",
            Self::ByPeer => "refused_by_peer",
            Self::Closed => "closed",
            Self::TimedOut => "handshake_timeout",
            Self::Io => "io",
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn every_way_in_which_a_handshake_fails_has_its_own_name() {
        let of = |error: rustls::Error| {
            HandshakeFailed::of_io(&io::Error::new(io::ErrorKind::InvalidData, error)).label()
        };
        for (error, label) in [
            (rustls::Error::NoCertificatesPresented, "no_certificate"),
            (PeerRefused::SelfSigned.into_rustls(UnixTime::now()), "self_signed"),
            (PeerIncompatible::SupportedVersionsExtensionRequired.into(), "tls_version"),
            (rustls::Error::AlertReceived(AlertDescription::ProtocolVersion), "tls_version"),
            (PeerIncompatible::NoKxGroupsInCommon.into(), "incompatible"),
            (rustls::Error::NoApplicationProtocol, "alpn"),
            (rustls::Error::AlertReceived(AlertDescription::UnknownCA), "refused_by_peer"),
            (InvalidMessage::InvalidContentType.into(), "not_tls"),
            (InvalidMessage::MissingKeyExchange.into(), "malformed_handshake"),
            (PeerMisbehaved::TooMuchEarlyDataReceived.into(), "early_data"),
            (rustls::Error::DecryptError, "undecryptable"),
        ] {
            assert_eq!(of(error), label);
        }
        for (kind, label) in [
            (io::ErrorKind::UnexpectedEof, "closed"),
            (io::ErrorKind::ConnectionReset, "closed"),
            (io::ErrorKind::TimedOut, "handshake_timeout"),
            (io::ErrorKind::OutOfMemory, "io"),
        ] {
            assert_eq!(HandshakeFailed::of_io(&kind.into()).label(), label);
        }
    }
}
