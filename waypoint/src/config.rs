//! Settings: read once from the command line and the environment, checked together, grouped by the part that uses
//! them. Nothing else reads the environment.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::GatewayKey;
use clap::{Parser, ValueEnum};

use crate::manifests::Name;
use crate::worker::Limits;

/// Ambit's waypoint: routes requests between workloads of the mesh, under L7 policy.
#[derive(Debug, Parser)]
#[command(name = "waypoint", version)]
pub(crate) struct Args {
    /// Folder of Kubernetes manifests (YAML), watched: the whole configuration of standalone mode.
    #[arg(long, env = "AMBIT_CONFIG", value_name = "DIR")]
    pub(crate) config: PathBuf,

    /// Folder for what must survive a restart: the last valid manifests, and the certificate authority, shared by
    /// the programs of a machine that use the same folder.
    #[arg(long, env = "AMBIT_STATE", value_name = "DIR", default_value = "/var/lib/ambit")]
    pub(crate) state: PathBuf,

    /// The Gateway this waypoint stands for.
    #[arg(long, env = "AMBIT_WAYPOINT", value_name = "NAMESPACE/NAME")]
    pub(crate) name: String,

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

    /// How long requests and connections may go on after SIGTERM, in seconds. A second signal ends them at once.
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
    /// The folder of manifests.
    pub(crate) folder: PathBuf,
    /// Who this waypoint is.
    pub(crate) name: Name,
    /// What the folder is compiled with.
    pub(crate) options: ambit_compile::Options,
    /// Certificates.
    pub(crate) identity: IdentityConfig,
    /// Data path.
    pub(crate) workers: WorkerConfig,
    /// Servers of the process itself.
    pub(crate) servers: ServerConfig,
    /// How long a drain may take.
    pub(crate) drain: Duration,
}

/// Certificates.
#[derive(Debug, Clone)]
pub(crate) struct IdentityConfig {
    /// Where the certificate authority lives.
    pub(crate) state: PathBuf,
    /// First part of every identity.
    pub(crate) trust_domain: Arc<str>,
    /// Lifetime of certificates.
    pub(crate) lifetime: Duration,
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
        let gateway = args.name.split_once('/').filter(|(namespace, name)| is_name(namespace) && is_name(name));
        if gateway.is_none() {
            problems.push(Problem::NotAGateway(args.name.clone()));
        }
        if !args.admin.ip().is_loopback() {
            problems.push(Problem::AdminNotLoopback(args.admin));
        }
        if args.certificate_lifetime_seconds < 2 {
            problems.push(Problem::LifetimeTooShort(args.certificate_lifetime_seconds));
        }
        if !is_name(&args.trust_domain) {
            problems.push(Problem::NotADomain(args.trust_domain.clone()));
        }
        let Some((namespace, name)) = gateway.filter(|_| problems.is_empty()) else {
            return Err(ConfigErrors(problems));
        };
        let trust_domain: Arc<str> = args.trust_domain.as_str().into();
        let gateway = GatewayKey { namespace: namespace.into(), name: name.into() };
        Ok(Self {
            folder: args.config.clone(),
            name: Name { gateway, address: args.address, trust_domain: Arc::clone(&trust_domain) },
            options: ambit_compile::Options {
                trust_domain: Arc::clone(&trust_domain),
                cluster: args.cluster.as_str().into(),
                root_namespace: args.root_namespace.as_str().into(),
                labels: true,
                ..ambit_compile::Options::default()
            },
            identity: IdentityConfig {
                state: args.state.clone(),
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
            drain: Duration::from_secs(args.drain_seconds),
        })
    }
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
    }
}
