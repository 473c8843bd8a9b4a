//! Settings: read once from the command line and the environment, checked together, grouped by the
//! part that uses them. Nothing else reads the environment.

mod waypoint;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ambit_resources::is_name;
use ambit_runtime::settings_page;
use clap::builder::FalseyValueParser;
use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use crate::uninstall;
use crate::waypoints::deploy;

/// Ambit's control plane: watches Kubernetes, serves discovery to the nodes, issues certificates.
#[derive(Debug, Parser)]
#[command(name = "ambitd", version)]
pub(crate) struct Args {
    /// A kubeconfig file [default: the pod's own service account]
    #[arg(long, env = "AMBIT_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Namespace of the control plane: its Secret, its Lease, its Service.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", default_value = "ambit-system")]
    pub(crate) namespace: String,

    /// Name of this replica, in the Lease and in Events.
    #[arg(long, env = "POD_NAME", value_name = "NAME", default_value = "ambitd")]
    pub(crate) pod_name: String,

    /// Name of the Service that leads to the control plane: its certificates are for it.
    #[arg(long, env = "AMBIT_SERVICE", value_name = "NAME", default_value = "ambitd")]
    pub(crate) service: String,

    /// One more DNS name that the control plane's own certificate is for; may be given several times.
    #[arg(long, env = "AMBIT_DNS_NAMES", value_name = "NAME", value_delimiter = ',')]
    pub(crate) dns_name: Vec<String>,

    /// Service account of node agents, as NAMESPACE/NAME; may be given several times. Nobody else may say what
    /// is enrolled, or ask for the certificates of others [default: ztunnel of the control plane's namespace]
    #[arg(long, env = "AMBIT_NODE_ACCOUNTS", value_name = "ACCOUNT", value_delimiter = ',')]
    pub(crate) node_account: Vec<ServiceAccountName>,

    /// Nothing is meshed any more, whatever labels say: the first step of taking the mesh off a cluster.
    #[arg(long, env = "AMBIT_DISSOLVE", value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub(crate) dissolve: bool,

    /// The trust domain of this mesh: the first part of every identity.
    #[arg(long, env = "AMBIT_TRUST_DOMAIN", value_name = "DOMAIN", default_value = ambit_model::DEFAULT_TRUST_DOMAIN)]
    pub(crate) trust_domain: String,

    /// Namespace whose policies hold for the whole mesh.
    #[arg(long, env = "AMBIT_ROOT_NAMESPACE", value_name = "NAMESPACE", default_value = "istio-system")]
    pub(crate) root_namespace: String,

    /// Name of this cluster, in uids and metrics.
    #[arg(long, env = "AMBIT_CLUSTER", value_name = "NAME", default_value = "Kubernetes")]
    pub(crate) cluster: String,

    /// Longest lifetime of workload certificates in seconds; who asks for longer gets this.
    #[arg(long, env = "AMBIT_CERTIFICATE_LIFETIME_SECONDS", value_name = "SECONDS", default_value_t = 86_400)]
    pub(crate) certificate_lifetime_seconds: u64,

    /// How long open streams may go on after SIGTERM, in seconds. A second signal ends them at once.
    #[arg(long, env = "AMBIT_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 5)]
    pub(crate) drain_seconds: u64,

    /// Address of the nodes' services (discovery, certificates, reports), over TLS.
    #[arg(long, env = "AMBIT_ADDRESS", value_name = "ADDRESS", default_value = "[::]:15012")]
    pub(crate) address: SocketAddr,

    /// Address of the validating webhook, over TLS.
    #[arg(long, env = "AMBIT_WEBHOOK_ADDRESS", value_name = "ADDRESS", default_value = "[::]:15017")]
    pub(crate) webhook_address: SocketAddr,

    /// Name of the ValidatingWebhookConfiguration whose caBundle is kept right [default: none is]
    #[arg(long, env = "AMBIT_WEBHOOK", value_name = "NAME")]
    pub(crate) webhook: Option<String>,

    /// Waypoints.
    #[command(flatten)]
    pub(crate) waypoint: waypoint::WaypointArgs,

    /// Admin address: state, log level, drain. Loopback only.
    #[arg(long, env = "AMBIT_ADMIN", value_name = "ADDRESS", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,

    /// Address of /metrics.
    #[arg(long, env = "AMBIT_METRICS", value_name = "ADDRESS", default_value = "[::]:15014")]
    pub(crate) metrics: SocketAddr,

