//! Messages and services from the `.proto` files, without any `protoc`.

use std::path::Path;

const FILES: [&str; 6] = [
    "envoy/discovery.proto",
    "istio/workload.proto",
    "istio/authorization.proto",
    "istio/certificate.proto",
    "ambit/node.proto",
    "ambit/config.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    println!("cargo::rerun-if-changed={}", folder.display());
    let files = protox::compile(FILES, [&folder])?;
    // Resources stay as the bytes they came in until somebody needs them: encoded once, shared by all.
    // Maps are sorted: the same object is the same bytes in every process, so that its version, a hash of
    // them, is as well.
    tonic_prost_build::configure().bytes(".").btree_map(".").compile_fds(files)?;
    Ok(())
}
