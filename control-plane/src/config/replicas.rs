//! What several control planes of one mesh have in common, on Kubernetes.

use super::{Reader, Setting, SourceKind, namespace, parse};

/// Where replicas meet, in the namespace that they run in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicasConfig {
    /// The Lease by which they agree on who acts for all.
    pub lease: String,
    /// The Secret that holds the mesh's identity; `None`: the state directory does, and there is one control plane.
    pub keys_secret: Option<String>,
    /// The uid of the pod that this one is named after, if it is one.
    pub pod_uid: Option<String>,
}

/// Reads the settings of replicas. A directory of manifests is one control plane's, and so is what is beside it.
pub(super) fn read<Said: Fn(&Setting) -> Option<String>>(
    reader: &mut Reader<Said>,
    source: SourceKind,
) -> ReplicasConfig {
    let something = |text: String| (!text.is_empty()).then_some(text);
    ReplicasConfig {
        lease: reader.value("lease", object_name),
        keys_secret: match source {
            SourceKind::Directory => None,
            SourceKind::Kubernetes => something(reader.value("keys-secret", name_or_nothing)),
        },
        pod_uid: something(reader.value("pod-uid", parse)),
    }
}

fn name_or_nothing(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { object_name(text) }
}

/// A DNS subdomain (RFC 1123 §2.1), as the name of every object is.
fn object_name(text: &str) -> Result<String, String> {
    let fits = text.len() <= 253 && text.split('.').all(|label| namespace(label).is_ok());
    if fits {
        Ok(text.to_owned())
    } else {
        Err("not the name of an object: use a-z, 0-9, dash and dot".to_owned())
    }
}
