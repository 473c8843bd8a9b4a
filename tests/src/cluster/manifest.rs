//! What tests create. Every pod has a service account of its own name, so an identity of its own.

use std::fmt::Write as _;

/// A pod of the test image, to be made a manifest of.
#[derive(Debug, Clone)]
pub struct App {
    name: String,
    node: Option<u8>,
    /// Lines of the pod's spec.
    spec: String,
    /// Lines of the container.
    container: String,
    /// Lines of the metadata.
    metadata: String,
}

impl App {
    /// A pod that serves: HTTP on 8080, gRPC on 8079, an echo of TCP on 8078.
    #[must_use]
    pub fn server(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            node: None,
            spec: String::new(),
            container: "args: [server, -http-port, '8080', -redirect-port, disabled, -max-echo-delay, 10m]\n"
                .to_owned(),
            metadata: String::new(),
        }
    }

    /// A pod that does nothing by itself.
    #[must_use]
    pub fn idle(name: &str) -> Self {
        Self { container: "command: [sleep, inf]\n".to_owned(), ..Self::server(name) }
    }

    /// A pod that runs a script.
    #[must_use]
    pub fn script(name: &str, script: &str) -> Self {
        Self { container: format!("command: [sh, -c, {script:?}]\n"), ..Self::server(name) }
    }

    /// On that node.
    #[must_use]
    pub fn on(mut self, node: u8) -> Self {
        self.node = Some(node);
        self
    }

    /// With more lines in the pod's spec.
    #[must_use]
    pub fn spec(mut self, lines: &str) -> Self {
        writeln!(self.spec, "{lines}").ok();
        self
    }

    /// With more lines in the container.
    #[must_use]
    pub fn container(mut self, lines: &str) -> Self {
        writeln!(self.container, "{lines}").ok();
        self
    }

    /// With more lines in the pod's metadata.
    #[must_use]
    pub fn metadata(mut self, lines: &str) -> Self {
        writeln!(self.metadata, "{lines}").ok();
        self
    }

    /// The pod and its service account.
    #[must_use]
    pub fn pod(&self) -> String {
        let Self { name, .. } = self;
        format!("{}---\napiVersion: v1\nkind: Pod\n{}", self.account(), self.body(&format!("  name: {name}\n")))
    }

    /// A Deployment of it.
    #[must_use]
    pub fn deployment(&self, replicas: u8) -> String {
        self.set("Deployment", replicas, "")
    }

    /// A StatefulSet of it, of the Service of its name.
    #[must_use]
    pub fn stateful_set(&self, replicas: u8) -> String {
        self.set("StatefulSet", replicas, &format!("  serviceName: {}\n", self.name))
    }

    /// A Job of it.
    #[must_use]
    pub fn job(&self) -> String {
        let Self { name, .. } = self;
        format!(
            "{}---\napiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  backoffLimit: 0\n  template:\n{}",
            self.account(),
            indent(4, &self.body("")),
        )
    }

    fn set(&self, kind: &str, replicas: u8, more: &str) -> String {
        let Self { name, .. } = self;
        format!(
            "{}---\napiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n{more}  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n{}",
            self.account(),
            indent(4, &self.body("")),
        )
    }

    fn account(&self) -> String {
        format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {}}}\n", self.name)
    }

    fn body(&self, metadata: &str) -> String {
        let Self { name, .. } = self;
        let node = self.node.map(|node| format!("  nodeName: node{node}\n")).unwrap_or_default();
        format!(
            "metadata:\n{metadata}  labels: {{app: {name}}}\n{}spec:\n  serviceAccountName: {name}\n  \
             terminationGracePeriodSeconds: 5\n{node}{}  containers:\n    - name: {name}\n      image: ambit.test/app:1\n      \
             imagePullPolicy: Never\n{}",
            indent(2, &self.metadata),
            indent(2, &self.spec),
            indent(6, &self.container),
        )
    }
}

/// A Service of the pods of that name: HTTP on 80, gRPC on 79, TCP on 78.
#[must_use]
pub fn service(name: &str, more: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  selector: {{app: {name}}}\n{}  ports:\n    \
         - {{name: http, port: 80, targetPort: 8080}}\n    - {{name: grpc, port: 79, targetPort: 8079}}\n    \
         - {{name: tcp, port: 78, targetPort: 8078}}\n",
        indent(2, more),
    )
}

/// A server on a node and its Service.
#[must_use]
pub fn server(name: &str, node: u8) -> String {
    App::server(name).on(node).pod() + &service(name, "")
}

/// A Deployment of servers that are ready when they serve, and its Service.
#[must_use]
pub fn deployment(name: &str, replicas: u8) -> String {
    // The pause before the end: a client that was told an address a moment ago may still use it.
    let app = App::server(name).container(
        "readinessProbe: {httpGet: {port: 8080, path: /debug}, periodSeconds: 1}\n\
         lifecycle: {preStop: {sleep: {seconds: 2}}}",
    );
    app.deployment(replicas) + &service(name, "")
}

/// A client on a node.
#[must_use]
pub fn client(name: &str, node: u8) -> String {
    App::idle(name).on(node).pod()
}

/// An AuthorizationPolicy on the pods of a name, for peers with one of these principals.
#[must_use]
pub fn policy(name: &str, app: &str, action: &str, principals: &[&str]) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}}}\nspec:\n  \
         selector: {{matchLabels: {{app: {app}}}}}\n  action: {action}\n  rules:\n    \
         - from: [{{source: {{principals: [{}]}}}}]\n",
        principals.join(", "),
    )
}

/// A PeerAuthentication for a whole namespace.
#[must_use]
pub fn strictness(mode: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: default}}\n\
         spec: {{mtls: {{mode: {mode}}}}}\n"
    )
}

fn indent(by: usize, lines: &str) -> String {
    lines.lines().filter(|line| !line.is_empty()).map(|line| format!("{:by$}{line}\n", "")).collect()
}
