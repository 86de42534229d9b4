//! The plugin's questions, answered one after the other on as many threads as there are pods being made.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Namespaces, Numbers};
use crate::question::{MAX_LINE, Question, Wish, answer};
use crate::rules::Rules;

/// A socket for root of this node, in place of one that an earlier agent may have left.
pub(super) fn listen(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until dropped.
pub(super) async fn serve(listener: UnixListener, namespaces: Namespaces, numbers: Arc<Numbers>) {
    let seats = Arc::new(Semaphore::new(AT_ONCE));
    let mut open = JoinSet::new();
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (namespaces, numbers) = (namespaces.clone(), Arc::clone(&numbers));
                    open.spawn(async move {
                        // A plugin that hangs up has been given up by its runtime.
                        let _ = timeout(WHOLE, answer_one(stream, namespaces, numbers)).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a question of the plugin");
                    sleep(BREATHER).await;
                }
            },
            Some(_) = open.join_next() => {}
        }
    }
}

async fn answer_one(stream: UnixStream, namespaces: Namespaces, numbers: Arc<Numbers>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_LINE)).read_line(&mut line).await?;
    let done = match Question::of_line(&line) {
        Ok(question) => tokio::task::spawn_blocking(move || fulfil(&namespaces, &numbers, &question))
            .await
            .unwrap_or_else(|_| Err("it panicked; a defect".to_owned())),
        Err(why) => Err(why),
    };
    write.write_all(answer(done).as_bytes()).await
}

fn fulfil(namespaces: &Namespaces, numbers: &Numbers, question: &Question) -> Result<(), String> {
    let named = || namespaces.named(&question.netns).map_err(|error| error.to_string());
    match &question.wish {
        Wish::Hello => Ok(()),
        Wish::Look => match namespaces.has_rules(&named()?) {
            Ok(true) => Ok(()),
            Ok(false) => Err("the pod has no rules (any more)".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        Wish::Make(rules) => {
            let rules = rules.parse::<Rules>().map_err(|error| error.to_string());
            let made =
                rules.and_then(|rules| namespaces.make(&named()?, &rules).map_err(|error| error.to_string()));
            match &made {
                Ok(()) => {
                    numbers.made();
                    tracing::info!(pod = question.pod, "a pod has its rules");
                }
                Err(why) => {
                    numbers.failed();
                    tracing::error!(
                        pod = question.pod,
                        why,
                        "a pod does not start, because its rules cannot be made"
                    );
                }
            }
            made
        }
    }
}

/// Pods that are made at the same time.
const AT_ONCE: usize = 16;
const WHOLE: Duration = Duration::from_secs(30);
const BREATHER: Duration = Duration::from_millis(100);
