//! Settings: read once from the command line and the environment, checked together, grouped by the part that uses
//! them. Nothing else reads the environment.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ambit_identity::IdentityOptions;
use ambit_model::{GatewayKey, WorkloadUid};
use ambit_runtime::settings_page;
use ambit_uplink::{ControlPlaneArgs, ControlPlaneSettings, NotHostPort, OwnPod};
use clap::{CommandFactory, Parser, ValueEnum};

use crate::manifests::Name;
use crate::worker::Limits;

/// Ambit's waypoint: routes requests between workloads of the mesh, under L7 policy.
#[derive(Debug, Parser)]
#[command(name = "waypoint", version)]
pub(crate) struct Args {
    /// Folder of Kubernetes manifests (YAML), watched: the whole configuration of standalone mode.
    #[arg(long, env = "AMBIT_CONFIG", value_name = "DIR", required_unless_present_any = ["control_plane", "help_markdown"])]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) control_plane: ControlPlaneArgs,

    /// Name of the waypoint's own pod, in cluster mode.
    #[arg(long, env = "POD_NAME", value_name = "NAME", default_value = "waypoint")]
    pub(crate) pod_name: String,

    /// Name of its node, for the control plane's log.
    #[arg(long, env = "AMBIT_NODE", value_name = "NAME", default_value = "")]
    pub(crate) node: String,

    /// Validate the folder, print what would be in force, and exit: 0 if there is no error.
    #[arg(long)]
    pub(crate) check_config: bool,

    /// Folder for what must survive a restart in standalone mode: the last valid manifests, and the certificate authority, shared by
    /// the programs of a machine that use the same folder.
    #[arg(long, env = "AMBIT_STATE", value_name = "DIR", default_value = "/var/lib/ambit")]
    pub(crate) state: PathBuf,

    /// The Gateway this waypoint stands for.
    #[arg(long, env = "AMBIT_WAYPOINT", value_name = "NAMESPACE/NAME", required_unless_present = "help_markdown")]
    pub(crate) name: Option<String>,

    /// Its own address, where its service has several endpoints.
    #[arg(long, env = "AMBIT_ADDRESS", value_name = "IP")]
    pub(crate) address: Option<IpAddr>,

    /// Address on which tunnels are taken.
    #[arg(long, env = "AMBIT_LISTEN", value_name = "ADDRESS", default_value = "[::]:15008")]
    pub(crate) listen: SocketAddr,

    /// Threads that carry traffic. A connection never leaves its thread [default: the cores]
    #[arg(long, env = "AMBIT_WORKERS", value_name = "N")]
    pub(crate) workers: Option<NonZeroUsize>,

    /// Most tunnels of one thread; more are refused.
    #[arg(long, env = "AMBIT_MAX_TUNNELS", value_name = "N", default_value_t = 16_384)]
    pub(crate) max_tunnels: usize,

    /// How long a client of a port without protocol may take for its first bytes, in milliseconds, before it counts
    /// as one whose server speaks first.
    #[arg(long, env = "AMBIT_PROTOCOL_DETECTION_MILLISECONDS", value_name = "MS", default_value_t = 100)]
    pub(crate) protocol_detection_milliseconds: u64,

    /// The trust domain of this mesh: the first part of every identity.
    #[arg(long, env = "AMBIT_TRUST_DOMAIN", value_name = "DOMAIN", default_value = ambit_model::DEFAULT_TRUST_DOMAIN)]
    pub(crate) trust_domain: String,

    /// Namespace whose objects hold for the whole mesh.
    #[arg(long, env = "AMBIT_ROOT_NAMESPACE", value_name = "NAMESPACE", default_value = "istio-system")]
    pub(crate) root_namespace: String,

    /// Name of this cluster, in metrics.
    #[arg(long, env = "AMBIT_CLUSTER", value_name = "NAME", default_value = "Kubernetes")]
    pub(crate) cluster: String,

    /// Lifetime of the waypoint's certificate in seconds; it is renewed at half of it.
    #[arg(long, env = "AMBIT_CERTIFICATE_LIFETIME_SECONDS", value_name = "SECONDS", default_value_t = 86_400)]
    pub(crate) certificate_lifetime_seconds: u64,

    /// How soon host names of endpoints are looked up again, in seconds.
    #[arg(long, env = "AMBIT_DNS_REFRESH_SECONDS", value_name = "SECONDS", default_value_t = 30)]
    pub(crate) dns_refresh_seconds: u64,

    /// How long all goes on after SIGTERM as before, but for readiness and for connections that HTTP/1 keeps open, in
    /// seconds: until the clients' agents know. A second signal ends it at once.
    #[arg(long, env = "AMBIT_NOTICE_SECONDS", value_name = "SECONDS", default_value_t = 0)]
    pub(crate) notice_seconds: u64,

