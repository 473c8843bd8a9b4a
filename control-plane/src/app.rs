//! The control plane put together: what is started in which order, and how it stops.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ambit_identity::{CaOptions, serving_config};
use ambit_runtime::{Drain, Readiness, Signals, Stop, spawn};
use ambit_telemetry::{LevelControl, Metrics};
use ambit_xds::proto::certificate::istio_certificate_service_server::IstioCertificateServiceServer;
use ambit_xds::proto::node::node_reports_server::NodeReportsServer;
use ambit_xds::{Counters, Discovery};
use anyhow::Context;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::accept::accept;
use crate::agents::{Agents, Callers};
use crate::annotator::Annotator;
use crate::authority::{self, Authority};
use crate::certificates::{CertificateOptions, Certificates};
use crate::config::{AuthorityConfig, Config, ReplicaConfig};
use crate::credentials::Credentials;
use crate::gauges::Gauges;
use crate::kinds::WATCHED;
use crate::leader::Election;
use crate::pods::Pods;
use crate::reports::{self, Reports};
use crate::servers::{self, Shown};
use crate::tokens::Tokens;
use crate::watch::Watch;
use crate::waypoints::Review;
use crate::waypoints::deployer::Deployer;
use crate::world::{self, Message, World};
use crate::{kept, nodes, pod_events, statuses, uninstall, webhook};

/// What a token of a caller must be made for.
const AUDIENCE: &str = "istio-ca";
/// How long answers that are being made when the process is told to stop may take.
const GRACE: Duration = Duration::from_secs(1);
/// Reports that may wait for the API server.
const REPORTS: usize = 1024;
/// Bytes of a request: a signing request has about one thousand.
const MAX_MESSAGE: usize = 64 << 10;

/// How the process is told to stop, and says whether it is ready.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// What is open.
    pub(crate) drain: Drain,
    /// What must hold before others may come.
    pub(crate) readiness: Readiness,
    /// Cancelled by whoever asks the process to stop.
    pub(crate) stop: CancellationToken,
}

/// Runs the control plane until it is told to stop.
pub(crate) async fn run(config: Config, level: LevelControl) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot handle signals")?;
    let control = Control::default();
    let client = client(&config).await?;
    let mut metrics = Metrics::of_process("ambitd", env!("CARGO_PKG_VERSION"));
    let counters = Arc::<Counters>::default();
    let gauges = Gauges::register(&mut metrics, Arc::clone(&counters));
    let pods = Arc::new(Pods::new(Arc::clone(&config.mesh.cluster), Arc::clone(&config.mesh.trust_domain)));
    let seen = world::Outlet {
        cache: Arc::default(),
        pods,
        gateways: Arc::default(),
        findings: Arc::default(),
        review: Arc::default(),
        credentials: Arc::default(),
        gauges,
    };
    // First of all, so that a start that takes long says why.
    let shown = Shown { level, metrics: Arc::new(metrics), world: seen.clone() };
    servers::start(&config.servers, shown, &control)?;

    let condition = control.readiness.condition("authority");
    let options = CaOptions::new(Arc::clone(&config.mesh.trust_domain));
    let counted = seen.gauges.authority.clone();
    let authority = tokio::select! {
        authority = authority::open(client.clone(), &config.authority.namespace, options, condition, counted) => authority,
        // Without the API server there may be none for long.
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    let parts = Parts { config, client, authority, seen, counters, control };
    let (world, known) = parts.start_world();
    parts.serve_nodes(world, known.clone())?;
    parts.serve_webhook()?;
    parts.keep_cluster();
    parts.lead(known);

    let Control { readiness, drain, stop } = &parts.control;
    let stop = Stop { readiness, drain, notice: Duration::ZERO, deadline: parts.config.drain, requested: stop.clone() };
    let outcome = stop.run(async || signals.next().await, || ()).await;
    Ok(outcome.into())
}

/// `ambitd uninstall`.
pub(crate) async fn uninstall(config: &Config, args: &uninstall::Args) -> anyhow::Result<ExitCode> {
    uninstall::run(client(config).await?, args).await?;
    Ok(ExitCode::SUCCESS)
}

async fn client(config: &Config) -> anyhow::Result<Client> {
    let mut api = match &config.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).context("cannot read the kubeconfig")?;
            let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
            config.context("cannot use the kubeconfig")?
        }
        None => kube::Config::incluster().context("not in a cluster, and no --kubeconfig")?,
    };
    api.default_namespace.clone_from(&config.replica.namespace);
    Client::try_from(api).context("cannot make a client of the API server")
}

/// What the parts are made of.
struct Parts {
    config: Config,
    client: Client,
    authority: Authority,
    seen: world::Outlet,
    counters: Arc<Counters>,
    control: Control,
}

impl Parts {
    /// Starts the world and the watches it lives of. It says when it is known.
    fn start_world(&self) -> (mpsc::Sender<Message>, watch::Receiver<bool>) {
        let (messages, queue) = mpsc::channel(world::QUEUE);
        let (ready, known) = watch::channel(false);
        let condition = self.control.readiness.condition("world");
        let world = World::new(&self.config.mesh, self.seen.clone(), self.authority.roots(), condition, ready);
        self.spawn("world", world.run(queue));
        let world::Outlet { findings, gateways, review, .. } = self.seen.clone();
        let review = Review::new(review, findings, gateways, Arc::clone(&self.config.mesh.root_namespace));
        self.spawn("review", review.run());
        let world::Outlet { cache, review, credentials, .. } = self.seen.clone();
        let credentials = Credentials::new(self.client.clone(), cache, review, credentials.subscribe());
        self.spawn("credentials", credentials.run());
        for watched in &WATCHED {
            let (kind, messages) = (watched.kind, messages.clone());
            let condition = self.control.readiness.condition(format!("watch of {}", watched.plural));
            let watch = Watch::new(
                watched,
                messages,
                self.seen.gauges.objects(kind),
                condition,
                &self.config.mesh.root_namespace,
            );
            self.spawn("watch", watch.run(self.client.clone()));
        }
        (messages, known)
    }

