//! The head of a request, made unambiguous: one length, one authority, one reading of its path. What is decided by
//! it, and what goes on to the backend, are the same.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, Uri, Version};

use crate::{PathNormalization, normalise};

/// Why a head has no one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Where the message ends is said twice, or in a way that is not known.
    #[error("where the message ends is ambiguous")]
    Length,
    /// Whom it is for is said twice, nowhere, or not as a host and a port.
    #[error("whom the request is for is ambiguous")]
    Authority,
    /// Its path cannot be normalised.
    #[error("the path cannot be normalised")]
    Path,
}

impl HeadError {
    /// In a word, for the log.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Length => "ambiguous_length",
            Self::Authority => "bad_authority",
            Self::Path => "bad_path",
        }
    }
}

/// The codings of a body but `chunked` are none that could be passed on: the next hop gets a coding of our own.
///
/// # Errors
/// Where a message ends must be said once (RFC 9112 §6.1): who reads the other way sees another message.
pub fn one_length(parts: &Parts) -> Result<(), HeadError> {
    let lengths = parts.headers.get_all(CONTENT_LENGTH).iter().count();
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let is_one = match (codings.next(), codings.next()) {
        (None, _) => lengths <= 1,
        (Some(coding), None) => {
            lengths == 0 && parts.version == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        }
        (Some(_), Some(_)) => false,
    };
    if is_one { Ok(()) } else { Err(HeadError::Length) }
}

/// The authority, which is not said twice in different ways, and of which policies see the host and the port that
/// the backend sees. Where HTTP/1.0 says none it is `asked`.
///
/// # Errors
/// When there is none, or two, or it is more than a host and a port.
pub fn authority(parts: &Parts, asked: &str) -> Result<Authority, HeadError> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(HeadError::Authority);
    }
    let host = host.filter(|host| !host.is_empty()).map(|host| Authority::try_from(host.as_bytes())).transpose();
    let host = host.map_err(|_| HeadError::Authority)?;
    // HTTP/1 says that the target's goes before; HTTP/2 that both must be the same.
    let authority = match (parts.uri.authority().cloned(), host) {
        (Some(target), Some(host)) if parts.version == Version::HTTP_2 && target != host => {
            return Err(HeadError::Authority);
        }
        (Some(target), _) => Some(target),
        (None, host) => host,
    };
    match authority {
        Some(a) if a.as_str().contains('@') || (a.as_str() != a.host() && a.port_u16().is_none()) => {
            Err(HeadError::Authority)
        }
        Some(authority) => Ok(authority),
        None if parts.version == Version::HTTP_10 => Authority::try_from(asked).map_err(|_| HeadError::Authority),
        None => Err(HeadError::Authority),
    }
}

/// The target in absolute form, its path normalised.
///
/// # Errors
/// When its path cannot be.
pub fn target(target: &Uri, authority: &Authority, how: PathNormalization) -> Result<Uri, HeadError> {
    let path = normalise(target.path(), how).map_err(|_| HeadError::Path)?;
    let path = match target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| HeadError::Path)?);
    // Whatever the client says: there is no TLS here.
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority.clone());
    Uri::from_parts(parts).map_err(|_| HeadError::Path)
}

/// Takes away `Connection` and what it names, before anybody adds to the headers: else a client could take away what
/// the mesh says to the backend. Returns whether it names `upgrade`.
pub fn take_connection(headers: &mut HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(','));
    let names: Vec<HeaderName> = names.filter_map(|name| name.trim().parse().ok()).collect();
    headers.remove(CONNECTION);
    // What every message needs, and what is looked at further on.
    for name in names.iter().filter(|name| ![HOST, CONTENT_LENGTH, UPGRADE, TE].contains(name)) {
        headers.remove(name);
    }
    names.contains(&UPGRADE)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn where_a_message_ends_is_said_once() {
        for (headers, version, is_one) in [
            (&[][..], Version::HTTP_11, true),
            (&[("content-length", "1")], Version::HTTP_2, true),
            (&[("content-length", "1"), ("content-length", "1")], Version::HTTP_11, false),
            (&[("transfer-encoding", "Chunked")], Version::HTTP_11, true),
            (&[("transfer-encoding", "chunked")], Version::HTTP_10, false),
            (&[("transfer-encoding", "chunked")], Version::HTTP_2, false),
            (&[("transfer-encoding", "gzip, chunked")], Version::HTTP_11, false),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], Version::HTTP_11, false),
            (&[("transfer-encoding", "chunked"), ("content-length", "1")], Version::HTTP_11, false),
        ] {
            let request = Request::get("/").version(version);
            let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            let parts = request.body(()).unwrap().into_parts().0;
            assert_eq!(one_length(&parts).is_ok(), is_one, "{headers:?} {version:?}");
        }
    }
}
