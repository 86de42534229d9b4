//! The control plane's `admin.sock`: plain gRPC over a UNIX socket that only its owner may open.
//!
//! No TLS and no token on this way: who may open the file may administer the mesh, and the file's mode (0600)
//! is the check. What goes wrong here is nearly always one of two things, so both say what to do.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use weft_proto::v1::admin_client::AdminClient;
use weft_proto::v1::inspect_client::InspectClient;

/// A control plane that answers.
#[derive(Clone, Debug)]
pub(crate) struct ControlPlane {
    channel: Channel,
}

impl ControlPlane {
    /// One that is connected already, by another way.
    pub(crate) const fn at(channel: Channel) -> Self {
        Self { channel }
    }

    /// Connects to the socket in a state directory.
    ///
    /// # Errors
    /// [`Unreachable`], with what to do.
    pub(crate) async fn connect(state_dir: &Path) -> Result<Self, Unreachable> {
        let socket: Arc<Path> = state_dir.join(SOCKET).into();
        // tonic tells no cause apart, so the first connection is tried by hand.
        let first = UnixStream::connect(&socket).await.map_err(|source| Unreachable::of(&socket, source))?;
        let first = Arc::new(std::sync::Mutex::new(Some(first)));
        let connector = tower::service_fn(move |_| {
            let kept = first.lock().ok().and_then(|mut first| first.take());
            let socket = Arc::clone(&socket);
            async move {
                match kept {
                    Some(stream) => Ok(TokioIo::new(stream)),
                    None => UnixStream::connect(&socket).await.map(TokioIo::new),
                }
            }
        });
        // The address is never used: the connector knows where to go.
        let endpoint = Endpoint::from_static("http://admin.sock").connect_timeout(CONNECT);
        Ok(Self { channel: endpoint.connect_with_connector_lazy(connector) })
    }

    /// Questions.
    pub(crate) fn inspect(&self) -> InspectClient<Channel> {
        InspectClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// Orders.
    pub(crate) fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel.clone()).max_encoding_message_size(MAX_ANSWER)
    }
}

/// Why there is no answer from the control plane.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// No socket.
    #[error(
        "no control plane at {}: start one with `meshctl up -f DIR`, or name its state directory with \
         --state-dir (or WEFT_STATE_DIR)",
        socket.display()
    )]
    Absent {
        /// Where it was looked for.
        socket: PathBuf,
    },
    /// A socket that nobody listens on.
    #[error("the control plane at {} has ended: start it again with `meshctl up -f DIR`", socket.display())]
    Ended {
        /// The socket that it left.
        socket: PathBuf,
    },
    /// Somebody else's.
    #[error("{} belongs to another user: run meshctl as the user who runs the control plane", socket.display())]
    Forbidden {
        /// The socket.
        socket: PathBuf,
    },
    /// Anything else.
    #[error("cannot connect to {}", socket.display())]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Unreachable {
    fn of(socket: &Path, source: io::Error) -> Self {
        let socket = socket.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Absent { socket },
            io::ErrorKind::ConnectionRefused => Self::Ended { socket },
            io::ErrorKind::PermissionDenied => Self::Forbidden { socket },
            _ => Self::Broken { socket, source },
        }
    }
}

/// What the control plane says instead of an answer, for a person.
pub(crate) fn refused(status: &Status) -> anyhow::Error {
    // A status with a cause was made on this side: there was no answer.
    if let Some(cause) = status.source() {
        return anyhow::anyhow!("the control plane went away before it answered: {cause}");
    }
    match (status.code(), status.message()) {
        (Code::Unavailable, message) => anyhow::anyhow!("the control plane went away: {message}"),
        (Code::Unimplemented, _) => anyhow::anyhow!(
            "this control plane does not know the question: it is older than this meshctl (see `meshctl version`)"
        ),
        (code, "") => anyhow::anyhow!("the control plane refused: {code}"),
        (_, message) => anyhow::anyhow!("the control plane refused: {message}"),
    }
}

/// The socket's name in the state directory.
pub(crate) const SOCKET: &str = "admin.sock";
const CONNECT: Duration = Duration::from_secs(5);
/// Every endpoint of a large mesh in one answer; files to apply in one question.
const MAX_ANSWER: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_control_plane_that_is_not_there_says_how_to_start_one() {
        let dir = tempfile::tempdir().unwrap();
        let absent = ControlPlane::connect(dir.path()).await.unwrap_err().to_string();
        assert!(absent.contains("no control plane at") && absent.contains("--state-dir"), "{absent}");

        let socket = dir.path().join(SOCKET);
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let ended = ControlPlane::connect(dir.path()).await.unwrap_err().to_string();
        assert!(ended.contains("has ended") && ended.contains("meshctl up"), "{ended}");
    }
}
