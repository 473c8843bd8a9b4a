//! The messages of `envoy.service.ratelimit.v3`, as far as they are written or read here. The numbers are the field's;
//! what has none here is left out, or passed over.

use bytes::Bytes;

use crate::external::WrittenHeader;

/// Of [`RateLimitResponse::overall_code`] and [`DescriptorStatus::code`].
pub(super) const OK: i32 = 1;
pub(super) const OVER_LIMIT: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RateLimitRequest {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) descriptors: Vec<Descriptor>,
    #[prost(uint32, tag = "3")]
    pub(super) hits_addend: u32,
}

/// `envoy.extensions.common.ratelimit.v3.RateLimitDescriptor`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Descriptor {
    #[prost(message, repeated, tag = "1")]
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RateLimitResponse {
    #[prost(int32, tag = "1")]
    pub(super) overall_code: i32,
    /// One for each descriptor, in their order.
    #[prost(message, repeated, tag = "2")]
    pub(super) statuses: Vec<DescriptorStatus>,
    #[prost(message, repeated, tag = "3")]
    pub(super) response_headers_to_add: Vec<WrittenHeader>,
    #[prost(message, repeated, tag = "4")]
    pub(super) request_headers_to_add: Vec<WrittenHeader>,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) raw_body: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DescriptorStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) current_limit: Option<CurrentLimit>,
    #[prost(uint32, tag = "3")]
    pub(super) limit_remaining: u32,
    #[prost(message, optional, tag = "4")]
    pub(super) duration_until_reset: Option<prost_types::Duration>,
}

/// `RateLimitResponse.RateLimit`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CurrentLimit {
    #[prost(uint32, tag = "1")]
    pub(super) requests_per_unit: u32,
    #[prost(int32, tag = "2")]
    pub(super) unit: i32,
}

impl CurrentLimit {
    /// Seconds of its unit; a month has 30 days, a year 365. Nothing for a unit nobody knows.
    pub(super) fn window(&self) -> Option<u64> {
        const DAY: u64 = 86_400;
        Some(match self.unit {
            1 => 1,
            2 => 60,
            3 => 3600,
            4 => DAY,
            5 => 30 * DAY,
            6 => 365 * DAY,
            7 => 7 * DAY,
            _ => return None,
        })
    }
}
