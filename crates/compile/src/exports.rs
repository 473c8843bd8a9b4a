//! `exportTo`: the namespaces whose workloads see a service.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_resources::{FieldPath, MeshConfig, Metadata, ObjectId, is_name};

use crate::Problem;
use crate::findings::Findings;
use crate::shared::Shared;

/// How a Service of Kubernetes says it, separated by commas.
const ANNOTATION: &str = "networking.istio.io/exportTo";

/// What the annotation of a service lists.
pub(crate) fn annotated(metadata: &Metadata) -> impl Iterator<Item = &str> {
    let list = metadata.annotations.get(ANNOTATION).map(String::as_str).unwrap_or_default();
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// The namespaces that are listed; all of them where there is no list.
pub(crate) fn namespaces<'a>(
    list: impl Iterator<Item = &'a str>,
    own: &str,
    shared: &mut Shared,
) -> Option<Arc<[Arc<str>]>> {
    let list: BTreeSet<_> = list.map(|name| if name == "." { own } else { name }).collect();
    if list.is_empty() || list.contains("*") {
        return None;
    }
    Some(list.into_iter().filter(|name| *name != "~").map(|name| shared.texts.share(name)).collect())
}

/// The mesh's configuration: the one object of this name, in the root namespace.
pub(crate) const MESH_CONFIG: &str = "default";

/// Who sees services that do not say so; nothing by an object that is not the one.
pub(crate) fn of_mesh(id: &ObjectId, config: &MeshConfig, shared: &Shared) -> Option<Arc<[Arc<str>]>> {
    let counts = *id.name == *MESH_CONFIG && id.namespace == shared.options.root_namespace;
    let list = config.spec.default_service_export_to.iter();
    counts.then(|| list.map(String::as_str).map(Arc::from).collect())
}

/// What is to be said about the annotation.
pub(crate) fn check_annotation(metadata: &Metadata, findings: &mut Findings<'_>) {
    annotated(metadata).for_each(|name| check(name, FieldPath::of("metadata.annotations").field(ANNOTATION), findings));
}

/// What is to be said about a name in a list.
pub(crate) fn check(name: &str, at: FieldPath, findings: &mut Findings<'_>) {
    if !matches!(name, "*" | "." | "~") && !is_name(name, false) {
        let (value, expected) = (name.to_owned(), "the name of a namespace, *, . or ~");
        findings.warning(at, Problem::Setting { value, expected, consequence: "no namespace has that name" });
    }
}
