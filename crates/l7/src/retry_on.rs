//! The failures after which an attempt is made again.

use http::{HeaderMap, HeaderName, StatusCode};

use crate::{RetryOn, grpc};

/// A word of `retryOn` that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no condition to retry on")]
pub struct RetryOnError(
    /// The word.
    pub String,
);

/// How an attempt failed without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection came about.
    Connect,
    /// The upstream refused the stream before it looked at it.
    RefusedStream,
    /// The upstream hung up before anything of the request was sent.
    ResetBeforeRequest,
    /// The upstream hung up before it answered.
    Reset,
    /// No answer came within the time of one attempt.
    PerTryTimeout,
    /// A limit of ours was in the way: trying again would make it worse.
    Overflow,
}

const RATE_LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");

impl RetryOn {
    /// What `retryOn` says, its words separated by commas: conditions, or statuses as numbers.
    ///
    /// # Errors
    /// The first word that means nothing.
    pub fn parse(text: &str) -> Result<Self, RetryOnError> {
        let mut on = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "5xx" => on.server_error = true,
                "gateway-error" => on.gateway_error = true,
                "reset" => on.reset = true,
                "reset-before-request" => on.reset_before_request = true,
                "connect-failure" => on.connect_failure = true,
                "refused-stream" => on.refused_stream = true,
                "retriable-4xx" => on.retriable_4xx = true,
                "envoy-ratelimited" => on.rate_limited = true,
                // They announce lists: the statuses stand beside them, the headers elsewhere. There is no
                // HTTP/3 in the mesh.
                "retriable-status-codes" | "retriable-headers" | "http3-post-connect-failure" => {}
                "cancelled" => on.grpc.push(1),
                "deadline-exceeded" => on.grpc.push(4),
                "resource-exhausted" => on.grpc.push(8),
                "internal" => on.grpc.push(13),
                "unavailable" => on.grpc.push(14),
                number => {
                    let status = number.parse().ok().and_then(|number: u16| StatusCode::from_u16(number).ok());
                    on.statuses.push(status.ok_or_else(|| RetryOnError(word.to_owned()))?);
                }
            }
        }
        Ok(on)
    }

    /// Whether an answer is one to try again after. Only its headers are looked at: once they went on to the
    /// client there is no other try.
    #[must_use]
    pub fn after_response(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        if headers.contains_key(RATE_LIMITED) {
            // Who was told to slow down tries again only if that was asked for.
            return self.rate_limited;
        }
        let is_gateways =
            matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
        (self.server_error && status.is_server_error())
            || (self.gateway_error && is_gateways)
            || (self.retriable_4xx && status == StatusCode::CONFLICT)
            || self.statuses.contains(&status)
            || self.headers.iter().any(|name| headers.contains_key(name))
            || (!self.grpc.is_empty() && grpc::status(headers).is_some_and(|status| self.grpc.contains(&status)))
    }

    /// Whether a failure is one to try again after.
    #[must_use]
    pub fn after_failure(&self, kind: FailureKind) -> bool {
        let any = self.reset || self.server_error || self.gateway_error;
        match kind {
            FailureKind::Connect => any || self.connect_failure || self.reset_before_request,
            FailureKind::RefusedStream => any || self.refused_stream,
            FailureKind::ResetBeforeRequest => any || self.reset_before_request,
            FailureKind::Reset | FailureKind::PerTryTimeout => any,
            FailureKind::Overflow => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::FailureKind::{Connect, Overflow, PerTryTimeout, RefusedStream, Reset, ResetBeforeRequest};
    use super::*;

    #[test]
    fn each_word_has_its_failures() {
        const ALL: [FailureKind; 6] = [Connect, RefusedStream, ResetBeforeRequest, Reset, PerTryTimeout, Overflow];
        let but_overflow = &ALL[..5];
        for (words, expected) in [
            ("", &[][..]),
            ("5xx", but_overflow),
            ("gateway-error", but_overflow),
            ("reset", but_overflow),
            ("reset-before-request", &[Connect, ResetBeforeRequest]),
            ("connect-failure", &[Connect]),
            ("refused-stream", &[RefusedStream]),
            ("connect-failure, refused-stream,unavailable", &[Connect, RefusedStream]),
            ("retriable-4xx,503,cancelled,envoy-ratelimited,retriable-status-codes,retriable-headers", &[]),
        ] {
            let on = RetryOn::parse(words).unwrap();
            let tried: Vec<_> = ALL.into_iter().filter(|kind| on.after_failure(*kind)).collect();
            assert_eq!(tried, expected, "{words}");
        }
    }

    #[test]
    fn each_word_has_its_answers() {
        let with = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        let none = HeaderMap::new();
        for (words, status, headers, expected) in [
            ("5xx", 500, &none, true),
            ("5xx", 599, &none, true),
            ("5xx", 429, &none, false),
            ("gateway-error", 500, &none, false),
            ("gateway-error", 502, &none, true),
            ("gateway-error", 503, &none, true),
            ("gateway-error", 504, &none, true),
            ("retriable-4xx", 409, &none, true),
            ("retriable-4xx", 404, &none, false),
            ("retriable-status-codes,418", 418, &none, true),
            ("418", 418, &none, true),
            ("retriable-status-codes", 503, &none, false),
            ("reset,connect-failure,refused-stream", 503, &none, false),
            ("5xx", 503, &with("x-envoy-ratelimited", "true"), false),
            ("envoy-ratelimited", 429, &with("x-envoy-ratelimited", "true"), true),
            ("envoy-ratelimited", 429, &none, false),
            ("cancelled", 200, &with("grpc-status", "1"), true),
            ("deadline-exceeded", 200, &with("grpc-status", "4"), true),
            ("resource-exhausted", 200, &with("grpc-status", "8"), true),
            ("internal", 200, &with("grpc-status", "13"), true),
            ("unavailable", 200, &with("grpc-status", "14"), true),
            ("unavailable", 200, &with("grpc-status", "0"), false),
            ("unavailable", 503, &none, false),
        ] {
            let on = RetryOn::parse(words).unwrap();
            assert_eq!(on.after_response(StatusCode::from_u16(status).unwrap(), headers), expected, "{words} {status}");
        }
        let by_header = RetryOn { headers: vec![HeaderName::from_static("x-again")], ..RetryOn::default() };
        assert!(by_header.after_response(StatusCode::OK, &with("x-again", "")));
    }

    #[test]
    fn words_that_mean_nothing_are_named() {
        for (text, word) in [("5xx,sometimes", "sometimes"), ("99", "99"), ("5xx 503", "5xx 503"), ("-1", "-1")] {
            assert_eq!(RetryOn::parse(text), Err(RetryOnError(word.into())), "{text}");
        }
    }
}
