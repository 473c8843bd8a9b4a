//! One connection of a client, in a tunnel: what it speaks, and who serves that.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use ambit_hbone::IncomingConnect;
use ambit_l7::ClientView;
use ambit_model::{AppProtocol, ServiceKey, TunnelTarget, WorkloadUid};
use ambit_telemetry::Party;

use crate::in_force::InForce;
use crate::plan::Client;
use crate::protocol::{self, Protocol};
use crate::rewind::Rewind;
use crate::worker::Worker;
use crate::{http, tcp};

/// What is known of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Who asks.
    pub(crate) client: Client,
    /// The address asked for.
    pub(crate) target: TunnelTarget,
    /// What that is.
    pub(crate) to: Asked,
    /// The SHA-256, in hex, of the certificate that proved who asks.
    pub(crate) certificate: Arc<str>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// A service, by its virtual address; the port is the address'.
    Service {
        /// Which.
        service: ServiceKey,
        /// What its port says of itself.
        protocol: AppProtocol,
    },
    /// A workload, by its own.
    Workload {
        /// Which.
        workload: WorkloadUid,
        /// What its services say of the port.
        protocol: AppProtocol,
    },
}

impl Asked {
    /// The service, where it is one.
    pub(crate) fn service(&self) -> Option<&ServiceKey> {
        match self {
            Self::Service { service, .. } => Some(service),
            Self::Workload { .. } => None,
        }
    }

    /// What is said of the port.
    pub(crate) fn protocol(&self) -> AppProtocol {
        match self {
            Self::Service { protocol, .. } | Self::Workload { protocol, .. } => *protocol,
        }
    }
}

impl Connection {
    /// What a request is for that does not say so itself.
    pub(crate) fn host(&self) -> Cow<'_, str> {
        match &self.to {
            Asked::Service { service, .. } => Cow::Borrowed(&service.hostname),
            Asked::Workload { .. } => Cow::Owned(self.target.socket().to_string()),
        }
    }

    /// What is said of the port. Where nothing is and tokens are wanted, it speaks HTTP: there is no other way to
    /// bring one, so all else would be a way round.
    fn hint(&self, in_force: &InForce) -> AppProtocol {
        let said = self.to.protocol();
        let wants_tokens = || in_force.governing(self).iter().any(|governing| !governing.rules.rules.jwt.is_empty());
        if said == AppProtocol::Unknown && wants_tokens() { AppProtocol::Http11 } else { said }
    }
}

impl Client {
    /// The client, as rules and policies see it.
    pub(crate) fn view(&self) -> ClientView<'_> {
        let ip = self.address.ip();
        ClientView {
            identity: Some(&self.identity),
            ip,
            remote_ip: ip,
            labels: self.workload.as_ref().map_or(no_labels(), |workload| &*workload.labels),
            namespace: Some(self.identity.namespace()),
        }
    }

    /// The client, for the record: its identity is proved.
    pub(crate) fn party(&self) -> Party {
        Party { workload: self.workload.clone(), identity: Some(self.identity.clone()) }
    }
}

/// The labels of who has none.
pub(crate) fn no_labels() -> &'static BTreeMap<Arc<str>, Arc<str>> {
    static NONE: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
    &NONE
}

/// Serves one connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, connection: Rc<Connection>, request: IncomingConnect) {
    let _open = worker.drain.hold();
    worker.metrics.streams_open.inc();
    tokio::select! {
        biased;
        () = worker.drain.cut_off().cancelled() => {}
        () = relay(&worker, connection, request) => {}
    }
    worker.metrics.streams_open.dec();
}

async fn relay(worker: &Rc<Worker>, connection: Rc<Connection>, request: IncomingConnect) {
    // The client may have given up already: then there is nobody to tell.
    let Ok(stream) = request.accept() else { return };
    let mut stream = Rewind::new(stream);
    let hint = connection.hint(&worker.in_force());
    match protocol::detect(&mut stream, hint, worker.limits.sniffing).await {
        Ok(Protocol::Http1) => http::serve_http1(worker, connection, stream).await,
        Ok(Protocol::Http2) => http::serve_http2(worker, connection, stream).await,
        Ok(Protocol::Tls(server_name)) => tcp::serve(worker, connection, stream, tcp::Seen::Tls(server_name)).await,
        Ok(Protocol::Tcp) => tcp::serve(worker, connection, stream, tcp::Seen::Nothing).await,
        Err(error) => tracing::debug!(client = %connection.client.address, %error, "a connection ended at once"),
    }
}
