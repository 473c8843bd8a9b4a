//! Settings: read once from the command line and the environment, checked together, grouped by the
//! part that uses them. Nothing else reads the environment.

mod control_plane;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ambit_identity::IdentityOptions;
use ambit_runtime::settings_page;
use ambit_uplink::NotHostPort;
use clap::{CommandFactory, Parser, ValueEnum};

use crate::cni::{self, CniArgs};

pub(crate) use control_plane::{AgentPod, ClusterArgs, ControlPlaneConfig};

/// Ambit's node agent: carries the traffic of enrolled pods through mutual TLS, under L4 policy.
#[derive(Debug, Parser)]
#[command(name = "ztunnel", version)]
pub(crate) struct Args {
    /// Folder of Kubernetes manifests (YAML), watched: the whole configuration of standalone mode.
    #[arg(long, env = "AMBIT_CONFIG", value_name = "DIR", required_unless_present_any = ["control_plane", "help_markdown", "uninstall"])]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) control_plane: ClusterArgs,

    #[command(flatten)]
    pub(crate) cni: CniArgs,

    /// Validate the configuration, print what would be in force, and exit: 0 if there is no error.
    #[arg(long)]
    pub(crate) check_config: bool,

    /// Folder for what must survive a restart: the last good configuration, and in standalone mode the
    /// certificate authority, shared by the agents of a machine that use the same folder.
    #[arg(long, env = "AMBIT_STATE", value_name = "DIR", default_value = "/var/lib/ambit")]
    pub(crate) state: PathBuf,

    /// Name of this node: the pods whose spec.nodeName it is are this agent's.
    #[arg(long, env = "AMBIT_NODE", value_name = "NAME", required_unless_present_any = ["help_markdown", "check_config"])]
    pub(crate) node: Option<String>,

    /// Root of the cgroup v2 hierarchy whose processes may be captured [default: where it is mounted]
    #[arg(long, env = "AMBIT_CGROUP", value_name = "DIR")]
    pub(crate) cgroup: Option<PathBuf>,

    /// Folder for pinned kernel objects, on a bpf file system (mounted if there is none). This node's
    /// are in a folder of its own below it.
    #[arg(long, env = "AMBIT_BPFFS", value_name = "DIR", default_value = "/sys/fs/bpf/ambit")]
    pub(crate) bpffs: PathBuf,

    /// Threads that carry traffic. A connection never leaves its thread [default: a quarter of the
    /// cores, at least one]
    #[arg(long, env = "AMBIT_WORKERS", value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,

    /// The trust domain of this mesh: the first part of every identity.
    #[arg(long, env = "AMBIT_TRUST_DOMAIN", value_name = "DOMAIN", default_value = ambit_model::DEFAULT_TRUST_DOMAIN)]
    pub(crate) trust_domain: String,

    /// Namespace whose policies hold for the whole mesh.
    #[arg(long, env = "AMBIT_ROOT_NAMESPACE", value_name = "NAMESPACE", default_value = "istio-system")]
    pub(crate) root_namespace: String,

    /// Name of this cluster, in metrics and baggage.
    #[arg(long, env = "AMBIT_CLUSTER", value_name = "NAME", default_value = "Kubernetes")]
    pub(crate) cluster: String,

    /// Lifetime of workload certificates in seconds; they are renewed at half of it.
    #[arg(long, env = "AMBIT_CERTIFICATE_LIFETIME_SECONDS", value_name = "SECONDS", default_value_t = 86_400)]
    pub(crate) certificate_lifetime_seconds: u64,

    /// How soon host names of endpoints are looked up again, in seconds.
    #[arg(long, env = "AMBIT_DNS_REFRESH_SECONDS", value_name = "SECONDS", default_value_t = 30)]
    pub(crate) dns_refresh_seconds: u64,

    /// How long open connections may go on after SIGTERM, in seconds. A second signal ends them at once.
    #[arg(long, env = "AMBIT_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 30)]
    pub(crate) drain_seconds: u64,

    /// Most open connections of one pod, each way; more are refused.
    #[arg(long, env = "AMBIT_MAX_CONNECTIONS_PER_POD", value_name = "N", default_value_t = 65_536)]
    pub(crate) max_connections_per_pod: usize,

    /// Admin address: state, certificates (no keys), log level, drain. Loopback only.
    #[arg(long, env = "AMBIT_ADMIN", value_name = "ADDRESS", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,

    /// Address of /metrics.
    #[arg(long, env = "AMBIT_METRICS", value_name = "ADDRESS", default_value = "[::]:15020")]
    pub(crate) metrics: SocketAddr,

    /// Address of /healthz/ready.
    #[arg(long, env = "AMBIT_READINESS", value_name = "ADDRESS", default_value = "[::]:15021")]
    pub(crate) readiness: SocketAddr,

