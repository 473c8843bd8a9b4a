//! What an image is made of, in the form CycloneDX: every crate compiled into its programs, with version,
//! licence and dependencies, by cargo's own account. The same sources give the same bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::command::{self, cargo};

/// The list for the image `name` of these packages, and of all packages of the `embedded` workspaces.
pub(super) fn of(name: &str, version: &str, packages: &[&str], embedded: &[&str]) -> Result<String> {
    let mut listed = Listed::default();
    listed.add(&Metadata::of("Cargo.toml")?, |package| packages.contains(&package));
    for manifest in embedded {
        listed.add(&Metadata::of(manifest)?, |_| true);
    }
    let image = json!({ "type": "container", "bom-ref": name, "name": name, "version": version });
    let dependencies = listed.dependencies.into_iter().map(|(on, of)| json!({ "ref": on, "dependsOn": of }));
    let list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": image },
        "components": listed.components.into_values().collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    });
    Ok(format!("{list:#}\n"))
}

/// By package URL.
#[derive(Default)]
struct Listed {
    components: BTreeMap<String, Value>,
    dependencies: BTreeMap<String, BTreeSet<String>>,
}

impl Listed {
    /// Adds the members of a workspace that are `wanted`, and what they are compiled with.
    fn add(&mut self, metadata: &Metadata, wanted: impl Fn(&str) -> bool) {
        let packages: BTreeMap<_, _> = metadata.packages.iter().map(|package| (&package.id, package)).collect();
        let nodes: BTreeMap<_, _> = metadata.resolve.nodes.iter().map(|node| (&node.id, node)).collect();
        let of_workspace = metadata.workspace_members.iter();
        let mut open: Vec<_> =
            of_workspace.filter(|id| packages.get(id).is_some_and(|package| wanted(&package.name))).collect();
        while let Some(id) = open.pop() {
            let (Some(package), Some(node)) = (packages.get(id), nodes.get(id)) else { continue };
            if self.components.insert(package.url(), package.component()).is_some() {
                continue;
            }
            let needed: Vec<_> = node.compiled_in().collect();
            let urls = needed.iter().filter_map(|id| packages.get(id)).map(|package| package.url());
            self.dependencies.insert(package.url(), urls.collect());
            open.extend(needed);
        }
    }
}

/// Of `cargo metadata` what is needed here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// None for what is compiled in; build scripts and tests have theirs.
    kind: Option<String>,
}

impl Metadata {
    fn of(manifest: &str) -> Result<Self> {
        let platform = format!("{}-unknown-linux-gnu", env::consts::ARCH);
        let mut cargo = cargo();
        cargo.args(["metadata", "--format-version=1", "--filter-platform", &platform, "--manifest-path", manifest]);
        serde_json::from_str(&command::output(&mut cargo)?).context("reading cargo metadata")
    }
}

impl Package {
    fn url(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }

    fn component(&self) -> Value {
        let url = self.url();
        // Cargo's older way to write `OR`.
        let licenses = self.license.iter().map(|license| json!({ "expression": license.replace('/', " OR ") }));
        json!({
            "type": "library",
            "bom-ref": url,
            "name": self.name,
            "version": self.version,
            "purl": url,
            "licenses": licenses.collect::<Vec<_>>(),
        })
    }
}

impl Node {
    fn compiled_in(&self) -> impl Iterator<Item = &String> {
        let normal = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
        self.deps.iter().filter(normal).map(|dependency| &dependency.pkg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_list_has_what_its_kernel_programs_are_made_of() {
        let list = of("ztunnel", "1", &["ztunnel", "cni"], &["ebpf/programs/Cargo.toml"]).unwrap();
        for (name, listed) in
            [("rustls", true), ("aya-ebpf", true), ("ambit-cni", true), ("proptest", false), ("kube", false)]
        {
            assert_eq!(list.contains(&format!("\"name\": \"{name}\"")), listed, "{name}");
        }
    }

    #[test]
    fn only_what_is_compiled_in_is_listed() {
        let node = |id: &str, deps: &[(&str, Option<&str>)]| {
            let deps = deps.iter().map(|(pkg, kind)| json!({ "pkg": pkg, "dep_kinds": [{ "kind": kind }] }));
            json!({ "id": id, "deps": deps.collect::<Vec<_>>() })
        };
        let names = ["program", "other", "library", "deep", "tool"];
        let packages =
            names.map(|name| json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0" }));
        let metadata = json!({
            "packages": packages,
            "workspace_members": ["program", "other"],
            "resolve": { "nodes": [
                node("program", &[("library", None), ("tool", Some("build"))]),
                node("library", &[("deep", None), ("program", Some("dev"))]),
                node("deep", &[]),
                node("other", &[("tool", None)]),
                node("tool", &[]),
            ] },
        });
        let mut listed = Listed::default();
        listed.add(&serde_json::from_value(metadata).unwrap(), |name| name == "program");
        let urls: Vec<_> = listed.components.keys().map(String::as_str).collect();
        assert_eq!(urls, ["pkg:cargo/deep@1.0.0", "pkg:cargo/library@1.0.0", "pkg:cargo/program@1.0.0"]);
        assert_eq!(listed.components[urls[0]]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert!(listed.dependencies["pkg:cargo/program@1.0.0"].contains("pkg:cargo/library@1.0.0"));
    }
}
