//! The parts of the tests and what each needs.

use clap::ValueEnum;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    /// Tests beside the code and the examples in doc comments: no root, no network.
    Unit,
    /// What the documents refer to exists.
    Docs,
    /// Kernel programs alone: loading, the verifier, attached behaviour.
    Ebpf,
    /// Nodes and pods as network namespaces, with the real agent.
    Netns,
    /// A waypoint between real clients and backends, field by field, and under h2spec.
    Waypoint,
    /// Unmodified programs across the mesh: nginx, redis, postgres, mariadb, a virtual machine; and behind a
    /// waypoint curl, nginx, fortio, gRPC's Python, Node's WebSocket, Prometheus.
    Programs,
    /// The tunnel protocol against a stock Envoy.
    Interop,
    /// Every parser of foreign bytes under a fuzzer.
    Fuzz,
    /// The chart with all its switches, and what is rendered from it.
    Packaging,
    /// The chart on a real Kubernetes of two nodes.
    Cluster,
    /// The Gateway API's own conformance suite there.
    Conformance,
}

impl Part {
    pub(super) const ALL: [Self; 11] = [
        Self::Unit,
        Self::Docs,
        Self::Ebpf,
        Self::Netns,
        Self::Waypoint,
        Self::Programs,
        Self::Interop,
        Self::Fuzz,
        Self::Packaging,
        Self::Cluster,
        Self::Conformance,
    ];

    /// As on the command line; also the name of the test target in `tests/`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Docs => "docs",
            Self::Ebpf => "ebpf",
            Self::Netns => "netns",
            Self::Waypoint => "waypoint",
            Self::Programs => "programs",
            Self::Interop => "interop",
            Self::Fuzz => "fuzz",
            Self::Packaging => "packaging",
            Self::Cluster => "cluster",
            Self::Conformance => "conformance",
        }
    }

    /// Whether the agent is started, which takes root.
    pub(super) fn needs_agent(self) -> bool {
        matches!(self, Self::Ebpf | Self::Netns | Self::Waypoint | Self::Programs | Self::Interop)
    }

    /// Whether a waypoint is started.
    pub(super) fn needs_waypoint(self) -> bool {
        matches!(self, Self::Waypoint | Self::Programs)
    }

    /// Whether anything is compiled that embeds the kernel object.
    pub(super) fn needs_kernel_object(self) -> bool {
        !matches!(self, Self::Docs | Self::Fuzz | Self::Packaging)
    }

    /// Debian packages, most of them the unmodified programs the tests run.
    pub(super) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Docs | Self::Packaging => &[],
            Self::Cluster => &["gcc", "libc6-dev", "iproute2", "util-linux", "tcpdump", "prometheus"],
            Self::Unit | Self::Conformance => &["gcc", "libc6-dev"],
            Self::Fuzz => &["gcc", "g++", "libc6-dev"],
            Self::Ebpf => &["gcc", "libc6-dev", "iproute2"],
            Self::Waypoint => {
                &["gcc", "libc6-dev", "iproute2", "util-linux", "tcpdump", "curl", "nftables", "dnsmasq-base"]
            }
            Self::Netns => &[
                "gcc",
                "libc6-dev",
                "iproute2",
                "util-linux",
                "tcpdump",
                "curl",
                "python3",
                "nftables",
                "iptables",
                "conntrack",
                "procps",
                "dnsmasq-base",
            ],
            Self::Programs => &[
                "gcc",
                "libc6-dev",
                "iproute2",
                "util-linux",
                "tcpdump",
                "curl",
                "nginx-light",
                "wrk",
                "redis-server",
                "redis-tools",
                "runc",
                "qemu-system-x86",
                "busybox-static",
                "cpio",
                "xz-utils",
                "postgresql",
                "postgresql-contrib",
                "mariadb-server",
                "mariadb-client",
                "nodejs",
                "node-ws",
                "python3-grpcio",
                "prometheus",
            ],
            Self::Interop => {
                &["gcc", "libc6-dev", "iproute2", "util-linux", "tcpdump", "curl", "python3", "python3-pip", "unzip"]
            }
        }
    }
}
