//! The server's side.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tonic::Status;

use crate::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use crate::{Authenticator, Cache, Caller, Counters};
use session::Session;

pub use service::DiscoveryService;

mod body;
mod budget;
mod on_demand;
mod service;
mod session;
mod subscription;

/// What serves discovery.
#[derive(Debug)]
pub struct Discovery<A> {
    cache: Arc<Cache>,
    authenticator: Arc<A>,
    counters: Arc<Counters>,
}

impl<A: Authenticator> Discovery<A> {
    /// Serves what is in `cache` to those whom `authenticator` knows.
    #[must_use]
    pub fn new(cache: Arc<Cache>, authenticator: Arc<A>, counters: Arc<Counters>) -> Self {
        Self { cache, authenticator, counters }
    }

    /// As a service for a gRPC server.
    #[must_use]
    pub fn into_service(self) -> DiscoveryService<A> {
        DiscoveryService(Arc::new(self))
    }

    /// Serves one stream of requests of a known caller.
    pub fn serve(
        &self,
        caller: Caller,
        requests: impl Stream<Item = Result<DeltaDiscoveryRequest, Status>> + Send + Unpin + 'static,
    ) -> BoxStream<'static, Result<DeltaDiscoveryResponse, Status>> {
        let session = Session::new(Arc::clone(&self.cache), Arc::clone(&self.counters), caller, requests);
        // The next answer is made when the last one is on its way, and no sooner: nothing queues up here.
        futures::stream::try_unfold(session, Session::next).boxed()
    }
}
