//! A server, a client by hand, and one that keeps what it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ambit_xds::proto::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use ambit_xds::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource, Status as Refusal};
use ambit_xds::{
    AuthError, Authenticator, BoxError, Cache, Caller, Client, ClientOptions, Counters, Disconnected, Discovery, Entry,
    Handler, Rejected, Subscription, TypeUrl, Update,
};
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server as GrpcServer};
use tonic::{Request, Status, Streaming};

/// No wait of a test that goes well comes near it.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Knows `node-<name>` for an agent of that node, `waypoint-<name>` for that waypoint, and `pod` for another pod.
pub(crate) struct Tokens;

impl Authenticator for Tokens {
    async fn authenticate(&self, token: &str) -> Result<Caller, AuthError> {
        let node = token.strip_prefix("node-").map(str::to_owned);
        let waypoint = token.strip_prefix("waypoint-").map(str::to_owned);
        match (token, node.is_some() || waypoint.is_some()) {
            ("unavailable", _) => Err(AuthError::Unavailable { reason: "away".into() }),
            ("pod", _) | (_, true) => {
                let (namespace, service_account) = ("ambit-system".into(), "ztunnel".into());
                Ok(Caller { namespace, service_account, pod: None, node, waypoint })
            }
            _ => Err(AuthError::Refused { reason: "unknown".into() }),
        }
    }
}

/// A control plane that dies when it is dropped, connections and all.
pub(crate) struct Server {
    pub(crate) cache: Arc<Cache>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    /// One that knows all there is.
    pub(crate) async fn synced(entries: Vec<Entry>) -> Self {
        let server = Self::start().await;
        server.cache.publish(entries);
        server.cache.synced();
        server
    }

    /// One that knows nothing yet.
    pub(crate) async fn start() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (cache, counters) = (Arc::new(Cache::default()), Arc::new(Counters::default()));
        let discovery = Discovery::new(Arc::clone(&cache), Arc::new(Tokens), Arc::clone(&counters));
        let (bound, address) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            bound.send(listener.local_addr().unwrap()).unwrap();
            GrpcServer::builder()
                .add_service(discovery.into_service())
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
        });
        Self { cache, counters, address: address.await.unwrap(), runtime: Some(runtime) }
    }

    pub(crate) fn nacks(&self, type_url: TypeUrl) -> u64 {
        let place = TypeUrl::ALL.iter().position(|it| *it == type_url).unwrap();
        self.counters.snapshot().types[place].nacks
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, wait).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// A stream whose requests are the test's.
pub(crate) struct Raw {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

/// A response, in short: names of what was sent, and of what is gone with a `-` before.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) type_url: String,
    pub(crate) names: Vec<String>,
    nonce: String,
}

impl Raw {
    pub(crate) async fn open(server: &Server, token: &str) -> Self {
        Self::try_open(server, &[token]).await.unwrap()
    }

