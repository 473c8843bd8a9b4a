//! One request and one answer a connection, each a JSON text that ends with its sender's half of the
//! stream. The plugin is a file of the agent's own making, so both are of one version but for the moment
//! of an upgrade; fields nobody knows are passed over.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The version of the messages. It rises when an old agent would misunderstand a request.
const VERSION: u32 = 1;

/// Longest message in bytes.
pub const MAX_MESSAGE: usize = 64 << 10;

/// How long the plugin waits for an answer about a new pod. Below the two minutes a kubelet gives a
/// sandbox, and enough for a certificate from an authority that takes its time.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Longest name of a Kubernetes object.
const MAX_NAME: usize = 253;
/// Longest path on Linux.
const MAX_PATH: usize = 4096;
/// Longest name of a network interface on Linux.
const MAX_INTERFACE: usize = 15;
/// More addresses than any pod has.
const MAX_ADDRESSES: usize = 32;

/// What the plugin was called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// The pod has its network, and nothing runs in it yet.
    Add,
    /// Is the pod as it should be?
    Check,
    /// The pod is about to lose its network.
    Delete,
}

/// What the plugin says about one pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The version of the messages.
    pub version: u32,
    /// What it was called for.
    pub command: Command,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid, where the runtime tells it.
    #[serde(default)]
    pub pod_uid: Option<String>,
    /// The runtime's name for the sandbox: a pod that is made anew has another.
    pub container_id: String,
    /// The pod's network namespace, as a path on the node. It is always there at [`Command::Add`].
    #[serde(default)]
    pub netns: Option<PathBuf>,
    /// The pod's interface.
    pub interface: String,
    /// The pod's addresses; at least one at [`Command::Add`].
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// What the agent says to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "answer")]
pub enum Answer {
    /// The pod belongs to the mesh, and is captured.
    Enrolled,
    /// The pod does not belong to the mesh.
    NotMeshed,
    /// The agent has let go of the pod.
    Released,
    /// The pod belongs to the mesh, or may, and is not captured: it must not start.
    Refused {
        /// Why, for whoever looks at the pod's events.
        reason: String,
        /// Whether the same may go well a little later.
        retry: bool,
    },
}

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It is no request.
    #[error("not a request")]
    Json(#[from] serde_json::Error),
    /// A plugin of another version, which is being replaced.
    #[error("a request of version {0}, this agent speaks version {VERSION}")]
    Version(u32),
    /// A field that cannot be what it should be.
    #[error("{0} is missing, too long or malformed")]
    Field(&'static str),
}

impl Request {
    /// A request about a pod of which only the names are known.
    #[must_use]
    pub fn new(command: Command, namespace: &str, pod: &str, container_id: &str, interface: &str) -> Self {
        Self {
            version: VERSION,
            command,
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            pod_uid: None,
            container_id: container_id.to_owned(),
            netns: None,
            interface: interface.to_owned(),
            addresses: Vec::new(),
        }
    }

    /// Reads what a plugin sent.
    ///
    /// # Errors
    /// If it is not a request that can be answered.
    pub fn parse(message: &[u8]) -> Result<Self, RequestError> {
        /// Read first, since another version may have other fields.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(message)?;
        if version != VERSION {
            return Err(RequestError::Version(version));
        }
        let request: Self = serde_json::from_slice(message)?;
        match request.fault() {
            None => Ok(request),
            Some(field) => Err(RequestError::Field(field)),
        }
    }

    /// The field at fault.
    fn fault(&self) -> Option<&'static str> {
        let adds = self.command == Command::Add;
        let netns = self.netns.as_deref().map_or(!adds, is_absolute_path);
        let fields = [
            ("namespace", is_name(&self.namespace)),
            ("pod", is_name(&self.pod)),
            ("podUid", self.pod_uid.as_deref().is_none_or(is_name)),
            ("containerId", is_name(&self.container_id)),
            ("netns", netns),
            ("interface", is_interface(&self.interface)),
            ("addresses", self.addresses.len() <= MAX_ADDRESSES && !(adds && self.addresses.is_empty())),
        ];
        fields.into_iter().find_map(|(field, good)| (!good).then_some(field))
    }
}

fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(known)
}

fn is_absolute_path(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    path.is_absolute() && bytes.len() < MAX_PATH && !bytes.contains(&0)
}

fn is_interface(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    !text.is_empty() && text.len() <= MAX_INTERFACE && text.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add() -> Request {
        Request {
            pod_uid: Some("0b1c".to_owned()),
            netns: Some(PathBuf::from("/run/netns/cni-1")),
            addresses: vec![[10, 244, 0, 7].into()],
            ..Request::new(Command::Add, "shop", "web-0", "c0ffee", "eth0")
        }
    }

    #[test]
    fn a_request_is_read_as_it_was_written() {
        for request in [add(), Request::new(Command::Delete, "shop", "web-0", "c0ffee", "eth0")] {
            let written = serde_json::to_vec(&request).unwrap();
            assert_eq!(Request::parse(&written).unwrap(), request);
        }
    }

    #[test]
    fn the_form_stays_what_older_plugins_write() {
        let text = br#"{"version":1,"command":"add","namespace":"shop","pod":"web-0","containerId":"c","netns":"/n",
            "interface":"eth0","addresses":["fd00::7"],"unheard":{"of":1}}"#;
        let request = Request::parse(text).unwrap();
        assert_eq!((request.command, request.pod_uid), (Command::Add, None));
        let answer: Answer = serde_json::from_str(r#"{"answer":"refused","reason":"no","retry":true}"#).unwrap();
        assert_eq!(answer, Answer::Refused { reason: "no".to_owned(), retry: true });
        assert_eq!(serde_json::to_string(&Answer::NotMeshed).unwrap(), r#"{"answer":"notMeshed"}"#);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        type Break = fn(&mut Request);
        let cases: [(&str, Break); 9] = [
            ("namespace", |request| request.namespace.clear()),
            ("namespace", |request| request.namespace = "../x".to_owned()),
            ("pod", |request| request.pod = "p".repeat(254)),
            ("podUid", |request| request.pod_uid = Some("a\nb".to_owned())),
            ("containerId", |request| request.container_id = "a b".to_owned()),
            ("netns", |request| request.netns = None),
            ("netns", |request| request.netns = Some("relative".into())),
            ("interface", |request| request.interface = "a-name-much-too-long".to_owned()),
            ("addresses", |request| request.addresses.clear()),
        ];
        for (field, break_it) in cases {
            let mut request = add();
            break_it(&mut request);
            let error = Request::parse(&serde_json::to_vec(&request).unwrap()).unwrap_err();
            assert!(matches!(error, RequestError::Field(named) if named == field), "{field}: {error}");
        }
        assert!(matches!(Request::parse(br#"{"version":2}"#), Err(RequestError::Version(2))));
        assert!(matches!(Request::parse(b"GET / HTTP/1.1\r\n\r\n"), Err(RequestError::Json(_))));
    }
}
