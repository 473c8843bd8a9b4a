//! Who may depend on whom, from `cargo metadata`. What only a member's tests need is free.

use std::{collections::HashMap, fs, path::PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Report;
use crate::command::{self, cargo};

/// The arrows: a member, and the members it may use. They point down only, so this is the reading
/// order of the tree from the bottom.
const LAYERS: &[(&str, &[&str])] = &[
    ("ambit-ebpf-types", &[]),
    ("ambit-model", &[]),
    ("ambit-resources", &[]),
    ("ambit-sys", &[]),
    ("ambit-jwt", &[]),
    ("ambit-policy", &["ambit-model"]),
    ("ambit-l7", &["ambit-model"]),
    ("ambit-balance", &["ambit-l7", "ambit-model"]),
    ("ambit-compile", &["ambit-l7", "ambit-model", "ambit-resources"]),
    ("ambit-state", &["ambit-model", "ambit-policy"]),
    ("ambit-ebpf-loader", &["ambit-ebpf-types", "ambit-model"]),
    ("ambit-identity", &["ambit-model"]),
    ("ambit-hbone", &["ambit-model"]),
    ("ambit-telemetry", &["ambit-model"]),
    ("ambit-folder", &["ambit-compile", "ambit-resources", "ambit-telemetry"]),
    ("ambit-xds", &["ambit-model"]),
    ("ambit-uplink", &["ambit-identity", "ambit-xds"]),
    ("ambit-names", &["ambit-model", "ambit-sys"]),
    ("ambit-cni", &[]),
    ("ambit-runtime", &["ambit-model", "ambit-telemetry"]),
    ("ztunnel", LIBRARIES),
    ("waypoint", LIBRARIES),
    ("control-plane", LIBRARIES),
    // Small and static: it waits for the agent, and knows nothing itself.
    ("cni", &["ambit-cni"]),
    ("cli", LIBRARIES),
    // Not the loader: xtask builds the kernel object the loader cannot be built without.
    ("ambit-tests", &["ambit-ebpf-types", "ambit-model", "ambit-sys"]),
    ("xtask", &["ambit-resources", "ambit-tests"]),
];

/// What a program that ships may use; never another program.
const LIBRARIES: &[&str] = &[
    "ambit-balance",
    "ambit-cni",
    "ambit-compile",
    "ambit-ebpf-loader",
    "ambit-ebpf-types",
    "ambit-folder",
    "ambit-hbone",
    "ambit-identity",
    "ambit-jwt",
    "ambit-l7",
    "ambit-model",
    "ambit-names",
    "ambit-policy",
    "ambit-resources",
    "ambit-runtime",
    "ambit-state",
    "ambit-sys",
    "ambit-telemetry",
    "ambit-uplink",
    "ambit-xds",
];

/// Members that do no I/O, and so have no use for a runtime, not even through another crate.
const PURE: [&str; 8] = [
    "ambit-model",
    "ambit-jwt",
    "ambit-resources",
    "ambit-policy",
    "ambit-l7",
    "ambit-balance",
    "ambit-compile",
    "ambit-state",
];

/// What the checks read of `cargo metadata`.
#[derive(Deserialize)]
pub(super) struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
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
    /// `None` for a normal dependency, else `build` or `dev`.
    kind: Option<String>,
}

impl DependencyKind {
    fn ships(&self) -> bool {
        self.kind.as_deref() != Some("dev")
    }
}

impl Metadata {
    pub(super) fn read() -> Result<Self> {
        let text = command::output(cargo().args(["metadata", "--format-version=1", "--locked"]))?;
        serde_json::from_str(&text).context("reading cargo metadata")
    }

    fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Each package's id with those of the packages it is built from, tests left out.
    fn arrows(&self) -> HashMap<&str, Vec<&str>> {
        let mut arrows = HashMap::new();
        for node in &self.resolve.nodes {
            let shipped = node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(DependencyKind::ships));
            arrows.insert(&*node.id, shipped.map(|dep| &*dep.pkg).collect());
        }
        arrows
    }
}

pub(super) fn check(metadata: &Metadata, report: &mut Report) {
    arrows(metadata, report);
    pure_members(metadata, report);
    inherited_lints(metadata, report);
}