    /// Serves the nodes, and passes on what they report.
    fn serve_nodes(&self, world: mpsc::Sender<Message>, known: watch::Receiver<bool>) -> anyhow::Result<()> {
        let Self { config, client, authority, seen, control, .. } = self;
        let tls = serving_config(config.authority.dns_names.clone(), authority.signer())?;
        let (annotator, wanted) = mpsc::channel(REPORTS);
        let (troubles, troubled) = mpsc::channel(REPORTS);
        self.spawn("annotator", Annotator::new(client.clone(), Arc::clone(&seen.pods), wanted).run());
        self.spawn("events", pod_events::run(client.clone(), config.replica.pod.clone(), troubled));

        let tokens = Arc::new(Tokens::new(client.clone(), AUDIENCE));
        let agents = Agents { accounts: config.authority.node_accounts.clone(), pods: Arc::clone(&seen.pods) };
        let callers = Arc::new(Callers {
            tokens: Arc::clone(&tokens),
            agents: agents.clone(),
            gateways: Arc::clone(&seen.gateways),
        });
        let discovery = Discovery::new(Arc::clone(&seen.cache), callers, Arc::clone(&self.counters));
        let outlet = reports::Outlet { world, annotator, troubles };
        let reports = Reports::new(Arc::clone(&tokens), agents, outlet);
        let services = Routes::new(discovery.into_service())
            .add_service(NodeReportsServer::new(reports).max_decoding_message_size(MAX_MESSAGE))
            .add_service(self.certificates(tokens));
        let listener = servers::bind(config.servers.nodes)?;
        let begun = control.drain.begun();
        let connections = accept(listener, tls, nodes::OF_ADDRESS, seen.gauges.connections.clone(), begun.clone());
        self.spawn("nodes", nodes::serve(connections, services, known, begun.clone()));
        self.hold_for_answers();
        Ok(())
    }

    fn certificates(&self, tokens: Arc<Tokens>) -> IstioCertificateServiceServer<Certificates<Tokens>> {
        let AuthorityConfig { lifetime, node_accounts, .. } = &self.config.authority;
        let options = CertificateOptions {
            trust_domain: Arc::clone(&self.config.mesh.trust_domain),
            longest: *lifetime,
            node_accounts: node_accounts.clone(),
            counters: self.seen.gauges.certificates.clone(),
        };
        let pods = Arc::clone(&self.seen.pods);
        let service = Certificates::new(tokens, self.authority.signer(), self.authority.roots(), pods, options);
        IstioCertificateServiceServer::new(service).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Judges users' objects before they are stored.
    fn serve_webhook(&self) -> anyhow::Result<()> {
        let Self { config, authority, control, .. } = self;
        let tls = webhook::tls(serving_config(config.authority.dns_names.clone(), authority.signer())?);
        let begun = control.drain.begun();
        let listener = servers::bind(config.servers.webhook)?;
        let connections = accept(listener, tls, webhook::OF_ADDRESS, Gauge::default(), begun.clone());
        self.spawn("webhook", webhook::serve(connections, world::options(&config.mesh), begun.clone()));
        Ok(())
    }

    /// Keeps what others read from the cluster itself.
    fn keep_cluster(&self) {
        let (config, authority) = (&self.config, self.authority.clone());
        let namespace = config.replica.namespace.clone();
        self.spawn("roots", kept::roots_config_map::keep(self.client.clone(), namespace, authority.roots()));
        if let Some(name) = config.webhook.clone() {
            self.spawn("webhook's roots", kept::ca_bundle::keep(self.client.clone(), name, authority.roots()));
        }
        self.spawn("authority", authority.run());
    }

    /// Takes part in the election, and does what the leader does.
    fn lead(&self, known: watch::Receiver<bool>) {
        let ReplicaConfig { namespace, pod } = &self.config.replica;
        let election = Election::new(self.client.clone(), namespace, pod, self.seen.gauges.leader.clone());
        let (client, findings) = (self.client.clone(), Arc::clone(&self.seen.findings));
        self.spawn("statuses", statuses::keep(client, findings, known.clone(), election.leads()));
        if let Some(settings) = self.config.waypoints.clone() {
            let (client, gateways) = (self.client.clone(), Arc::clone(&self.seen.gateways));
            let deployer = Deployer::new(client, gateways, self.authority.roots(), settings);
            self.spawn("deployer", deployer.run(known, election.leads()));
        }
        // Held: the Lease is let go of before the process ends.
        let held = self.control.drain.hold();
        let begun = self.control.drain.begun().clone();
        self.spawn("election", async move {
            election.run(begun).await;
            drop(held);
        });
    }

    /// Answers that are being made when the process is told to stop have a moment to be sent. Discovery
    /// streams, which never end, go on at another replica.
    fn hold_for_answers(&self) {
        let (held, begun) = (self.control.drain.hold(), self.control.drain.begun().clone());
        tokio::spawn(async move {
            begun.cancelled().await;
            tokio::time::sleep(GRACE).await;
            drop(held);
        });
    }

    /// Starts a task that lives as long as the process.
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let cut = self.control.drain.cut_off().clone();
        spawn(name, &self.control.drain, async move {
            tokio::select! {
                () = cut.cancelled() => {}
                () = task => {}
            }
        });
    }
}
