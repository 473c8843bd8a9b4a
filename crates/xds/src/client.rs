//! Keeping up with a server: one stream for all types, and another one when it ends.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost_types::Struct;
use prost_types::value::Kind;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::Body as HttpBody;

use crate::TypeUrl;
use crate::proto::discovery::Node;
use backoff::Backoff;
use session::Session;

pub use names::Names;

mod backoff;
mod names;
mod session;

/// Longest wait for a connection and for the server to take the stream. Lost packets are sent again after
/// 1, 3 and 7 seconds (RFC 6298).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Any error, as the makers of connections have them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Versions by name, of what is held of each type.
pub type Held = HashMap<TypeUrl, HashMap<Arc<str>, Arc<str>>>;

/// Who asks. What is said here is for the server's log; what may be had is judged by the token.
#[derive(Debug, Clone, Default)]
pub struct NodeInfo {
    /// `ztunnel~<ip>~<pod>.<namespace>~<namespace>.svc.cluster.local`.
    pub id: String,
    /// The cluster, where the server serves several.
    pub cluster: String,
    /// `NAME`, `NAMESPACE`, `INSTANCE_IPS`, `NODE_NAME`, `CLUSTER_ID`.
    pub metadata: Vec<(String, String)>,
}

/// How much of a type is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// All of it.
    Wildcard,
    /// What [`Names`] names.
    OnDemand,
}

/// What a client is to do.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// Who asks.
    pub node: NodeInfo,
    /// What for.
    pub types: Vec<(TypeUrl, Subscription)>,
    /// What is held already, from an earlier life.
    pub held: Held,
}

/// A change of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The type.
    pub type_url: TypeUrl,
    /// What is new or changed.
    pub resources: Vec<Received>,
    /// Names of what is gone.
    pub removed: Vec<String>,
    /// Whether this is the first answer for this type in the client's life. Of a wildcard subscription it is
    /// complete: what was not held before and is not in it does not exist.
    pub first_complete: bool,
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its name.
    pub name: Arc<str>,
    /// Its version; means something to its server only.
    pub version: Arc<str>,
    /// What it is; see [`crate::Decoder`].
    pub body: Bytes,
}

/// A resource that was not accepted. What was valid of that name before is still held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its name.
    pub name: String,
    /// Why, for the server's log.
    pub reason: String,
}

/// Who is told.
pub trait Handler {
    /// Takes a change.
    ///
    /// # Errors
    /// What of it was not accepted. The rest was.
    fn apply(&mut self, update: Update) -> Result<(), Vec<Rejected>>;
    /// The server has taken the stream.
    fn connected(&mut self) {}
    /// There is no stream (any more); another is tried in a while. Also told of failed attempts.
    fn disconnected(&mut self, _why: &Disconnected) {}
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum Disconnected {
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] BoxError),
    /// The server did not answer in time.
    #[error("no answer within {} s", CONNECT_TIMEOUT.as_secs())]
    TimedOut,
    /// The server refused the stream, or broke it off.
    #[error("{}: {}", .0.code(), .0.message())]
    Stream(#[from] tonic::Status),
    /// The server ended the stream.
    #[error("ended by the server")]
    Ended,
}

/// Keeps up with a server.
#[derive(Debug)]
pub struct Client {
    node: Node,
    types: Vec<(TypeUrl, Subscription)>,
    names: Names,
    held: Held,
    answered: HashSet<TypeUrl>,
}

impl Client {
    /// Makes one; nothing happens before [`Client::run`].
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        let ClientOptions { node, types, held } = options;
        Self { node: message(node), types, names: Names::default(), held, answered: HashSet::new() }
    }

    /// The names wanted of types that are subscribed to on demand.
    #[must_use]
    pub fn names(&self) -> Names {
        self.names.clone()
    }

    /// Connects, follows, and connects again, until cancelled. A connection comes with its TLS, its token
    /// and its keepalive.
    pub async fn run<S, F>(
        mut self,
        mut connect: impl FnMut() -> F,
        handler: &mut impl Handler,
        cancel: &CancellationToken,
    ) where
        F: Future<Output = Result<S, BoxError>>,
        S: GrpcService<Body>,
        S::Error: Into<BoxError>,
        S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
        <S::ResponseBody as HttpBody>::Error: Into<BoxError> + Send,
    {
        let mut backoff = Backoff::default();
        let follow = async {
            loop {
                let why = match self.follow(connect(), handler, &mut backoff).await {
                    Ok(()) => Disconnected::Ended,
                    Err(why) => why,
                };
                handler.disconnected(&why);
                sleep(backoff.next()).await;
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = follow => {}
        }
    }

    /// One stream, from its connection to its end.
    async fn follow<S>(
        &mut self,
        connect: impl Future<Output = Result<S, BoxError>>,
        handler: &mut impl Handler,
        backoff: &mut Backoff,
    ) -> Result<(), Disconnected>
    where
        S: GrpcService<Body>,
        S::Error: Into<BoxError>,
        S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
        <S::ResponseBody as HttpBody>::Error: Into<BoxError> + Send,
    {
        let opened = timeout(CONNECT_TIMEOUT, async {
            let service = connect.await.map_err(Disconnected::Connect)?;
            Session::open(self, service).await
        });
        let mut session = opened.await.map_err(|_| Disconnected::TimedOut)??;
        handler.connected();
        while let Some(accepted) = session.step(handler).await? {
            if accepted {
                backoff.reset();
            }
        }
        Ok(())
    }
}

fn message(it: NodeInfo) -> Node {
    let value = |text| prost_types::Value { kind: Some(Kind::StringValue(text)) };
    let fields = it.metadata.into_iter().map(|(name, text)| (name, value(text))).collect();
    Node { id: it.id, cluster: it.cluster, metadata: Some(Struct { fields }) }
}
