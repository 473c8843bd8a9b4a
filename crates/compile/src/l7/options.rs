//! What the compiler of a waypoint must be told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ambit_l7::{Retry, RetryOn};
use ambit_model::GatewayKey;
use http::StatusCode;

/// What no object says that the waypoint reads, but its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct L7Options {
    /// The waypoint.
    pub waypoint: GatewayKey,
    /// The labels of the waypoint's own pods: a DestinationRule's `workloadSelector` is held against them.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// The namespace whose objects hold for the whole mesh.
    pub root_namespace: Arc<str>,
    /// What the host names of Kubernetes' services end with, after `svc.`.
    pub cluster_domain: Arc<str>,
    /// What is tried again where no route says so.
    pub default_retry: Retry,
}

impl Default for L7Options {
    fn default() -> Self {
        Self {
            waypoint: GatewayKey { namespace: "default".into(), name: "waypoint".into() },
            labels: BTreeMap::new(),
            root_namespace: "istio-system".into(),
            cluster_domain: "cluster.local".into(),
            default_retry: default_retry(),
        }
    }
}

/// What the field's meshes try again without being asked: what has certainly not been acted upon, and 503.
fn default_retry() -> Retry {
    Retry {
        attempts: 2,
        per_try_timeout: None,
        on: RetryOn {
            connect_failure: true,
            refused_stream: true,
            statuses: vec![StatusCode::SERVICE_UNAVAILABLE],
            grpc: vec![GRPC_CANCELLED, GRPC_UNAVAILABLE],
            ..RetryOn::default()
        },
        remote_localities: false,
        avoid_previous_hosts: true,
        backoff: Some(DEFAULT_BACKOFF),
    }
}

const GRPC_CANCELLED: u8 = 1;
const GRPC_UNAVAILABLE: u8 = 14;
/// As in the field.
const DEFAULT_BACKOFF: Duration = Duration::from_millis(25);
