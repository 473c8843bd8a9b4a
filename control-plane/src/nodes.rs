//! What node agents connect to: discovery, certificates and reports on one port, over TLS.

use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::accept::Connection;
use crate::failure::error_chain;

/// Pings keep a connection known to be alive, in both ends' interest, and its port open in every firewall.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// Streams of one connection: an agent has a discovery stream, a report, and requests for certificates, of
/// which more wait for each other; four are signed at a time anyway.
const MAX_STREAMS: u32 = 8;
/// Connections of one address. A node's agent has one, and a second while it is replaced; clients behind an
/// address that is shared have more.
pub(crate) const OF_ADDRESS: usize = 64;
/// Bytes of a request's headers. A token has about one thousand.
const MAX_HEADERS: u32 = 32 << 10;
/// After this long a connection is asked to be made anew, so that agents spread over replicas that came later.
const MAX_AGE: Duration = Duration::from_mins(30);
/// How long a connection that was asked to go may still carry its streams.
const GRACE: Duration = Duration::from_secs(10);

/// Serves from when the world is known until `stop`.
pub(crate) async fn serve(
    connections: mpsc::Receiver<Connection>,
    services: Routes,
    mut known: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    // Until then, connections wait. Any earlier answer would leave things out.
    if known.wait_for(|known| *known).await.is_err() {
        return;
    }
    let served = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .max_connection_age(MAX_AGE)
        .max_connection_age_grace(GRACE)
        .add_routes(services)
        .serve_with_incoming_shutdown(
            ReceiverStream::new(connections).map(Ok::<_, Infallible>),
            stop.clone().cancelled_owned(),
        );
    if let Err(error) = served.await {
        tracing::error!(error = error_chain(&error), "nodes are not served any more");
    }
}