    pub(crate) async fn try_open(server: &Server, tokens: &[&str]) -> Result<Self, Status> {
        let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect_lazy();
        let (requests, sent) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(sent));
        for token in tokens {
            request.metadata_mut().append("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let responses = AggregatedDiscoveryServiceClient::new(channel)
            .max_decoding_message_size(200 << 20)
            .delta_aggregated_resources(request)
            .await?;
        Ok(Self { requests, responses: responses.into_inner() })
    }

    pub(crate) async fn send(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    pub(crate) async fn ask(&self, type_url: TypeUrl, subscribe: &[&str], unsubscribe: &[&str]) {
        let names = |it: &[&str]| it.iter().map(ToString::to_string).collect();
        self.send(DeltaDiscoveryRequest {
            type_url: type_url.as_str().into(),
            resource_names_subscribe: names(subscribe),
            resource_names_unsubscribe: names(unsubscribe),
            ..Default::default()
        })
        .await;
    }

    pub(crate) async fn acknowledge(&self, heard: &Heard, error: Option<&str>) {
        let error = error.map(|message| Refusal { code: 3, message: message.into(), details: Vec::new() });
        self.send(DeltaDiscoveryRequest {
            type_url: heard.type_url.clone(),
            response_nonce: heard.nonce.clone(),
            error_detail: error,
            ..Default::default()
        })
        .await;
    }

    /// The next response, not acknowledged.
    pub(crate) async fn hear(&mut self) -> Heard {
        self.try_hear().await.unwrap()
    }

    pub(crate) async fn try_hear(&mut self) -> Result<Heard, Status> {
        let response = timeout(LONG, self.responses.message()).await.expect("no response came")?.expect("it ended");
        let name = |bytes: bytes::Bytes| Resource::decode(bytes).unwrap().name;
        let sent = response.resources.into_iter().map(name);
        let mut names: Vec<_> = sent.chain(response.removed_resources.iter().map(|name| format!("-{name}"))).collect();
        names.sort();
        Ok(Heard { type_url: response.type_url, names, nonce: response.nonce })
    }

    /// The next response, acknowledged.
    pub(crate) async fn next(&mut self) -> Vec<String> {
        let heard = self.hear().await;
        self.acknowledge(&heard, None).await;
        heard.names
    }
}

/// What a client was told.
#[derive(Debug)]
pub(crate) enum Event {
    Connected,
    Disconnected(String),
    Update(Update),
}

/// Keeps names and versions, and refuses what it is told to refuse.
struct Keeper {
    events: mpsc::UnboundedSender<Event>,
    refused: Arc<Mutex<Option<String>>>,
    held: watch::Sender<BTreeMap<String, String>>,
}

impl Handler for Keeper {
    fn apply(&mut self, update: Update) -> Result<(), Vec<Rejected>> {
        let refused = self.refused.lock().unwrap().clone();
        let mut rejected = Vec::new();
        self.held.send_modify(|held| {
            update.removed.iter().for_each(|name| drop(held.remove(name)));
            for it in &update.resources {
                if Some(&*it.name) == refused.as_deref() {
                    rejected.push(Rejected { name: it.name.to_string(), reason: "told to".into() });
                } else {
                    held.insert(it.name.to_string(), it.version.to_string());
                }
            }
        });
        self.events.send(Event::Update(update)).unwrap();
        if rejected.is_empty() { Ok(()) } else { Err(rejected) }
    }

    fn connected(&mut self) {
        self.events.send(Event::Connected).unwrap();
    }

    fn disconnected(&mut self, why: &Disconnected) {
        self.events.send(Event::Disconnected(why.to_string())).unwrap();
    }
}

/// A client at work.
pub(crate) struct Following {
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) names: ambit_xds::Names,
    pub(crate) held: watch::Receiver<BTreeMap<String, String>>,
    refused: Arc<Mutex<Option<String>>>,
    server: Arc<Mutex<SocketAddr>>,
    _cancel: tokio_util::sync::DropGuard,
}

type Authorized = InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>;

fn as_agent_of_a(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert("authorization", "Bearer node-a".parse().unwrap());
    Ok(request)
}

impl Following {
    pub(crate) fn start(server: &Server, types: &[(TypeUrl, Subscription)]) -> Self {
        let client = Client::new(ClientOptions { types: types.to_vec(), ..ClientOptions::default() });
        let (sender, events) = mpsc::unbounded_channel();
        let (held, kept) = watch::channel(BTreeMap::new());
        let refused = Arc::new(Mutex::new(None));
        let mut keeper = Keeper { events: sender, refused: Arc::clone(&refused), held };
        let address = Arc::new(Mutex::new(server.address));
        let (names, cancel) = (client.names(), CancellationToken::new());
        let (connect_to, cancelled) = (Arc::clone(&address), cancel.clone());
        tokio::spawn(async move {
            let connect = || {
                let endpoint = Endpoint::from_shared(format!("http://{}", connect_to.lock().unwrap())).unwrap();
                async move {
                    let channel = endpoint.connect().await?;
                    Ok::<Authorized, BoxError>(InterceptedService::new(channel, as_agent_of_a))
                }
            };
            client.run(connect, &mut keeper, &cancelled).await;
        });
        Self { events, names, held: kept, refused, server: address, _cancel: cancel.drop_guard() }
    }

    pub(crate) fn go_to(&self, server: &Server) {
        *self.server.lock().unwrap() = server.address;
    }

    pub(crate) fn refuse(&self, name: Option<String>) {
        *self.refused.lock().unwrap() = name;
    }

    /// The next update; what happened before it is of no interest.
    pub(crate) async fn update(&mut self) -> Update {
        loop {
            if let Event::Update(update) = self.event().await {
                return update;
            }
        }
    }

    pub(crate) async fn event(&mut self) -> Event {
        timeout(LONG, self.events.recv()).await.expect("nothing happened").expect("the client is gone")
    }

    pub(crate) fn held(&self) -> Vec<String> {
        self.held.borrow().keys().cloned().collect()
    }
}

/// Names of an update, as in [`Heard`].
pub(crate) fn names(update: &Update) -> Vec<String> {
    let sent = update.resources.iter().map(|it| it.name.to_string());
    let mut names: Vec<_> = sent.chain(update.removed.iter().map(|name| format!("-{name}"))).collect();
    names.sort();
    names
}
