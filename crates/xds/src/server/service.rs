//! The one method, at the place where a gRPC server looks for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use tonic::body::Body;
use tonic::codec::Codec;
use tonic::codegen::Service;
use tonic::metadata::{GRPC_CONTENT_TYPE, MetadataMap};
use tonic::server::NamedService;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use super::Discovery;
use super::body::body;
use super::budget::Budget;
use crate::proto::discovery::aggregated_discovery_service_server::SERVICE_NAME;
use crate::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use crate::{Authenticator, caller};

/// The method's name.
const METHOD: &str = "DeltaAggregatedResources";

/// Discovery as a service of a gRPC server.
#[derive(Debug)]
pub struct DiscoveryService<A>(pub(super) Arc<Discovery<A>>);

impl<A> Clone for DiscoveryService<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A> NamedService for DiscoveryService<A> {
    const NAME: &'static str = SERVICE_NAME;
}

impl<A: Authenticator> Service<Request<Body>> for DiscoveryService<A> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let discovery = Arc::clone(&self.0);
        async move { Ok(respond(&discovery, request).await.unwrap_or_else(Status::into_http)) }.boxed()
    }
}

async fn respond<A: Authenticator>(discovery: &Discovery<A>, request: Request<Body>) -> Result<Response<Body>, Status> {
    let method = request.uri().path().rsplit('/').next();
    if method != Some(METHOD) {
        return Err(Status::unimplemented("only delta discovery is served"));
    }
    let (head, requests) = request.into_parts();
    let caller = caller(&*discovery.authenticator, &MetadataMap::from_headers(head.headers)).await?;
    let decoder = ProstCodec::<DeltaDiscoveryResponse, DeltaDiscoveryRequest>::default().decoder();
    let requests = Streaming::new_request(decoder, requests, None, Some(Budget::of(&caller).request));
    let mut response = Response::new(body(discovery.serve(caller, requests)));
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    Ok(response)
}
