//! Manifests of a mesh far larger than the stage: pods of other nodes, ten to a Service.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::ops::Range;

/// The Kubernetes namespace of all of them.
pub(super) const NAMESPACE: &str = "bulk";

const PODS_PER_SERVICE: u32 = 10;
const PODS_PER_NODE: u32 = 100;

/// The first addresses, 10.128.0.0 and 10.112.0.0: apart from all of the stage's.
const POD_ADDRESSES: u32 = 0x0a80_0000;
const SERVICE_ADDRESSES: u32 = 0x0a70_0000;

/// One file: the pods of these numbers, and the Services that begin with them.
pub(super) fn manifests(pods: Range<u32>) -> String {
    let mut text = String::new();
    for number in pods {
        let app = number / PODS_PER_SERVICE;
        if number % PODS_PER_SERVICE == 0 {
            // Writing to a String cannot fail.
            write_service(&mut text, app).ok();
        }
        write_pod(&mut text, number, app).ok();
    }
    text
}

fn write_service(text: &mut String, app: u32) -> std::fmt::Result {
    let ip = Ipv4Addr::from(SERVICE_ADDRESSES + app);
    write!(
        text,
        "apiVersion: v1\nkind: Service\n\
         metadata: {{name: app-{app}, namespace: {NAMESPACE}}}\n\
         spec:\n  clusterIP: {ip}\n  clusterIPs: [{ip}]\n  selector: {{app: app-{app}}}\n  \
         ports:\n  - {{name: http, port: 80, targetPort: http}}\n---\n"
    )
}

fn write_pod(text: &mut String, number: u32, app: u32) -> std::fmt::Result {
    let ip = Ipv4Addr::from(POD_ADDRESSES + number);
    let node = number / PODS_PER_NODE;
    write!(
        text,
        "apiVersion: v1\nkind: Pod\n\
         metadata:\n  name: app-{app}-{number}\n  namespace: {NAMESPACE}\n  labels: {{app: app-{app}}}\n\
         spec:\n  nodeName: bulk-{node}\n  serviceAccountName: app-{app}\n  \
         containers:\n  - name: app\n    ports: [{{name: http, containerPort: 8080}}]\n\
         status:\n  phase: Running\n  podIP: {ip}\n  podIPs: [{{ip: {ip}}}]\n  \
         conditions: [{{type: Ready, status: \"True\"}}]\n---\n"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn files_follow_each_other_without_a_repeated_address() {
        let text = manifests(0..1000) + &manifests(1000..2000);
        let count = |needle: &str| text.matches(needle).count();
        assert_eq!(count("kind: Pod\n"), 2000);
        assert_eq!(count("kind: Service\n"), 200);
        let addresses: BTreeSet<_> = text.lines().filter_map(|line| line.trim().strip_prefix("podIP: ")).collect();
        assert_eq!(addresses.len(), 2000);
        assert!(addresses.contains("10.128.7.207"));
    }
}