    /// Address of /ready.
    #[arg(long, env = "AMBIT_READINESS", value_name = "ADDRESS", default_value = "[::]:8080")]
    pub(crate) readiness: SocketAddr,

    /// Which messages are logged, as in `info,ambitd=debug`.
    #[arg(long, env = "AMBIT_LOG", value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,

    /// Form of the log, on standard error.
    #[arg(long, env = "AMBIT_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Form,

    /// Print docs/control-plane.md and exit.
    #[arg(long, hide = true)]
    pub(crate) help_markdown: bool,

    /// Something else than to run.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Something else than to run.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Takes the mesh off every node, before its objects are deleted.
    Uninstall(uninstall::Args),
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// A service account's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceAccountName {
    /// Namespace.
    pub(crate) namespace: String,
    /// Name.
    pub(crate) name: String,
}

/// A text that names no service account.
#[derive(Debug, thiserror::Error)]
#[error("expected NAMESPACE/NAME")]
pub(crate) struct NoServiceAccount;

impl FromStr for ServiceAccountName {
    type Err = NoServiceAccount;

    fn from_str(text: &str) -> Result<Self, NoServiceAccount> {
        let (namespace, name) = text.split_once('/').ok_or(NoServiceAccount)?;
        let valid = is_name(namespace, false) && is_name(name, true);
        valid.then(|| Self { namespace: namespace.to_owned(), name: name.to_owned() }).ok_or(NoServiceAccount)
    }
}

/// What is wrong with the settings, all of it at once.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(|problem| format!("\n  {problem}")).collect::<String>())]
pub(crate) struct ConfigErrors(Vec<Problem>);

/// One mistake.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// The admin pages show everything.
    #[error("--admin {0} is not a loopback address: the admin pages show the whole state to whoever can reach them")]
    AdminNotLoopback(SocketAddr),
    /// Certificates must outlive their own renewal.
    #[error("--certificate-lifetime-seconds {0} is less than 2")]
    LifetimeTooShort(u64),
    /// Not what a container may have.
    #[error("--waypoint-resources {0:?} is not an object in JSON")]
    Resources(String),
    /// A name that cannot be part of an identity, a uid or a path of the API.
    #[error("--{setting} {value:?} must hold letters, digits, '.', '-' and '_', and nothing else")]
    NotAName {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// A kubeconfig file; none for the pod's own service account.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// What no object says.
    pub(crate) mesh: MeshConfig,
    /// Which replica of which control plane this is.
    pub(crate) replica: ReplicaConfig,
    /// Certificates.
    pub(crate) authority: AuthorityConfig,
    /// Where is listened.
    pub(crate) servers: ServerConfig,
    /// What waypoints are deployed with; none are where there is none.
    pub(crate) waypoints: Option<deploy::Settings>,
    /// Name of the ValidatingWebhookConfiguration to keep right.
    pub(crate) webhook: Option<String>,
    /// How long a drain may take.
    pub(crate) drain: Duration,
}

/// What no object says.
#[derive(Debug, Clone)]
pub(crate) struct MeshConfig {
    /// First part of every identity.
    pub(crate) trust_domain: Arc<str>,
    /// The cluster's name.
    pub(crate) cluster: Arc<str>,
    /// Namespace of mesh-wide policies.
    pub(crate) root_namespace: Arc<str>,
    /// Whether nothing is meshed any more.
    pub(crate) dissolve: bool,
}

/// Which replica of which control plane this is.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaConfig {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its pod.
    pub(crate) pod: String,
}

/// Certificates.
#[derive(Debug, Clone)]
pub(crate) struct AuthorityConfig {
    /// Namespace of the Secret.
    pub(crate) namespace: String,
    /// Longest lifetime of a workload's certificate.
    pub(crate) lifetime: Duration,
    /// What the control plane's own certificate is for.
    pub(crate) dns_names: Vec<String>,
    /// The only accounts that may report enrolment, or ask for the certificates of others.
    pub(crate) node_accounts: Vec<ServiceAccountName>,
}

/// Where is listened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerConfig {
    /// Discovery, certificates, reports.
    pub(crate) nodes: SocketAddr,
    /// Validating webhook.
    pub(crate) webhook: SocketAddr,
    /// State, log level, drain.
    pub(crate) admin: SocketAddr,
    /// Prometheus.
    pub(crate) metrics: SocketAddr,
    /// Readiness.
    pub(crate) readiness: SocketAddr,
}

