//! What the container runtime tells a plugin on its standard input: its entry of the network's list,
//! with the result of the plugins before it.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{MESHED_NAMESPACES, SOCKET};

/// Longest text taken from a runtime, in bytes.
pub const MAX_CONFIG: usize = 4 << 20;

/// The version of a network that does not say one.
const FIRST_VERSION: &str = "0.1.0";

/// The plugin's configuration.
#[derive(Debug)]
pub struct NetworkConfig<'a> {
    /// Which version of the protocol the runtime speaks.
    pub version: String,
    /// Where the agent listens.
    pub socket: PathBuf,
    /// Where the agent keeps what the plugin goes by while it is away.
    pub meshed_namespaces: PathBuf,
    /// What the plugins before it made.
    pub previous: Option<Previous<'a>>,
}

/// A result as it was written, so that it goes on to the runtime to the letter.
#[derive(Debug, Clone, Copy)]
pub struct Previous<'a>(&'a RawValue);

/// Why a configuration is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NetworkConfigError {
    /// It is no configuration.
    #[error("not a network configuration")]
    Config(#[source] serde_json::Error),
    /// The previous result is no result.
    #[error("prevResult cannot be understood")]
    Result(#[source] serde_json::Error),
    /// An address in it is none.
    #[error("prevResult holds {0:?} as an address")]
    Address(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    #[serde(default)]
    cni_version: Option<String>,
    #[serde(default)]
    socket: Option<PathBuf>,
    #[serde(default)]
    meshed_namespaces: Option<PathBuf>,
    #[serde(borrow, default)]
    prev_result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    interfaces: Option<Vec<Interface>>,
    #[serde(default)]
    ips: Option<Vec<Address>>,
    // Up to version 0.2.0.
    #[serde(default)]
    ip4: Option<OldAddress>,
    #[serde(default)]
    ip6: Option<OldAddress>,
}

#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    sandbox: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    address: String,
    #[serde(default)]
    interface: Option<i64>,
}

#[derive(Deserialize)]
struct OldAddress {
    ip: String,
}

impl<'a> NetworkConfig<'a> {
    /// Reads the configuration.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &'a [u8]) -> Result<Self, NetworkConfigError> {
        let config: Config<'a> = serde_json::from_slice(text).map_err(NetworkConfigError::Config)?;
        Ok(Self {
            version: config.cni_version.filter(|text| !text.is_empty()).unwrap_or_else(|| FIRST_VERSION.to_owned()),
            socket: config.socket.unwrap_or_else(|| SOCKET.into()),
            meshed_namespaces: config.meshed_namespaces.unwrap_or_else(|| MESHED_NAMESPACES.into()),
            previous: config.prev_result.map(Previous),
        })
    }
}

impl<'a> Previous<'a> {
    /// To the letter.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.0.get()
    }

    /// The pod's addresses: those of interfaces inside of it, and those of which it is not said.
    ///
    /// # Errors
    /// If the result is none.
    pub fn addresses(self) -> Result<Vec<IpAddr>, NetworkConfigError> {
        let outcome: Outcome = serde_json::from_str(self.text()).map_err(NetworkConfigError::Result)?;
        let interfaces = outcome.interfaces.unwrap_or_default();
        let in_pod = |address: &Address| {
            let interface = address.interface.and_then(|index| interfaces.get(usize::try_from(index).ok()?));
            interface.is_none_or(|interface| interface.sandbox.as_deref().is_some_and(|sandbox| !sandbox.is_empty()))
        };
        let listed = outcome.ips.unwrap_or_default().into_iter().filter(in_pod).map(|address| address.address);
        let old = [outcome.ip4, outcome.ip6].into_iter().flatten().map(|address| address.ip);
        listed.chain(old).map(parse_address).collect()
    }
}

/// Addresses come with the length of their network.
fn parse_address(text: String) -> Result<IpAddr, NetworkConfigError> {
    let address = text.split_once('/').map_or(text.as_str(), |(address, _)| address);
    match address.parse() {
        Ok(address) => Ok(address),
        Err(_) => Err(NetworkConfigError::Address(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_pod_are_found_in_results_of_all_versions() {
        let bridge = r#"{"cniVersion":"1.0.0","interfaces":[{"name":"cni0","mac":"a"},{"name":"veth1"},
            {"name":"eth0","sandbox":"/run/netns/x"}],"ips":[{"interface":2,"address":"10.0.0.5/24","gateway":"10.0.0.1"},
            {"interface":0,"address":"10.0.0.1/24"}],"dns":{}}"#;
        let cases: [(&str, &[&str]); 7] = [
            (bridge, &["10.0.0.5"]),
            (r#"{"ips":[{"address":"10.0.0.5/32"},{"address":"fd00::5/128"}]}"#, &["10.0.0.5", "fd00::5"]),
            (r#"{"ips":[{"version":"4","interface":7,"address":"10.0.0.5/32"}]}"#, &["10.0.0.5"]),
            (r#"{"ip4":{"ip":"10.0.0.5/24"},"ip6":{"ip":"fd00::5/64"}}"#, &["10.0.0.5", "fd00::5"]),
            (r#"{"ips":null,"interfaces":null}"#, &[]),
            (r#"{"ips":[{"interface":-1,"address":"10.0.0.5/24"}]}"#, &["10.0.0.5"]),
            ("{}", &[]),
        ];
        for (result, expected) in cases {
            let text = format!(r#"{{"cniVersion":"1.0.0","type":"ambit-cni","prevResult":{result}}}"#);
            let config = NetworkConfig::parse(text.as_bytes()).unwrap();
            let previous = config.previous.unwrap();
            assert_eq!(previous.text(), result);
            let expected: Vec<IpAddr> = expected.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(previous.addresses().unwrap(), expected, "{result}");
        }
    }

    #[test]
    fn what_is_not_said_has_defaults_and_what_is_no_configuration_is_refused() {
        let config = NetworkConfig::parse(br#"{"name":"n","prevResult":null}"#).unwrap();
        assert_eq!((config.version.as_str(), config.previous.is_none()), ("0.1.0", true));
        assert_eq!((config.socket, config.meshed_namespaces), (SOCKET.into(), MESHED_NAMESPACES.into()));
        for text in ["", "[", "[1]", r#"{"cniVersion":1}"#, "\u{0}"] {
            assert!(NetworkConfig::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        for result in ["7", r#"{"ips":[{}]}"#, r#"{"ips":[{"address":"ten"}]}"#] {
            let text = format!(r#"{{"prevResult":{result}}}"#);
            let previous = NetworkConfig::parse(text.as_bytes()).unwrap().previous.unwrap();
            assert!(previous.addresses().is_err(), "{result}");
        }
    }
}
