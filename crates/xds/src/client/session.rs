//! One stream.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::Body as HttpBody;
use tonic::{Code, Streaming};

use super::names::Wanted;
use super::{BoxError, Client, Disconnected, Handler, Received, Rejected, Subscription, Update};
use crate::TypeUrl;
use crate::proto::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use crate::proto::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource, Status};

/// Largest answer taken, in bytes, as the field's clients have it.
const MAX_RESPONSE: usize = 200 << 20;
/// Requests on their way. More than there are types, since the first of each goes before the server listens.
const REQUESTS: usize = 16;
/// How many rejected resources the server is told of by name.
const MAX_NAMED: usize = 20;
/// All resources there are, as a name.
const ALL: &str = "*";

pub(super) struct Session<'a> {
    client: &'a mut Client,
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
    /// What was asked for by name on this stream.
    asked: Wanted,
}

impl<'a> Session<'a> {
    pub(super) async fn open<S>(client: &'a mut Client, service: S) -> Result<Self, Disconnected>
    where
        S: GrpcService<Body>,
        S::Error: Into<BoxError>,
        S::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
        <S::ResponseBody as HttpBody>::Error: Into<BoxError> + Send,
    {
        let asked = client.names.wanted();
        let (requests, sent) = mpsc::channel(REQUESTS);
        for &(type_url, subscription) in &client.types {
            // There is room for one request of each type, and nobody to close the channel yet.
            requests.try_send(client.first_request(type_url, subscription, &asked)).ok();
        }
        let mut service = AggregatedDiscoveryServiceClient::new(service).max_decoding_message_size(MAX_RESPONSE);
        let responses = service.delta_aggregated_resources(ReceiverStream::new(sent)).await?.into_inner();
        Ok(Self { client, requests, responses, asked })
    }

    /// Takes the next answer, and says whether it was good; nothing at the end of the stream.
    pub(super) async fn step(&mut self, handler: &mut impl Handler) -> Result<Option<bool>, Disconnected> {
        let names = self.client.names.clone();
        loop {
            let response = tokio::select! {
                response = self.responses.message() => response?,
                () = names.changed() => {
                    for request in self.changed_names() {
                        self.send(request).await?;
                    }
                    continue;
                }
            };
            let Some(response) = response else { return Ok(None) };
            let Some(type_url) = self.client.subscribed(&response.type_url) else {
                tracing::warn!(type_url = response.type_url, "ignored an answer of a type that was not asked for");
                continue;
            };
            let answer = self.client.take(type_url, response, handler);
            let accepted = answer.error_detail.is_none();
            self.send(answer).await?;
            return Ok(Some(accepted));
        }
    }

    async fn send(&mut self, request: DeltaDiscoveryRequest) -> Result<(), Disconnected> {
        self.requests.send(request).await.map_err(|_| Disconnected::Ended)
    }

    /// Requests that make the names asked for those that are wanted.
    fn changed_names(&mut self) -> Vec<DeltaDiscoveryRequest> {
        let wanted = self.client.names.wanted();
        let none = BTreeSet::new();
        let mut requests = Vec::new();
        for &(type_url, subscription) in &self.client.types {
            let of = |names: &Wanted| names.get(&type_url).unwrap_or(&none).clone();
            let (before, now) = (of(&self.asked), of(&wanted));
            if subscription == Subscription::Wildcard || before == now {
                continue;
            }
            let gone: Vec<_> = before.difference(&now).collect();
            if let Some(held) = self.client.held.get_mut(&type_url) {
                gone.iter().for_each(|name| drop(held.remove(&***name)));
            }
            requests.push(DeltaDiscoveryRequest {
                type_url: type_url.as_str().into(),
                resource_names_subscribe: now.difference(&before).map(ToString::to_string).collect(),
                resource_names_unsubscribe: gone.into_iter().map(ToString::to_string).collect(),
                ..Default::default()
            });
        }
        self.asked = wanted;
        requests
    }
}

impl Client {
    fn first_request(&self, type_url: TypeUrl, how: Subscription, wanted: &Wanted) -> DeltaDiscoveryRequest {
        let held = self.held.get(&type_url).into_iter().flatten();
        let names = wanted.get(&type_url).into_iter().flatten().map(ToString::to_string);
        let (subscribe, unsubscribe) = match how {
            Subscription::Wildcard => (Vec::new(), Vec::new()),
            // An empty list would mean all: everything is asked for and not, which leaves the names.
            Subscription::OnDemand => (names.chain([ALL.into()]).collect(), vec![ALL.into()]),
        };
        DeltaDiscoveryRequest {
            node: Some(self.node.clone()),
            type_url: type_url.as_str().into(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            initial_resource_versions: held.map(|(name, it)| (name.to_string(), it.to_string())).collect(),
            ..Default::default()
        }
    }

    fn subscribed(&self, type_url: &str) -> Option<TypeUrl> {
        let type_url = TypeUrl::parse(type_url)?;
        self.types.iter().any(|(it, _)| *it == type_url).then_some(type_url)
    }

    /// Hands an answer to the handler, and says to the server what became of it.
    fn take(
        &mut self,
        type_url: TypeUrl,
        response: DeltaDiscoveryResponse,
        handler: &mut impl Handler,
    ) -> DeltaDiscoveryRequest {
        let mut rejected = Vec::new();
        let mut resources = Vec::with_capacity(response.resources.len());
        for encoded in response.resources {
            match received(type_url, encoded) {
                Ok(resource) => resources.push(resource),
                Err(why) => rejected.push(why),
            }
        }
        let removed = response.removed_resources;
        let mut held: Vec<_> = resources.iter().map(|it| (Arc::clone(&it.name), Arc::clone(&it.version))).collect();
        let first_complete = self.answered.insert(type_url);
        let versions = self.held.entry(type_url).or_default();
        removed.iter().for_each(|name| drop(versions.remove(name.as_str())));
        if let Err(more) = handler.apply(Update { type_url, resources, removed, first_complete }) {
            let names: HashSet<_> = more.iter().map(|it| it.name.as_str()).collect();
            // In no version: on the next stream it is said again, or that it is gone.
            held.iter_mut().filter(|(name, _)| names.contains(&**name)).for_each(|(_, version)| *version = "".into());
            rejected.extend(more);
        }
        versions.extend(held);
        DeltaDiscoveryRequest {
            type_url: type_url.as_str().into(),
            response_nonce: response.nonce,
            error_detail: (!rejected.is_empty()).then(|| refusal(&rejected)),
            ..Default::default()
        }
    }
}

fn received(type_url: TypeUrl, encoded: Bytes) -> Result<Received, Rejected> {
    let reject = |name: String, reason: String| Err(Rejected { name, reason });
    let resource = match Resource::decode(encoded) {
        Ok(resource) => resource,
        Err(error) => return reject(String::new(), error.to_string()),
    };
    let Some(body) = resource.resource else { return reject(resource.name, "it has no body".into()) };
    if body.type_url != type_url.as_str() {
        return reject(resource.name, format!("it is of type {:?}", body.type_url));
    }
    Ok(Received { name: resource.name.into(), version: resource.version.into(), body: body.value.into() })
}

fn refusal(rejected: &[Rejected]) -> Status {
    let named = rejected.iter().take(MAX_NAMED).map(|it| format!("{}: {}", it.name, it.reason));
    let more = rejected.len().checked_sub(MAX_NAMED + 1).map(|it| format!("and {} more", it + 1));
    let message = named.chain(more).collect::<Vec<_>>().join("; ");
    Status { code: Code::InvalidArgument.into(), message, details: Vec::new() }
}
