//! The `baggage` header of a CONNECT request: who the client says it is, for metrics and logs. It is
//! the peer's word and never proves anything; policy looks at certificates only.

use std::fmt::Write as _;

use ambit_model::WorkloadKind;
use http::HeaderValue;

/// Longest accepted header in bytes (W3C Baggage §3.3.2 asks for 8192).
const MAX_LEN: usize = 8192;

/// What a client says about itself. An empty text stands for a key that was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Baggage {
    /// `k8s.cluster.name`
    pub cluster: String,
    /// `k8s.namespace.name`
    pub namespace: String,
    /// The word in `k8s.<word>.name`.
    pub kind: WorkloadKind,
    /// `k8s.<word>.name`
    pub workload: String,
    /// `service.name`
    pub service: String,
    /// `service.version`
    pub version: String,
    /// `cloud.region`
    pub region: String,
    /// `cloud.availability_zone`
    pub zone: String,
}

/// Why a header is not baggage. Unknown and malformed members are no error: they are skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaggageError {
    /// Longer than the limit.
    #[error("a baggage header of {0} bytes is longer than {MAX_LEN}")]
    TooLong(usize),
    /// Not ASCII, as header values are.
    #[error("the baggage header is not ASCII text")]
    NotAscii,
}

/// Reads a `baggage` header. Of a key sent twice the first counts.
///
/// # Errors
/// When it is too long or not text.
pub fn parse(header: &[u8]) -> Result<Baggage, BaggageError> {
    if header.len() > MAX_LEN {
        return Err(BaggageError::TooLong(header.len()));
    }
    let text = str::from_utf8(header).ok().filter(|text| text.is_ascii()).ok_or(BaggageError::NotAscii)?;
    let mut baggage = Baggage::default();
    for member in text.split(',') {
        let (pair, _properties) = member.split_once(';').unwrap_or((member, ""));
        if let Some((key, value)) = pair.split_once('=') {
            baggage.take(key.trim(), value.trim());
        }
    }
    Ok(baggage)
}

impl Baggage {
    fn take(&mut self, key: &str, value: &str) {
        // A value that says nothing leaves everything as it was, the workload's kind too.
        let Some(value) = percent_decode(value).filter(|value| !value.is_empty()) else { return };
        let field = match key {
            "k8s.cluster.name" => &mut self.cluster,
            "k8s.namespace.name" => &mut self.namespace,
            "service.name" => &mut self.service,
            "service.version" => &mut self.version,
            "cloud.region" => &mut self.region,
            "cloud.availability_zone" => &mut self.zone,
            _ => match workload_kind(key) {
                Some(kind) if self.workload.is_empty() => {
                    self.kind = kind;
                    &mut self.workload
                }
                _ => return,
            },
        };
        if field.is_empty() {
            *field = value;
        }
    }

    /// The header's text. Keys without a value are left out.
    #[must_use]
    pub fn render(&self) -> String {
        let kind = format!("k8s.{}.name", self.kind.word());
        let members = [
            ("k8s.cluster.name", &self.cluster),
            ("k8s.namespace.name", &self.namespace),
            (kind.as_str(), &self.workload),
            ("service.name", &self.service),
            ("service.version", &self.version),
            ("cloud.region", &self.region),
            ("cloud.availability_zone", &self.zone),
        ];
        let mut text = String::new();
        for (key, value) in members.into_iter().filter(|(_, value)| !value.is_empty()) {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(key);
            text.push('=');
            percent_encode(value, &mut text);
        }
        text
    }

    /// The header, to be made once per workload and cloned per request (a clone copies no bytes).
    #[must_use]
    #[expect(clippy::expect_used, reason = "percent_encode leaves visible ASCII only, which every header takes")]
    pub fn header(&self) -> HeaderValue {
        HeaderValue::try_from(self.render()).expect("baggage is rendered as visible ASCII")
    }
}

fn workload_kind(key: &str) -> Option<WorkloadKind> {
    let word = key.strip_prefix("k8s.")?.strip_suffix(".name")?;
    [WorkloadKind::Deployment, WorkloadKind::CronJob, WorkloadKind::Pod, WorkloadKind::Job]
        .into_iter()
        .find(|kind| kind.word() == word)
}

/// Encodes what would end a value or is no visible ASCII, and no more: there are readers that do not decode.
fn percent_encode(value: &str, text: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b',' | b';' | b'=' | b'%' | b'"' | b'\\') {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            _ = write!(text, "%{byte:02X}");
        }
    }
}

/// `None` when an escape is broken or the result is not UTF-8.
fn percent_decode(value: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { hex(bytes.next()?)? << 4 | hex(bytes.next()?)? } else { byte });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: &str = "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,k8s.deployment.name=cart,\
        service.name=cart,service.version=v1,cloud.region=r1,cloud.availability_zone=z1";

    #[test]
    fn reads_and_writes_every_key() {
        let baggage = parse(FULL.as_bytes()).unwrap();
        assert_eq!((baggage.kind, baggage.workload.as_str()), (WorkloadKind::Deployment, "cart"));
        assert_eq!(baggage.render(), FULL);
        assert_eq!(baggage.header(), FULL);
    }

    #[test]
    fn encodes_no_more_than_it_must() {
        let baggage =
            Baggage { cluster: "east/a:1".to_owned(), service: "a,b=c%;d\u{e4} ".to_owned(), ..Baggage::default() };
        assert_eq!(baggage.render(), "k8s.cluster.name=east/a:1,service.name=a%2Cb%3Dc%25%3Bd%C3%A4%20");
    }

    #[test]
    fn skips_what_it_does_not_know() {
        for (header, namespace, service) in [
            ("", "", ""),
            (",,;=,=x,k8s.namespace.name", "", ""),
            ("x=y, k8s.namespace.name = shop ;p=1 , service.name=a%20b", "shop", "a b"),
            ("k8s.namespace.name=a,k8s.namespace.name=b", "a", ""),
            ("k8s.namespace.name=%zz,service.name=%f", "", ""),
            ("k8s.namespace.name=%ff,service.name=%C3%A4", "", "\u{e4}"),
        ] {
            let baggage = parse(header.as_bytes()).unwrap();
            assert_eq!((baggage.namespace.as_str(), baggage.service.as_str()), (namespace, service), "{header}");
        }
    }

    #[test]
    fn is_bounded() {
        assert_eq!(parse(&[b'a'; 8193]), Err(BaggageError::TooLong(8193)));
        assert_eq!(parse(b"service.name=\xff"), Err(BaggageError::NotAscii));
    }

    proptest! {
        #[test]
        fn never_panics(header: Vec<u8>) {
            drop(parse(&header));
        }

        #[test]
        fn reads_what_it_writes(words in prop::collection::vec("\\PC{0,9}", 7)) {
            let [cluster, namespace, workload, service, version, region, zone]: [String; 7] = words.try_into().unwrap();
            let kind = if workload.is_empty() { WorkloadKind::Pod } else { WorkloadKind::CronJob };
            let baggage = Baggage { cluster, namespace, kind, workload, service, version, region, zone };
            prop_assert_eq!(parse(baggage.render().as_bytes()).unwrap(), baggage);
        }
    }
}
