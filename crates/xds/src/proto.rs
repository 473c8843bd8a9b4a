//! Messages and services, generated from `proto/`. The modules are nested as the packages are, since the
//! generated code names one package from another that way.
#![expect(
    missing_docs,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    clippy::too_many_lines,
    reason = "generated: the .proto files say what there is to say"
)]

pub use ambit::config::v1 as config;
pub use ambit::node::v1 as node;
pub use envoy::service::discovery::v3 as discovery;
pub use istio::security;
pub use istio::v1::auth as certificate;
pub use istio::workload;

pub mod envoy {
    pub mod service {
        pub mod discovery {
            pub mod v3 {
                tonic::include_proto!("envoy.service.discovery.v3");
            }
        }
    }
}

pub mod istio {
    pub mod workload {
        tonic::include_proto!("istio.workload");
    }
    pub mod security {
        tonic::include_proto!("istio.security");
    }
    pub mod v1 {
        pub mod auth {
            tonic::include_proto!("istio.v1.auth");
        }
    }
}

pub mod ambit {
    pub mod config {
        pub mod v1 {
            tonic::include_proto!("ambit.config.v1");
        }
    }
    pub mod node {
        pub mod v1 {
            tonic::include_proto!("ambit.node.v1");
        }
    }
}