    /// Which messages are logged, as in `info,ztunnel=debug`.
    #[arg(long, env = "AMBIT_LOG", value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,

    /// Form of the log, on standard error.
    #[arg(long, env = "AMBIT_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Form,

    /// Form of the access log, on standard output: one line a connection.
    #[arg(long, env = "AMBIT_ACCESS_LOG", value_name = "FORMAT", default_value = "text")]
    pub(crate) access_log: AccessLogForm,

    /// Take everything of this node out of the kernel and out of its pods, and exit.
    #[arg(long)]
    pub(crate) uninstall: bool,

    /// With --uninstall: when all is away, say so on --readiness and wait for SIGTERM.
    #[arg(long, requires = "uninstall")]
    pub(crate) stay: bool,

    /// Print docs/configuration.md and exit.
    #[arg(long, hide = true)]
    pub(crate) help_markdown: bool,
}

/// Form of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Form of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessLogForm {
    /// For people: key=value.
    Text,
    /// One object a line.
    Json,
    /// None.
    Off,
}

/// What is wrong with the settings, all of it at once.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(|problem| format!("\n  {problem}")).collect::<String>())]
pub(crate) struct ConfigErrors(Vec<Problem>);

/// One mistake.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// A setting that is missing.
    #[error("--{0} is missing")]
    Missing(&'static str),
    /// Neither a folder nor a control plane, or both.
    #[error("one of --config and --control-plane must be given, and only one")]
    OneSource,
    /// The control plane's address.
    #[error(transparent)]
    NotHostPort(#[from] NotHostPort),
    /// No cgroup v2 hierarchy.
    #[error("no cgroup v2 hierarchy is mounted on /sys/fs/cgroup or /sys/fs/cgroup/unified: name it with --cgroup")]
    NoCgroup,
    /// The admin pages show everything.
    #[error("--admin {0} is not a loopback address: the admin pages show the whole state to whoever can reach them")]
    AdminNotLoopback(SocketAddr),
    /// Certificates must outlive their own renewal.
    #[error("--certificate-lifetime-seconds {0} is less than 2")]
    LifetimeTooShort(u64),
    /// A name that cannot be part of an identity.
    #[error("--{setting} {value:?} may hold letters, digits, '.', '-' and '_' only")]
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
    /// Where the configuration comes from.
    pub(crate) source: SourceConfig,
    /// The CNI plugin; `None` where this agent does not install it.
    pub(crate) cni: Option<cni::Settings>,
    /// Who and where this agent is.
    pub(crate) node: NodeConfig,
    /// Kernel side.
    pub(crate) capture: CaptureConfig,
    /// Certificates.
    pub(crate) identity: IdentityConfig,
    /// Data path.
    pub(crate) workers: WorkerConfig,
    /// Servers of the agent itself.
    pub(crate) servers: ServerConfig,
    /// How soon host names are looked up again.
    pub(crate) dns_refresh: Duration,
    /// How long a drain may take.
    pub(crate) drain: Duration,
}

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub(crate) enum SourceConfig {
    /// A folder of manifests: standalone mode.
    Folder(PathBuf),
    /// The control plane: cluster mode.
    ControlPlane(ControlPlaneConfig),
}

/// Who and where this agent is.
#[derive(Debug, Clone)]
pub(crate) struct NodeConfig {
    /// The node's name.
    pub(crate) name: String,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// Namespace of mesh-wide policies.
    pub(crate) root_namespace: String,
}

/// Kernel side.
#[derive(Debug, Clone)]
pub(crate) struct CaptureConfig {
    /// Root of the cgroup v2 hierarchy.
    pub(crate) cgroup: PathBuf,
    /// This node's pins.
    pub(crate) pins: PathBuf,
}

/// Certificates.
#[derive(Debug, Clone)]
pub(crate) struct IdentityConfig {
    /// Where the certificate authority lives.
    pub(crate) state: PathBuf,
    /// First part of every identity.
    pub(crate) trust_domain: String,
    /// Lifetime of workload certificates.
    pub(crate) lifetime: Duration,
}

/// Data path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerConfig {
    /// How many threads.
    pub(crate) count: NonZeroUsize,
    /// Most open connections of one pod, each way.
    pub(crate) max_connections_per_pod: usize,
}

/// Servers of the agent itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerConfig {
    /// State, certificates, log level, drain.
    pub(crate) admin: SocketAddr,
    /// Prometheus.
    pub(crate) metrics: SocketAddr,
    /// Readiness.
    pub(crate) readiness: SocketAddr,
}

impl IdentityConfig {
    /// What certificates are like.
    pub(crate) fn options(&self) -> IdentityOptions {
        IdentityOptions { trust_domain: self.trust_domain.as_str().into(), lifetime: self.lifetime }
    }
}