impl TryFrom<&Args> for Config {
    type Error = ConfigErrors;

    fn try_from(args: &Args) -> Result<Self, ConfigErrors> {
        let mut problems = problems(args);
        let waypoints = waypoint::settings(args).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if !problems.is_empty() {
            return Err(ConfigErrors(problems));
        }
        Ok(Self {
            kubeconfig: args.kubeconfig.clone(),
            mesh: MeshConfig {
                trust_domain: args.trust_domain.as_str().into(),
                cluster: args.cluster.as_str().into(),
                root_namespace: args.root_namespace.as_str().into(),
                dissolve: args.dissolve,
            },
            replica: ReplicaConfig { namespace: args.namespace.clone(), pod: args.pod_name.clone() },
            authority: AuthorityConfig {
                namespace: args.namespace.clone(),
                lifetime: Duration::from_secs(args.certificate_lifetime_seconds),
                dns_names: dns_names(args),
                node_accounts: node_accounts(args),
            },
            servers: ServerConfig {
                nodes: args.address,
                webhook: args.webhook_address,
                admin: args.admin,
                metrics: args.metrics,
                readiness: args.readiness,
            },
            waypoints,
            webhook: args.webhook.clone().filter(|name| !name.is_empty()),
            drain: Duration::from_secs(args.drain_seconds),
        })
    }
}

fn problems(args: &Args) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !args.admin.ip().is_loopback() {
        problems.push(Problem::AdminNotLoopback(args.admin));
    }
    if args.certificate_lifetime_seconds < 2 {
        problems.push(Problem::LifetimeTooShort(args.certificate_lifetime_seconds));
    }
    let names = [
        ("namespace", &args.namespace),
        ("pod-name", &args.pod_name),
        ("service", &args.service),
        ("trust-domain", &args.trust_domain),
        ("root-namespace", &args.root_namespace),
        ("cluster", &args.cluster),
    ];
    let more = args.dns_name.iter().map(|name| ("dns-name", name));
    for (setting, value) in names.into_iter().chain(more) {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if value.is_empty() || !value.bytes().all(allowed) {
            problems.push(Problem::NotAName { setting, value: value.clone() });
        }
    }
    problems
}

/// The Service's names as clients in and out of its namespace may write them, then the user's own.
fn dns_names(args: &Args) -> Vec<String> {
    let Args { service, namespace, .. } = args;
    let own = [format!("{service}.{namespace}.svc"), format!("{service}.{namespace}"), service.clone()];
    let own = own.into_iter().chain([format!("{service}.{namespace}.svc.cluster.local")]);
    own.chain(args.dns_name.iter().cloned()).collect()
}

fn node_accounts(args: &Args) -> Vec<ServiceAccountName> {
    if args.node_account.is_empty() {
        vec![ServiceAccountName { namespace: args.namespace.clone(), name: "ztunnel".to_owned() }]
    } else {
        args.node_account.clone()
    }
}

/// docs/control-plane.md: every setting, from its definition above.
#[must_use]
pub(crate) fn markdown() -> String {
    use clap::CommandFactory;

    settings_page(&Args::command(), "Configuration of the control plane", "control-plane/src/config.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Result<Config, ConfigErrors> {
        Config::try_from(&Args::parse_from(["ambitd"].iter().chain(arguments)))
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let error = config(&[
            "--admin",
            "0.0.0.0:1",
            "--certificate-lifetime-seconds",
            "1",
            "--trust-domain",
            "a/b",
            "--dns-name",
            "good.example,b@d",
        ]);
        assert_eq!(error.unwrap_err().0.len(), 4);
    }

    #[test]
    fn defaults_are_good() {
        let config = config(&["--dns-name", "istiod.istio-system.svc"]).unwrap();
        let names =
            ["ambitd.ambit-system.svc", "ambitd.ambit-system", "ambitd", "ambitd.ambit-system.svc.cluster.local"];
        assert_eq!(config.authority.dns_names[..4], names);
        assert_eq!(config.authority.dns_names[4], "istiod.istio-system.svc");
        assert_eq!(config.authority.node_accounts, ["ambit-system/ztunnel".parse().unwrap()]);
        assert!(!config.mesh.dissolve && config.webhook.is_none());
    }
}
