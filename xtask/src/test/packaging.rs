//! The chart: its own rules, each switch, values of the wrong type, and what is rendered from it.

use anyhow::{Context, Result, bail, ensure};

use super::Tally;
use crate::{
    command::{self, program},
    manifests::{self, CHART, template},
};

/// One test a switch and a rule.
pub(super) fn check() -> Tally {
    let rules = [
        ("lint", lint as fn() -> Result<()>),
        ("the version is the programs'", is_of_this_version),
        ("manifests", || manifests::run(&manifests::Args { check: true })),
        ("nobody's permissions for the agent", agent_has_no_permissions),
        ("each permission has its reason", permissions_have_reasons),
    ];
    let rules = rules.into_iter().map(|(name, rule)| told(name, rule()));
    let switches = SWITCHES.iter().map(|switch| told(switch.set, switch.check()));
    let refused = REFUSED.iter().map(|set| told(&format!("{set} is refused"), is_refused(set)));
    rules.chain(switches).chain(refused).sum()
}

fn told(name: &str, outcome: Result<()>) -> Tally {
    println!("chart: {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
    if let Err(error) = &outcome {
        eprintln!("{error:#}");
    }
    Tally::one(outcome.is_ok())
}

fn lint() -> Result<()> {
    command::run(program(manifests::helm()?).args(["lint", "--strict", "--quiet", CHART]))
}

/// The chart's images are by default those `cargo xtask images` makes.
fn is_of_this_version() -> Result<()> {
    let tag = format!(":{}\"", env!("CARGO_PKG_VERSION"));
    let rendered = template(&[])?;
    ensure!(rendered.matches("image: ").count() == rendered.matches(&tag).count(), "an image is not {tag}");
    Ok(())
}

/// What must be in the output with a value set, and not without.
struct Switch {
    set: &'static str,
    gives: &'static str,
    /// Whether it takes away what is there by default instead.
    takes: bool,
}

const fn gives(set: &'static str, gives: &'static str) -> Switch {
    Switch { set, gives, takes: false }
}

const fn takes(set: &'static str, gives: &'static str) -> Switch {
    Switch { set, gives, takes: true }
}

const SWITCHES: [Switch; 25] = [
    gives("image.registry=r.example.com/mesh", "image: \"r.example.com/mesh/ambit/ztunnel:"),
    gives("image.tag=t1", "image: \"ambit/ambitd:t1\""),
    gives("image.pullSecrets={key}", "imagePullSecrets:\n        - name: key"),
    gives("trustDomain=mesh.example", "- --trust-domain=mesh.example"),
    gives("clusterName=east", "- --cluster=east"),
    gives("rootNamespace=mesh", "- --root-namespace=mesh"),
    gives("certificates.lifetimeSeconds=60", "- --certificate-lifetime-seconds=60\n"),
    gives("log.access=off", "- --access-log=off"),
    takes("ambitd.replicas=1", "kind: PodDisruptionBudget"),
    takes("ambitd.podDisruptionBudget.enabled=false", "kind: PodDisruptionBudget"),
    gives("ambitd.tolerations[0].key=gpu", "- key: gpu"),
    takes("ambitd.affinity.nodeAffinity.x=y", "podAntiAffinity:"),
    gives("ambitd.extraArgs={--dns-name=a.example}", "- \"--dns-name=a.example\""),
    gives("ztunnel.workers=3", "- --workers=3\n"),
    gives("ztunnel.drainSeconds=45", "terminationGracePeriodSeconds: 60"),
    gives("ztunnel.podLabels.team=mesh", "team: mesh"),
    gives("ztunnel.stateDir=/data/mesh", "\"path\": \"/data\""),
    takes("crds.install=false", "kind: CustomResourceDefinition"),
    takes("cni.enabled=false", "--cni-"),
    takes("waypoint.deploy=false", "--waypoint-image=ambit/waypoint:"),
    gives("waypoint.maxReplicas=9", "--waypoint-max-replicas=9"),
    takes("webhook.enabled=false", "kind: ValidatingWebhookConfiguration"),
    gives("monitoring.podMonitor=true", "kind: PodMonitor"),
    gives("monitoring.serviceMonitor=true", "kind: ServiceMonitor"),
    gives("networkPolicy.enabled=true", "kind: NetworkPolicy"),
];

impl Switch {
    fn check(&self) -> Result<()> {
        let set = template(&["--set", self.set])?.contains(self.gives);
        let unset = template(&[])?.contains(self.gives);
        ensure!(set != self.takes, "with {} there is {} `{}`", self.set, if set { "still" } else { "no" }, self.gives);
        ensure!(unset == self.takes, "`{}` says nothing about {}", self.gives, self.set);
        Ok(())
    }
}

/// Values that values.schema.json does not allow.
const REFUSED: [&str; 10] = [
    "ambitd.replicas=0",
    "ambitd.replica=2",
    "certificates.lifetimeSeconds=1d",
    "cni.enabled=yes please",
    "image.pullPolicy=Sometimes",
    "log.format=xml",
    "trustDomain=a/b",
    "webhook.timeoutSeconds=31",
    "ztunnel.extraArgs={config}",
    // Nothing could remove it at the end.
    "ztunnel.stateDir=/ambit",
];

fn is_refused(set: &str) -> Result<()> {
    match template(&["--set", set]) {
        Ok(_) => bail!("it is not"),
        Err(error) if error.to_string().contains("don't meet the specifications of the schema") => Ok(()),
        Err(error) => Err(error).context("it fails, but not for its type"),
    }
}

/// A binding is what gives permissions; none may name the agent's account.
fn agent_has_no_permissions() -> Result<()> {
    let rendered = template(&[])?;
    let mut bindings = rendered.split("\n---\n").filter(|object| object.contains("subjects:"));
    ensure!(!bindings.any(|binding| binding.contains("ztunnel")), "a binding names ztunnel");
    Ok(())
}

/// Each rule in a Role follows a comment; neither verbs nor kinds are given as `*`.
fn permissions_have_reasons() -> Result<()> {
    let rendered = template(&[])?;
    for role in rendered.split("\n---\n").filter(|object| object.contains("\nrules:\n") && object.contains("Role\n")) {
        ensure!(!role.contains('*'), "a role gives everything of something:\n{role}");
        let mut before = "";
        for line in role.lines() {
            let reasoned = before.trim_start().starts_with('#') || before.trim_start().starts_with("verbs:");
            ensure!(!line.starts_with("  - apiGroups:") || reasoned, "a rule without a reason, after `{before}`");
            before = line;
        }
    }
    Ok(())
}