fn arrows(metadata: &Metadata, report: &mut Report) {
    let names: HashMap<&str, &str> = metadata.members().map(|member| (&*member.id, &*member.name)).collect();
    let arrows = metadata.arrows();
    for member in metadata.members() {
        let name = &member.name;
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| layer == name) else {
            report
                .errors
                .push(format!("{name} has no place among the layers: give it a line in xtask/src/tidy/layers.rs"));
            continue;
        };
        let used = arrows.get(&*member.id).into_iter().flatten().filter_map(|id| names.get(id));
        for dependency in used.filter(|used| !allowed.contains(used)) {
            report.errors.push(format!(
                "{name} may not depend on {dependency}: move what it needs to a layer below both, or hand it in; \
                 the arrows are in xtask/src/tidy/layers.rs"
            ));
        }
    }
}

fn pure_members(metadata: &Metadata, report: &mut Report) {
    let names: HashMap<&str, &str> = metadata.packages.iter().map(|package| (&*package.id, &*package.name)).collect();
    let arrows = metadata.arrows();
    for member in metadata.members().filter(|member| PURE.contains(&&*member.name)) {
        let mut reached = vec![&*member.id];
        let mut next = 0;
        while let Some(id) = reached.get(next).copied() {
            next += 1;
            for below in arrows.get(id).into_iter().flatten() {
                if !reached.contains(below) {
                    reached.push(below);
                }
            }
        }
        if reached.iter().any(|id| names.get(id) == Some(&"tokio")) {
            report.errors.push(format!(
                "{0} does no I/O and may not reach tokio; `cargo tree -e normal,build -p {0} -i tokio` shows the way",
                member.name
            ));
        }
    }
}

fn inherited_lints(metadata: &Metadata, report: &mut Report) {
    for member in metadata.members() {
        let manifest = fs::read_to_string(&member.manifest_path).unwrap_or_default();
        let mut lines = manifest.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
        if lines.next().is_none_or(|line| line.replace(' ', "") != "workspace=true") {
            report.errors.push(format!("{}: add `[lints]` with `workspace = true`", member.manifest_path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{LAYERS, Metadata, Report, arrows, pure_members};

    /// A member with its (dependency, kind) pairs.
    type Member<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);

    /// A workspace of `members`; other packages are foreign.
    fn workspace(members: &[Member<'_>], foreign: &[&str]) -> Metadata {
        let package = |name: &&str| json!({"id": name, "name": name, "manifest_path": ""});
        let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        let dep = |(name, kind): &(&str, Option<&str>)| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let node = |(name, deps): &Member<'_>| -> Value {
            json!({"id": name, "deps": deps.iter().map(dep).collect::<Vec<_>>()})
        };
        serde_json::from_value(json!({
            "packages": names.iter().chain(foreign).map(package).collect::<Vec<_>>(),
            "workspace_members": names,
            "resolve": {"nodes": members.iter().map(node).collect::<Vec<_>>()},
        }))
        .unwrap()
    }

    #[test]
    fn arrows_point_down_only() {
        for (member, dependency, kind, faults) in [
            ("ambit-state", "ambit-policy", None, 0),
            ("ambit-policy", "ambit-state", None, 1),
            ("ambit-policy", "ambit-state", Some("build"), 1),
            ("ambit-policy", "ambit-state", Some("dev"), 0),
            ("ztunnel", "waypoint", None, 1),
            ("waypoint", "ztunnel", None, 1),
            ("ambit-hbone", "ambit-tests", None, 1),
            ("xtask", "ambit-tests", None, 0),
            ("ambit-new", "ambit-model", None, 1),
        ] {
            let metadata = workspace(&[(member, &[(dependency, kind)]), (dependency, &[])], &[]);
            let mut report = Report::default();
            arrows(&metadata, &mut report);
            assert_eq!(report.errors.len(), faults, "{member} -> {dependency} {kind:?}: {:?}", report.errors);
        }
    }

    #[test]
    fn a_pure_member_may_not_reach_tokio_through_another() {
        let members: &[Member<'_>] =
            &[("ambit-state", &[("ambit-sys", None)]), ("ambit-sys", &[("tokio", None)]), ("ambit-model", &[])];
        let mut report = Report::default();
        pure_members(&workspace(members, &["tokio"]), &mut report);
        assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
    }

    #[test]
    fn the_table_has_no_way_up() {
        let place = |name: &str| LAYERS.iter().position(|(layer, _)| *layer == name);
        for (member, allowed) in LAYERS {
            for dependency in *allowed {
                assert!(place(dependency) < place(member), "{member} stands before {dependency}");
                assert!(place(dependency).is_some(), "{dependency} has no line");
            }
        }
    }
}
