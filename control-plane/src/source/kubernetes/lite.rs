//! What a watch decodes into: of a pod the fields that are read and no others, of what people write all of it. Both are
//! turned into an [`Item`] as they arrive, and nothing of the object is kept but that.

use std::borrow::Cow;
use std::fmt::Debug;

use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;
use weft_manifests::cluster::pod::{Meta, Pod};
use weft_manifests::cluster::slice::{EndpointSlice, Node};
use weft_manifests::cluster::{Item, Written};

/// An object of a watch, with as much metadata as the watch itself needs.
#[derive(Clone, Debug)]
pub(super) struct Watched<B> {
    meta: ObjectMeta,
    body: B,
}

/// What is read of an object.
pub(super) trait Body: Clone + Debug + DeserializeOwned + Send + Sync + 'static {
    /// Name, namespace and version.
    fn meta(&self) -> ObjectMeta;

    /// What it is to the mesh; `None` if it is nothing.
    fn item(self, api: &ApiResource) -> Option<Item>;
}

impl<B: Body> Watched<B> {
    pub(super) fn item(self, api: &ApiResource) -> Option<Item> {
        self.body.item(api)
    }
}

impl<'de, B: Body> Deserialize<'de> for Watched<B> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        B::deserialize(from).map(|body| Self { meta: body.meta(), body })
    }
}

impl<B: Body> Resource for Watched<B> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(api: &ApiResource) -> Cow<'_, str> {
        api.kind.as_str().into()
    }

    fn group(api: &ApiResource) -> Cow<'_, str> {
        api.group.as_str().into()
    }

    fn version(api: &ApiResource) -> Cow<'_, str> {
        api.version.as_str().into()
    }

    fn plural(api: &ApiResource) -> Cow<'_, str> {
        api.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

impl Body for Pod {
    fn meta(&self) -> ObjectMeta {
        of(&self.metadata)
    }

    fn item(self, _: &ApiResource) -> Option<Item> {
        Some(Item::Pod(self.into()))
    }
}

impl Body for EndpointSlice {
    fn meta(&self) -> ObjectMeta {
        of(&self.metadata)
    }

    fn item(self, _: &ApiResource) -> Option<Item> {
        Some(Item::Slice(self.into()))
    }
}

impl Body for Node {
    fn meta(&self) -> ObjectMeta {
        of(&self.metadata)
    }

    fn item(self, _: &ApiResource) -> Option<Item> {
        Some(Item::Node(self))
    }
}

/// What people write: it is read as a file is.
impl Body for Value {
    fn meta(&self) -> ObjectMeta {
        let word = |name: &str| {
            self.get("metadata").and_then(|meta| meta.get(name)).and_then(Self::as_str).map(str::to_owned)
        };
        ObjectMeta {
            name: word("name"),
            namespace: word("namespace"),
            resource_version: word("resourceVersion"),
            ..ObjectMeta::default()
        }
    }

    fn item(mut self, api: &ApiResource) -> Option<Item> {
        // The items of a list do not say what they are: the list does.
        let object = self.as_object_mut()?;
        object.insert("apiVersion".to_owned(), Self::from(api.api_version.as_str()));
        object.insert("kind".to_owned(), Self::from(api.kind.as_str()));
        Written::read(&self).map(|written| Item::Written(written.into()))
    }
}

fn of(meta: &Meta) -> ObjectMeta {
    ObjectMeta {
        name: Some(meta.name.to_string()),
        namespace: (!meta.namespace.is_empty()).then(|| meta.namespace.to_string()),
        resource_version: Some(meta.resource_version.to_string()),
        ..ObjectMeta::default()
    }
}
