//! Requests of a client, each with its length before it, to a control plane that has a pod for every node:
//! the stream ends with them, in good order or with a status, and nobody is told of another node's pods.

#![no_main]

use std::sync::{Arc, LazyLock};

use ambit_xds::proto::discovery::DeltaDiscoveryRequest;
use ambit_xds::proto::{node, workload};
use ambit_xds::{AuthError, Authenticator, Cache, Caller, Counters, Decoder, Discovery, Entry, TypeUrl};
use futures::{FutureExt, StreamExt, stream};
use prost::Message;

/// Not asked: the callers are made up.
struct Nobody;

impl Authenticator for Nobody {
    async fn authenticate(&self, _token: &str) -> Result<Caller, AuthError> {
        Err(AuthError::Refused { reason: String::new() })
    }
}

static CACHE: LazyLock<Arc<Cache>> = LazyLock::new(|| {
    let cache = Arc::new(Cache::default());
    let pods = ["a", "b"].map(|node| {
        let workload = workload::Workload {
            uid: format!("c//Pod/n/{node}"),
            namespace: "n".into(),
            addresses: vec![vec![10, 0, 0, node.as_bytes()[0]].into()],
            node: node.into(),
            services: [("n/s".to_owned(), Default::default())].into(),
            ..Default::default()
        };
        let pod = node::Pod { pod_uid: "1".into(), workload: Some(workload), ..Default::default() };
        Decoder::default().pod(&format!("c//Pod/n/{node}"), &*pod.encode_to_vec()).expect("it is sound")
    });
    let workloads = pods.iter().map(|pod| Entry::workload(&pod.workload));
    cache.publish(workloads.chain(pods.iter().map(Entry::pod)).chain([Entry::meshed_namespace("n")]).collect());
    cache.synced();
    cache
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let requests: Vec<_> =
        std::iter::from_fn(|| DeltaDiscoveryRequest::decode_length_delimited(&mut rest).ok()).map(Ok).collect();
    let caller = Caller {
        namespace: "n".into(),
        service_account: "s".into(),
        pod: None,
        node: (bytes.len() % 2 == 0).then(|| "a".into()),
        waypoint: None,
    };
    let discovery = Discovery::new(Arc::clone(&CACHE), Arc::new(Nobody), Arc::new(Counters::default()));
    let answers: Vec<_> =
        discovery.serve(caller, stream::iter(requests)).collect().now_or_never().expect("it ends with the requests");
    let pods = TypeUrl::Pod.as_str();
    for answer in answers.into_iter().flatten().filter(|answer| answer.type_url == pods) {
        let named = |it: &prost::bytes::Bytes| it.windows(10).any(|it| it == b"c//Pod/n/b");
        assert!(!answer.resources.iter().any(named), "told of another node's pod");
    }
});
