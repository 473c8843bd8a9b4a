//! What a connection begins with before the application's own bytes: a PROXY header, a request for another target.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ambit_hbone::ProxyHeader;
use ambit_l7::ProxyProtocol;
use ambit_model::{PeerAddr, TunnelTarget};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest head of an answer to a CONNECT. It has no headers that matter.
const MAX_ANSWER: usize = 8 << 10;

/// Why the other target was not reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum ThroughError {
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The endpoint said no.
    #[error("the endpoint answered {0:?}")]
    Refused(String),
    /// The endpoint's answer is no HTTP, or too long.
    #[error("the endpoint's answer is malformed")]
    Malformed,
}

/// The header that says whose connection this is.
pub(super) fn proxy_header(version: ProxyProtocol, client: PeerAddr, asked: SocketAddr) -> Vec<u8> {
    match version {
        ProxyProtocol::V2 => {
            ProxyHeader { source: client, destination: TunnelTarget::new(asked), identity: None }.render()
        }
        ProxyProtocol::V1 => {
            let (source, destination) = (client.socket(), TunnelTarget::new(asked).socket());
            let (from, to, family) = match (source.ip(), destination.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => (IpAddr::V4(from), IpAddr::V4(to), "TCP4"),
                (from, to) => (mapped(from), mapped(to), "TCP6"),
            };
            format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
        }
    }
}

/// One header holds addresses of one family.
fn mapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(_) => ip,
    }
}

/// Asks the endpoint for another target.
pub(super) async fn through<S>(stream: &mut S, host: &str, port: u16) -> Result<(), ThroughError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let answer = head(stream).await?;
    let line = answer.split(|byte| *byte == b'\r').next().and_then(|line| str::from_utf8(line).ok());
    let line = line.ok_or(ThroughError::Malformed)?;
    let mut words = line.split(' ');
    match (words.next(), words.next()) {
        (Some("HTTP/1.1" | "HTTP/1.0"), Some(status)) if status.len() == 3 && status.starts_with('2') => Ok(()),
        (Some("HTTP/1.1" | "HTTP/1.0"), Some(_)) => Err(ThroughError::Refused(line.to_owned())),
        _ => Err(ThroughError::Malformed),
    }
}

/// Byte by byte, as what follows the head is not ours.
async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, ThroughError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_ANSWER {
            return Err(ThroughError::Malformed);
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_text() {
        let header = |from: &str, to: &str| {
            let client = PeerAddr::new(from.parse().unwrap());
            String::from_utf8(proxy_header(ProxyProtocol::V1, client, to.parse().unwrap())).unwrap()
        };
        for (from, to, expected) in [
            ("10.0.0.1:5", "10.0.0.2:80", "PROXY TCP4 10.0.0.1 10.0.0.2 5 80\r\n"),
            ("[fd00::1]:5", "[fd00::2]:80", "PROXY TCP6 fd00::1 fd00::2 5 80\r\n"),
            ("10.0.0.1:5", "[fd00::2]:80", "PROXY TCP6 ::ffff:10.0.0.1 fd00::2 5 80\r\n"),
        ] {
            assert_eq!(header(from, to), expected);
        }
    }

    #[tokio::test]
    async fn only_success_lets_bytes_follow() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\nhello", Ok(())),
            ("HTTP/1.0 204 No Content\r\na: b\r\n\r\nhello", Ok(())),
            ("HTTP/1.1 403 Forbidden\r\n\r\n", Err("answered")),
            ("HTTP/1.1 2000 OK\r\n\r\n", Err("answered")),
            ("SSH-2.0-x\r\n\r\n", Err("malformed")),
            ("HTTP/1.1 200 OK\r\n", Err("broke")),
        ] {
            let (mut near, mut far) = tokio::io::duplex(1 << 10);
            far.write_all(answer.as_bytes()).await.unwrap();
            far.shutdown().await.unwrap();
            let result = through(&mut near, "db", 5432).await;
            match expected {
                Ok(()) => {
                    result.unwrap();
                    let mut rest = String::new();
                    near.read_to_string(&mut rest).await.unwrap();
                    assert_eq!(rest, "hello", "{answer:?}");
                }
                Err(word) => assert!(result.unwrap_err().to_string().contains(word), "{answer:?}"),
            }
        }
    }

    #[tokio::test]
    async fn an_endless_head_is_refused() {
        let (mut near, mut far) = tokio::io::duplex(MAX_ANSWER + 1);
        far.write_all(&[b'a'; MAX_ANSWER + 1]).await.unwrap();
        let result = through(&mut near, "db", 5432).await;
        assert!(matches!(result, Err(ThroughError::Malformed)));
    }
}
