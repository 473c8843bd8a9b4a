//! Formats of access logs: texts with `%COMMAND(ARGUMENT):LENGTH%` in them, in the field's language.

use std::fmt::Write as _;
use std::sync::Arc;

use http::HeaderName;

use super::{Attribute, Ended, Value};

/// A format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Arc<[Piece]>);

/// Why a text is no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is too long.
    #[error("longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// A percent sign whose partner is not there.
    #[error("there is no command between percent signs at {0:?}; one percent sign is written %%")]
    Unended(String),
    /// A command that is not known, or that this mesh has not.
    #[error("%{0}% is not supported")]
    Command(String),
    /// An argument that means nothing to its command, or a missing one.
    #[error("%{command}({argument})% is not supported")]
    Argument {
        /// The command.
        command: String,
        /// Its argument.
        argument: String,
    },
}

/// A longer one is none.
const MAX_LENGTH: usize = 16 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Command(Command),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Command {
    what: Attribute,
    /// Where that is not there.
    or: Option<Attribute>,
    /// Characters of it at most.
    length: Option<usize>,
}

impl Format {
    /// Reads a format.
    ///
    /// # Errors
    /// Where it is none, or has what is not supported: nothing is written as it stands.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        if text.len() > MAX_LENGTH {
            return Err(FormatError::TooLong);
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let (command, after) = end_of_command(after).ok_or_else(|| FormatError::Unended(format!("%{after}")))?;
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
            }
            pieces.push(Piece::Command(Command::parse(command)?));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into()));
        }
        Ok(Self(pieces.into()))
    }

    /// What it says of a request, as a text; `-` for what is not there.
    #[must_use]
    pub fn text(&self, ended: &Ended<'_>) -> String {
        let mut out = String::new();
        for piece in &*self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Command(command) => match command.of(ended) {
                    // Writing to a string cannot fail.
                    Some(value) => write!(out, "{value}").unwrap_or_default(),
                    None => out.push('-'),
                },
            }
        }
        out
    }

    /// What it says of a request: where it is one command only, its own value, or none.
    #[must_use]
    pub fn value<'a>(&self, ended: &Ended<'a>) -> Option<Value<'a>> {
        match &*self.0 {
            [Piece::Command(command)] => command.of(ended),
            _ => Some(Value::Text(self.text(ended).into())),
        }
    }
}

impl Command {
    fn parse(text: &str) -> Result<Self, FormatError> {
        let unknown = || FormatError::Command(text.to_owned());
        let (name, argument, length) = match text.split_once('(') {
            Some((name, rest)) => {
                let (argument, after) = rest.rsplit_once(')').ok_or_else(unknown)?;
                (name, Some(argument), after)
            }
            None => match text.split_once(':') {
                Some((name, _)) => (name, None, text.strip_prefix(name).unwrap_or_default()),
                None => (text, None, ""),
            },
        };
        let length = match length.strip_prefix(':') {
            Some(length) => Some(length.parse().map_err(|_| unknown())?),
            None if length.is_empty() => None,
            None => return Err(unknown()),
        };
        let (what, or) = match argument.filter(|argument| !argument.is_empty()) {
            Some(argument) => with_argument(name, argument)?,
            None => (attribute(name).ok_or_else(unknown)?, None),
        };
        Ok(Self { what, or, length })
    }

    fn of<'a>(&self, ended: &Ended<'a>) -> Option<Value<'a>> {
        let value = self.what.of(ended).or_else(|| self.or.as_ref()?.of(ended))?;
        match self.length {
            Some(length) => Some(Value::Text(value.to_string().chars().take(length).collect::<String>().into())),
            None => Some(value),
        }
    }
}

/// A command and what is after its percent sign. There may be percent signs in its argument.
fn end_of_command(text: &str) -> Option<(&str, &str)> {
    let end = text.find(['%', '('])?;
    if text.as_bytes().get(end) == Some(&b'%') {
        return text.split_once('%');
    }
    let argument_end = end + text.get(end..)?.find(')')?;
    let end = argument_end + text.get(argument_end..)?.find('%')?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// `X?Y`: X, or else Y.
fn with_argument(name: &str, argument: &str) -> Result<(Attribute, Option<Attribute>), FormatError> {
    let refused = || FormatError::Argument { command: name.to_owned(), argument: argument.to_owned() };
    let of: fn(&str) -> Option<Attribute> = match name {
        "REQ" => request,
        "RESP" => |name| {
            let is_time = name.eq_ignore_ascii_case("x-envoy-upstream-service-time");
            // The time is known here without the header that other proxies write it into.
            if is_time { Some(Attribute::UpstreamTime) } else { header(name).map(Attribute::ResponseHeader) }
        },
        "TRAILER" => |name| header(name).map(Attribute::ResponseTrailer),
        "PROTOCOL" | "START_TIME" | "GRPC_STATUS" => return Err(refused()),
        _ => return Err(FormatError::Command(name.to_owned())),
    };
    match argument.split_once('?') {
        Some((first, second)) => Ok((of(first).ok_or_else(refused)?, Some(of(second).ok_or_else(refused)?))),
        None => Ok((of(argument).ok_or_else(refused)?, None)),
    }
}

/// What has the place of a header in a request.
fn request(name: &str) -> Option<Attribute> {
    Some(match name.to_ascii_lowercase().as_str() {
        ":method" => Attribute::Method,
        ":path" => Attribute::Path,
        ":authority" | "host" => Attribute::Authority,
        ":scheme" => Attribute::Scheme,
        // The path is always logged as the client sent it.
        "x-envoy-original-path" => Attribute::Unknown,
        name => Attribute::RequestHeader(header(name)?),
    })
}

fn header(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).ok()
}