    /// How long requests and connections may go on after that, in seconds. A second signal ends them at once.
    #[arg(long, env = "AMBIT_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 30)]
    pub(crate) drain_seconds: u64,

    /// Admin address: state, routes, explanations, log level, drain. Loopback only.
    #[arg(long, env = "AMBIT_ADMIN", value_name = "ADDRESS", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,

    /// Address of /metrics.
    #[arg(long, env = "AMBIT_METRICS", value_name = "ADDRESS", default_value = "[::]:15020")]
    pub(crate) metrics: SocketAddr,

    /// Address of /healthz/ready.
    #[arg(long, env = "AMBIT_READINESS", value_name = "ADDRESS", default_value = "[::]:15021")]
    pub(crate) readiness: SocketAddr,

    /// Which messages are logged, as in `info,waypoint=debug`.
    #[arg(long, env = "AMBIT_LOG", value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,

    /// Form of the log, on standard error.
    #[arg(long, env = "AMBIT_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Form,

    /// Form of the access log, on standard output: one line a request, or a connection that is no HTTP.
    #[arg(long, env = "AMBIT_ACCESS_LOG", value_name = "FORMAT", default_value = "text")]
    pub(crate) access_log: AccessLogForm,

    /// Print docs/waypoint.md and exit.
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
    /// For people.
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
    /// Neither a folder nor a control plane, or both.
    #[error("one of --config and --control-plane must be given, and only one")]
    OneSource,
    /// The control plane's address.
    #[error(transparent)]
    NotHostPort(#[from] NotHostPort),
    /// Not the name of a Gateway.
    #[error("--name {0:?} is not of the form namespace/name")]
    NotAGateway(String),
    /// The admin pages show everything.
    #[error("--admin {0} is not a loopback address: the admin pages show the whole state to whoever can reach them")]
    AdminNotLoopback(SocketAddr),
    /// Certificates must outlive their own renewal.
    #[error("--certificate-lifetime-seconds {0} is less than 2")]
    LifetimeTooShort(u64),
    /// A name that cannot be part of an identity.
    #[error("--trust-domain {0:?} may hold letters, digits, '.', '-' and '_' only")]
    NotADomain(String),
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where the configuration comes from.
    pub(crate) source: SourceConfig,
    /// Who this waypoint is.
    pub(crate) name: Name,
    /// What the objects are compiled with.
    pub(crate) options: ambit_compile::Options,
    /// Certificates.
    pub(crate) identity: IdentityOptions,
    /// Data path.
    pub(crate) workers: WorkerConfig,
    /// Servers of the process itself.
    pub(crate) servers: ServerConfig,
    /// How soon host names are looked up again.
    pub(crate) dns_refresh: Duration,
    /// How long all goes on before the drain.
    pub(crate) notice: Duration,
    /// How long a drain may take.
    pub(crate) drain: Duration,
}

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub(crate) enum SourceConfig {
    /// A folder of manifests: standalone mode.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Where the certificate authority lives, and what must survive a restart.
        state: PathBuf,
    },
    /// The control plane: cluster mode; and the pod this is.
    ControlPlane(ControlPlaneSettings, OwnPod),
}

/// Data path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkerConfig {
    /// How many threads.
    pub(crate) count: NonZeroUsize,
    /// Where tunnels are taken.
    pub(crate) listen: SocketAddr,
    /// What each may have open.
    pub(crate) limits: Limits,
}

/// Servers of the process itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerConfig {
    /// State, routes, explanations, log level, drain.
    pub(crate) admin: SocketAddr,
    /// Prometheus.
    pub(crate) metrics: SocketAddr,
    /// Readiness.
    pub(crate) readiness: SocketAddr,
}

impl TryFrom<&Args> for Config {
    type Error = ConfigErrors;