/// docs/configuration.md: every setting, from its definition above.
#[must_use]
pub(crate) fn markdown() -> String {
    settings_page(&Args::command(), "Configuration of the node agent", "ztunnel/src/config.rs")
}

/// This node's folder of pins.
#[must_use]
pub(crate) fn pins(args: &Args, node: &str) -> PathBuf {
    args.bpffs.join(node)
}

impl TryFrom<&Args> for Config {
    type Error = ConfigErrors;

    fn try_from(args: &Args) -> Result<Self, ConfigErrors> {
        let mut problems = Vec::new();
        let node = args.node.clone().unwrap_or_else(|| {
            problems.push(Problem::Missing("node"));
            String::new()
        });
        let source = match (&args.config, ControlPlaneConfig::of(&args.control_plane)) {
            (_, Err(problem)) => {
                problems.push(problem.into());
                None
            }
            (Some(folder), Ok(None)) => Some(SourceConfig::Folder(folder.clone())),
            (None, Ok(Some(control_plane))) => Some(SourceConfig::ControlPlane(control_plane)),
            (None, Ok(None)) | (Some(_), Ok(Some(_))) => {
                problems.push(Problem::OneSource);
                None
            }
        };
        let cgroup = args.cgroup.clone().or_else(ambit_ebpf_loader::default_cgroup).unwrap_or_else(|| {
            problems.push(Problem::NoCgroup);
            PathBuf::new()
        });
        if !args.admin.ip().is_loopback() {
            problems.push(Problem::AdminNotLoopback(args.admin));
        }
        if args.certificate_lifetime_seconds < 2 {
            problems.push(Problem::LifetimeTooShort(args.certificate_lifetime_seconds));
        }
        for (setting, value) in [("node", &node), ("trust-domain", &args.trust_domain)] {
            if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
                problems.push(Problem::NotAName { setting, value: value.clone() });
            }
        }
        let Some(source) = source.filter(|_| problems.is_empty()) else {
            return Err(ConfigErrors(problems));
        };
        let pins = pins(args, &node);
        Ok(Self {
            source,
            cni: args.cni.settings(&args.state),
            node: NodeConfig { name: node, cluster: args.cluster.clone(), root_namespace: args.root_namespace.clone() },
            capture: CaptureConfig { cgroup, pins },
            identity: IdentityConfig {
                state: args.state.clone(),
                trust_domain: args.trust_domain.clone(),
                lifetime: Duration::from_secs(args.certificate_lifetime_seconds),
            },
            workers: WorkerConfig {
                count: args.workers.unwrap_or_else(default_workers),
                max_connections_per_pod: args.max_connections_per_pod,
            },
            servers: ServerConfig { admin: args.admin, metrics: args.metrics, readiness: args.readiness },
            dns_refresh: Duration::from_secs(args.dns_refresh_seconds.max(1)),
            drain: Duration::from_secs(args.drain_seconds),
        })
    }
}

/// A quarter of the cores: the node is its pods', not the mesh's.
fn default_workers() -> NonZeroUsize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(cores / 4).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(arguments: &[&str]) -> Result<Config, ConfigErrors> {
        let base = ["ztunnel", "--config", "/c", "--node", "n", "--cgroup", "/sys/fs/cgroup"];
        Config::try_from(&Args::parse_from(base.iter().chain(arguments)))
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let error = config(&["--admin", "0.0.0.0:1", "--certificate-lifetime-seconds", "1", "--trust-domain", "a/b"]);
        assert_eq!(error.unwrap_err().0.len(), 3);
    }

    #[test]
    fn there_is_one_source() {
        let source = |arguments: &[&str]| {
            let base = ["ztunnel", "--node", "n", "--cgroup", "/sys/fs/cgroup"];
            Args::try_parse_from(base.iter().chain(arguments)).ok().and_then(|args| Config::try_from(&args).ok())
        };
        assert!(source(&[]).is_none());
        assert!(source(&["--config", "/c", "--control-plane", "ambitd:15012"]).is_none());
        assert!(source(&["--control-plane", "ambitd"]).is_none());
        let SourceConfig::ControlPlane(cluster) = source(&["--control-plane", "ambitd:15012"]).unwrap().source else {
            panic!("not the control plane")
        };
        assert_eq!((cluster.uplink.name.as_str(), cluster.netns_dirs.len()), ("ambitd", 3));
    }

    #[test]
    fn defaults_are_good() {
        let config = config(&[]).unwrap();
        assert_eq!(config.capture.pins, PathBuf::from("/sys/fs/bpf/ambit/n"));
        assert_eq!(config.drain, Duration::from_secs(30));
    }
}
