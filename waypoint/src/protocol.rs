//! Step 3: the protocol. By what the service's port says of itself, else by the first bytes; and without any in
//! good time, it is one whose server speaks first.

use std::io;
use std::time::Duration;

pub(crate) use ambit_l7::sniff::Protocol;
use ambit_l7::sniff::{http, tls, unsaid};
use ambit_model::AppProtocol;
use tokio::io::AsyncRead;
use tokio::time::timeout;

use crate::rewind::Rewind;

/// Longest wait for the first bytes where the port is said to speak HTTP or TLS: as long as a connection may idle.
const LONGEST: Duration = Duration::from_secs(3600);

/// Says what a connection speaks by its first bytes; `None` as long as it cannot.
type Guess = fn(&[u8]) -> Option<Protocol>;

/// What a connection speaks. `patience` is for clients of which nothing is known.
pub(crate) async fn detect<S: AsyncRead + Unpin>(
    stream: &mut Rewind<S>,
    hint: AppProtocol,
    patience: Duration,
) -> io::Result<Protocol> {
    let (guess, patience): (Guess, _) = match hint {
        AppProtocol::Tcp => return Ok(Protocol::Tcp),
        AppProtocol::Http11 | AppProtocol::Http2 | AppProtocol::Grpc => (http, LONGEST),
        AppProtocol::Tls => (tls, LONGEST),
        AppProtocol::Unknown => (unsaid, patience),
    };
    let looking = async {
        loop {
            if let Some(protocol) = guess(stream.seen()) {
                return Ok(protocol);
            }
            if stream.look().await? == 0 {
                return Ok(at_end(hint));
            }
        }
    };
    timeout(patience, looking).await.unwrap_or_else(|_elapsed| Ok(at_end(hint)))
}

/// What it is when no more will be known.
fn at_end(hint: AppProtocol) -> Protocol {
    match hint {
        AppProtocol::Http11 | AppProtocol::Http2 | AppProtocol::Grpc => Protocol::Http1,
        AppProtocol::Unknown | AppProtocol::Tcp | AppProtocol::Tls => Protocol::Tcp,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_its_server_is_not_kept_waiting() {
        let (_client, server) = tokio::io::duplex(64);
        let mut stream = Rewind::new(server);
        let patience = Duration::from_millis(100);
        assert_eq!(detect(&mut stream, AppProtocol::Unknown, patience).await.unwrap(), Protocol::Tcp);
        assert_eq!(detect(&mut stream, AppProtocol::Tcp, Duration::MAX).await.unwrap(), Protocol::Tcp);
    }

    #[tokio::test]
    async fn bytes_in_pieces_are_put_together() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut stream = Rewind::new(server);
        let feeding = async {
            for piece in [&b"G"[..], b"ET / HTTP/1.", b"1\r\n"] {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (found, ()) = tokio::join!(detect(&mut stream, AppProtocol::Unknown, LONGEST), feeding);
        assert_eq!((found.unwrap(), stream.seen()), (Protocol::Http1, &b"GET / HTTP/1.1\r\n"[..]));
    }
}