    fn try_from(args: &Args) -> Result<Self, ConfigErrors> {
        let mut problems = Vec::new();
        let is_name =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        let name = args.name.as_deref().unwrap_or_default();
        let gateway = name.split_once('/').filter(|(namespace, name)| is_name(namespace) && is_name(name));
        if gateway.is_none() {
            problems.push(Problem::NotAGateway(name.to_owned()));
        }
        let source = source(args, gateway.map_or("", |(namespace, _)| namespace));
        let source = source.map_err(|problem| problems.push(problem)).ok();
        if !args.admin.ip().is_loopback() {
            problems.push(Problem::AdminNotLoopback(args.admin));
        }
        if args.certificate_lifetime_seconds < 2 {
            problems.push(Problem::LifetimeTooShort(args.certificate_lifetime_seconds));
        }
        if !is_name(&args.trust_domain) {
            problems.push(Problem::NotADomain(args.trust_domain.clone()));
        }
        let (Some((namespace, name)), Some(source), []) = (gateway, source, &*problems) else {
            return Err(ConfigErrors(problems));
        };
        let pod = matches!(source, SourceConfig::ControlPlane(..));
        let pod = pod.then(|| WorkloadUid::pod(&args.cluster, namespace, &args.pod_name));
        let trust_domain: Arc<str> = args.trust_domain.as_str().into();
        let gateway = GatewayKey { namespace: namespace.into(), name: name.into() };
        Ok(Self {
            source,
            name: Name { gateway, pod, address: args.address, trust_domain: Arc::clone(&trust_domain) },
            options: ambit_compile::Options {
                trust_domain: Arc::clone(&trust_domain),
                cluster: args.cluster.as_str().into(),
                root_namespace: args.root_namespace.as_str().into(),
                labels: true,
                ..ambit_compile::Options::default()
            },
            identity: IdentityOptions {
                trust_domain,
                lifetime: Duration::from_secs(args.certificate_lifetime_seconds),
            },
            workers: WorkerConfig {
                count: args.workers.unwrap_or_else(cores),
                listen: args.listen,
                limits: Limits {
                    max_tunnels: args.max_tunnels,
                    sniffing: Duration::from_millis(args.protocol_detection_milliseconds),
                },
            },
            servers: ServerConfig { admin: args.admin, metrics: args.metrics, readiness: args.readiness },
            dns_refresh: Duration::from_secs(args.dns_refresh_seconds.max(1)),
            notice: Duration::from_secs(args.notice_seconds),
            drain: Duration::from_secs(args.drain_seconds),
        })
    }
}

/// The one source there is, in cluster mode for a pod of this namespace.
fn source(args: &Args, namespace: &str) -> Result<SourceConfig, Problem> {
    match (&args.config, args.control_plane.settings()?) {
        (Some(path), None) => Ok(SourceConfig::Folder { path: path.clone(), state: args.state.clone() }),
        (None, Some(settings)) => {
            let (name, namespace) = (args.pod_name.clone(), namespace.to_owned());
            let ip = args.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            let pod = OwnPod { name, namespace, ip, node: args.node.clone(), cluster: args.cluster.clone() };
            Ok(SourceConfig::ControlPlane(settings, pod))
        }
        (None, None) | (Some(_), Some(_)) => Err(Problem::OneSource),
    }
}

/// docs/waypoint.md: every setting, from its definition above.
#[must_use]
pub(crate) fn markdown() -> String {
    settings_page(&Args::command(), "Configuration of waypoints", "waypoint/src/config.rs")
}

/// A variable of the environment that an object names.
#[expect(clippy::disallowed_methods, reason = "here, as all of the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    // A name with these would be a panic, not an error.
    let is_name = !name.is_empty() && !name.contains(['=', '\0']);
    is_name.then(|| std::env::var(name).ok()).flatten()
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_are_told_at_once() {
        let args = |arguments: &[&str]| Args::parse_from(["waypoint", "--config", "/c"].iter().chain(arguments));
        let wrong = args(&["--name", "shop", "--admin", "0.0.0.0:1", "--certificate-lifetime-seconds", "1"]);
        assert_eq!(Config::try_from(&wrong).unwrap_err().0.len(), 3);
        let good = Config::try_from(&args(&["--name", "shop/waypoint"])).unwrap();
        assert_eq!(good.name.service().to_string(), "shop/waypoint.shop.svc.cluster.local");
        assert!(good.name.pod.is_none());
    }

    #[test]
    fn there_is_one_source() {
        let source = |arguments: &[&str]| {
            let args = Args::try_parse_from(["waypoint", "--name", "shop/waypoint"].iter().chain(arguments));
            args.ok().and_then(|args| Config::try_from(&args).ok())
        };
        assert!(source(&[]).is_none());
        assert!(source(&["--config", "/c", "--control-plane", "ambitd:15012"]).is_none());
        assert!(source(&["--control-plane", "ambitd"]).is_none());
        let config = source(&["--control-plane", "ambitd:15012", "--pod-name", "waypoint-1"]).unwrap();
        let SourceConfig::ControlPlane(settings, pod) = config.source else { panic!("not the control plane") };
        assert_eq!((&*settings.name, &*pod.namespace), ("ambitd", "shop"));
        assert_eq!(config.name.pod.unwrap().as_str(), "Kubernetes//Pod/shop/waypoint-1");
    }
}
