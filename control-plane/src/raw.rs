//! An object as the API server sends it, with just enough known of it to be watched.

use std::borrow::Cow;

use kube::Resource;
use kube::core::{DynamicResourceScope, ObjectMeta};
use serde::de::{Deserialize, Deserializer};
use serde_json::Value;

use crate::kinds::Watched;

/// An object, read as a tree once and given on as that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Raw {
    /// What the watcher asks for: name, namespace, resourceVersion. The rest is in the tree.
    metadata: ObjectMeta,
    /// The object, without `managedFields`: often half of it, and of no use here.
    pub(crate) object: Value,
}

impl Raw {
    /// What names it among its kind: namespace (empty where there is none) and name.
    pub(crate) fn key(&self) -> Key {
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        Key { namespace: text(&self.metadata.namespace), name: text(&self.metadata.name) }
    }

    /// The object with its kind, which the items of a list do not say.
    pub(crate) fn into_object(self, watched: &Watched) -> Value {
        let mut object = self.object;
        if let Value::Object(fields) = &mut object {
            fields.insert("apiVersion".to_owned(), watched.api_version().into());
            fields.insert("kind".to_owned(), watched.kind.word().into());
        }
        object
    }
}

/// What names an object among its kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Namespace; empty where there is none.
    pub(crate) namespace: Box<str>,
    /// Name.
    pub(crate) name: Box<str>,
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = Value::deserialize(deserializer)?;
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        let text = |name: &str| object.pointer(name).and_then(Value::as_str).map(str::to_owned);
        let metadata = ObjectMeta {
            name: text("/metadata/name"),
            namespace: text("/metadata/namespace"),
            resource_version: text("/metadata/resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, object })
    }
}

impl Resource for Raw {
    type DynamicType = Watched;
    type Scope = DynamicResourceScope;

    fn kind(watched: &Watched) -> Cow<'_, str> {
        watched.kind.word().into()
    }
    fn group(watched: &Watched) -> Cow<'_, str> {
        watched.group.into()
    }
    fn version(watched: &Watched) -> Cow<'_, str> {
        watched.version.into()
    }
    fn plural(watched: &Watched) -> Cow<'_, str> {
        watched.plural.into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use ambit_resources::Kind;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_of_a_list_gets_its_kind_and_loses_its_managed_fields() {
        let metadata = json!({"name": "web", "namespace": "shop", "resourceVersion": "7", "managedFields": [{}]});
        let raw: Raw = serde_json::from_value(json!({"metadata": metadata, "spec": {"nodeName": "n"}})).unwrap();
        assert_eq!(raw.key(), Key { namespace: "shop".into(), name: "web".into() });
        assert_eq!(raw.meta().resource_version.as_deref(), Some("7"));
        let metadata = json!({"name": "web", "namespace": "shop", "resourceVersion": "7"});
        let expected = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "n"}});
        assert_eq!(raw.into_object(Watched::of(Kind::Pod).unwrap()), expected);
    }
}
