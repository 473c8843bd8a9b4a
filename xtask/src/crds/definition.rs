//! A kind as a CustomResourceDefinition.

use ambit_resources::Kind;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// What a kind's types do not say.
pub(super) struct Definition {
    pub(super) kind: Kind,
    /// API group and versions, the stored one first.
    pub(super) group: (&'static str, &'static [&'static str]),
    pub(super) plural: &'static str,
    pub(super) short: &'static [&'static str],
    pub(super) columns: &'static [Column],
    /// What must hold between fields.
    pub(super) rules: &'static [Rule],
    /// How many entries a list or map of the spec may have, how many bytes a text: CEL is only allowed where
    /// its cost is bounded.
    pub(super) bounds: &'static [(&'static str, u32)],
}

/// A column of `kubectl get`.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) path: &'static str,
}

/// A rule in CEL.
pub(super) struct Rule {
    /// The field of the spec it is about; the spec itself where it is empty.
    pub(super) at: &'static str,
    pub(super) rule: &'static str,
    pub(super) message: &'static str,
}

/// What may be attached to objects of several sorts is attached in one way.
pub(super) const ONE_ATTACHMENT: Rule = Rule {
    at: "",
    rule: "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + \
           (has(self.targetRefs) && self.targetRefs.size() > 0 ? 1 : 0) <= 1",
    message: "only one of selector, targetRef and targetRefs can be set",
};

impl Definition {
    /// The whole object.
    pub(super) fn object(&self, mut spec: Value) -> Result<Value> {
        for (path, most) in self.bounds {
            let field = self.field(&mut spec, path)?;
            let bound = match field.get("type").and_then(Value::as_str) {
                Some("array") => "maxItems",
                Some("string") => "maxLength",
                _ => "maxProperties",
            };
            field.insert(bound.to_owned(), json!(most));
        }
        for Rule { at, rule, message } in self.rules {
            let rules = self.field(&mut spec, at)?.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
            let rules = rules.as_array_mut().context("x-kubernetes-validations is a list")?;
            rules.push(json!({"rule": rule, "message": message}));
        }
        let (group, versions) = self.group;
        let kind = self.kind.word();
        let versions: Vec<_> =
            versions.iter().enumerate().map(|(at, name)| self.version(name, at == 0, &spec)).collect();
        Ok(json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{}.{group}", self.plural), "annotations": {"helm.sh/resource-policy": "keep"}},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {
                    "kind": kind,
                    "listKind": format!("{kind}List"),
                    "plural": self.plural,
                    "singular": kind.to_lowercase(),
                    "shortNames": self.short,
                    "categories": [category(group)],
                },
                "versions": versions,
            },
        }))
    }

    fn version(&self, name: &str, stored: bool, spec: &Value) -> Value {
        let mut columns: Vec<_> = self
            .columns
            .iter()
            .map(|Column { name, kind, path }| json!({"name": name, "type": kind, "jsonPath": path}))
            .collect();
        columns.push(json!({
            "name": "Accepted", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Accepted\")].status",
        }));
        columns.push(json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}));
        json!({
            "name": name,
            "served": true,
            "storage": stored,
            "subresources": {"status": {}},
            "additionalPrinterColumns": columns,
            "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "spec": spec,
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                },
            }},
        })
    }

    /// The schema of a field of the spec, or, with `[]`, of what is in its list.
    fn field<'a>(&self, spec: &'a mut Value, path: &str) -> Result<&'a mut Map<String, Value>> {
        let mut names = path.split('.').filter(|name| !name.is_empty());
        let field = names.try_fold(spec, |schema, name| {
            let field = schema.get_mut("properties")?.get_mut(name.trim_end_matches("[]"))?;
            if name.ends_with("[]") { field.get_mut("items") } else { Some(field) }
        });
        let field = field.and_then(Value::as_object_mut);
        field.with_context(|| format!("{} has no field {path}", self.kind))
    }
}

/// What `kubectl get` takes for all kinds of one maker: the last two names of the group.
fn category(group: &str) -> String {
    let mut names = group.rsplitn(3, '.');
    let (last, before) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    format!("{before}-{last}")
}