fn attribute(command: &str) -> Option<Attribute> {
    Some(match command {
        "START_TIME" => Attribute::Began,
        "DURATION" => Attribute::Duration,
        "PROTOCOL" => Attribute::Protocol,
        "RESPONSE_CODE" => Attribute::Status,
        "RESPONSE_CODE_DETAILS" => Attribute::Details,
        "RESPONSE_FLAGS" => Attribute::Flags,
        "GRPC_STATUS_NUMBER" => Attribute::GrpcStatus,
        "BYTES_RECEIVED" => Attribute::Received,
        "BYTES_SENT" => Attribute::Sent,
        "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => Attribute::UpstreamHost,
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Attribute::UpstreamCluster,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => Attribute::UpstreamFailure,
        "UPSTREAM_LOCAL_ADDRESS" | "CONNECTION_TERMINATION_DETAILS" => Attribute::Unknown,
        "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Attribute::ClientAddress,
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => {
            Attribute::ClientIp
        }
        "DOWNSTREAM_REMOTE_PORT" | "DOWNSTREAM_DIRECT_REMOTE_PORT" => Attribute::ClientPort,
        "DOWNSTREAM_LOCAL_ADDRESS" => Attribute::AskedAddress,
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Attribute::AskedIp,
        "DOWNSTREAM_LOCAL_PORT" => Attribute::AskedPort,
        "DOWNSTREAM_PEER_URI_SAN" => Attribute::ClientIdentity,
        "DOWNSTREAM_LOCAL_URI_SAN" => Attribute::OwnIdentity,
        "REQUESTED_SERVER_NAME" => Attribute::ServerName,
        "ROUTE_NAME" => Attribute::Route,
        "TRACE_ID" => Attribute::TraceId,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::fixtures::ended;

    #[test]
    fn formats_say_what_other_proxies_say() {
        for (format, expected) in [
            ("", ""),
            ("100%%", "100%"),
            ("[%START_TIME%] \"%REQ(:METHOD)% %PROTOCOL%\"", "[2026-01-01T00:00:00.000Z] \"GET HTTP/1.1\""),
            ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "/a/c?q=1"),
            ("%REQ(USER-AGENT):4% %REQ(X-NONE)% %REQ(x-none?x-a)%", "curl - 1,2"),
            ("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%", "503 UH no_healthy_upstream"),
            ("%BYTES_RECEIVED%/%BYTES_SENT%/%DURATION%", "5/19/7"),
            ("%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% %UPSTREAM_HOST%", "- -"),
            ("%UPSTREAM_CLUSTER%", "outbound|80||reviews.shop.svc.cluster.local"),
            ("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_PORT%", "10.0.0.1:4711 80"),
            ("%DOWNSTREAM_PEER_URI_SAN%", "spiffe://td/ns/shop/sa/cart"),
            ("%TRACE_ID%", "00000000000000000000000000000007"),
            ("%RESPONSE_CODE:1%", "5"),
        ] {
            assert_eq!(ended(|ended| Format::parse(format).unwrap().text(ended)), expected, "{format}");
        }
        let number = Format::parse("%RESPONSE_CODE%").unwrap();
        assert!(ended(|ended| number.value(ended) == Some(Value::Number(503))));
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (format, expected) in [
            ("%DYNAMIC_METADATA(a:b)%", "%DYNAMIC_METADATA% is not supported"),
            ("%NOTHING%", "%NOTHING% is not supported"),
            ("%START_TIME(%Y)%", "%START_TIME(%Y)% is not supported"),
            ("%REQ(a b)%", "%REQ(a b)% is not supported"),
            ("%REQ()%", "%REQ()% is not supported"),
            ("%DURATION:x%", "%DURATION:x% is not supported"),
            ("100%", "there is no command between percent signs at \"%\"; one percent sign is written %%"),
            ("%REQ(a%", "there is no command between percent signs at \"%REQ(a%\"; one percent sign is written %%"),
        ] {
            assert_eq!(Format::parse(format).unwrap_err().to_string(), expected, "{format}");
        }
    }
}
