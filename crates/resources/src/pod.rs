//! Pod: the part that a mesh needs.

use serde::Deserialize;

use crate::Metadata;
use crate::unknown_field::FieldTable;

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Metadata.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: PodSpec,
    /// What came of it.
    pub status: PodStatus,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node it runs on; empty until it is scheduled.
    pub node_name: String,
    /// Its service account; empty means `default`.
    pub service_account_name: String,
    /// Whether it shares the node's network namespace.
    pub host_network: bool,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Containers that run before those above or, with `restartPolicy: Always`, beside them.
    pub init_containers: Vec<Container>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Ports it says it listens on.
    pub ports: Vec<ContainerPort>,
    /// `Always` in an init container makes it run beside the others.
    pub restart_policy: String,
}

/// A port of a container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Name, for services that ask for the port by it.
    #[serde(default)]
    pub name: String,
    /// Number.
    pub container_port: u16,
    /// `TCP` (which empty means), `UDP` or `SCTP`.
    #[serde(default)]
    pub protocol: String,
    /// The node's port that leads to it; 0 is none.
    #[serde(default)]
    pub host_port: u16,
    /// The node's address at which it does; empty means all.
    #[serde(default, rename = "hostIP")]
    pub host_ip: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Its first address.
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    /// All its addresses, the first included.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Conditions, of which `Ready` matters.
    pub conditions: Vec<PodCondition>,
}

/// An address of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

/// A condition of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PodCondition {
    /// Which.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

#[rustfmt::skip]
pub(crate) const FIELDS: FieldTable = &[
    ("spec", &[
        "activeDeadlineSeconds", "affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy",
        "enableServiceLinks", "ephemeralContainers", "hostAliases", "hostIPC", "hostPID", "hostUsers", "hostname",
        "hostnameOverride", "imagePullSecrets", "nodeSelector", "os", "overhead", "preemptionPolicy", "priority",
        "priorityClassName", "readinessGates", "resourceClaims", "resources", "restartPolicy", "runtimeClassName",
        "schedulerName", "schedulingGates", "securityContext", "serviceAccount", "setHostnameAsFQDN",
        "shareProcessNamespace", "subdomain", "terminationGracePeriodSeconds", "tolerations",
        "topologySpreadConstraints", "volumes", "workloadRef",
    ]),
    ("spec.containers[*]", CONTAINER),
    ("spec.initContainers[*]", CONTAINER),
    ("status", &[
        "allocatedResources", "containerStatuses", "ephemeralContainerStatuses", "extendedResourceClaimStatus",
        "hostIP", "hostIPs", "initContainerStatuses", "message", "nominatedNodeName", "observedGeneration", "qosClass",
        "reason", "resize", "resourceClaimStatuses", "resources", "startTime",
    ]),
    ("status.conditions[*]", &["lastProbeTime", "lastTransitionTime", "message", "observedGeneration", "reason"]),
];

#[rustfmt::skip]
const CONTAINER: &[&str] = &[
    "args", "command", "env", "envFrom", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "readinessProbe",
    "resizePolicy", "resources", "restartPolicyRules", "securityContext", "startupProbe", "stdin", "stdinOnce",
    "terminationMessagePath", "terminationMessagePolicy", "tty", "volumeDevices", "volumeMounts", "workingDir",
];
