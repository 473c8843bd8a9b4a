//! What the runtime says: environment variables, and the network's configuration on standard input.

use std::io::Read;
use std::path::PathBuf;

use ambit_cni::{Command, MAX_CONFIG, Request};

use crate::failure::Failure;

/// The environment of a call.
#[derive(Debug, Default)]
pub(crate) struct Call {
    /// What to do.
    pub(crate) command: String,
    container_id: String,
    netns: String,
    interface: String,
    arguments: String,
}

impl Call {
    /// Reads the environment, which is where the protocol has it.
    pub(crate) fn from_environment() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the protocol is made of these variables")]
        let read = |name| std::env::var(name).unwrap_or_default();
        Self {
            command: read("CNI_COMMAND"),
            container_id: read("CNI_CONTAINERID"),
            netns: read("CNI_NETNS"),
            interface: read("CNI_IFNAME"),
            arguments: read("CNI_ARGS"),
        }
    }

    /// What to ask the agent; nothing where it is not about a pod of Kubernetes.
    pub(crate) fn request(&self, command: Command) -> Result<Option<Request>, Failure> {
        let (Some(namespace), Some(pod)) = (self.argument("K8S_POD_NAMESPACE"), self.argument("K8S_POD_NAME")) else {
            return Ok(None);
        };
        if self.container_id.is_empty() {
            return Err(Failure::Environment("CNI_CONTAINERID"));
        }
        if self.interface.is_empty() {
            return Err(Failure::Environment("CNI_IFNAME"));
        }
        Ok(Some(Request {
            pod_uid: self.argument("K8S_POD_UID").map(str::to_owned),
            netns: Some(PathBuf::from(&self.netns)).filter(|_| !self.netns.is_empty()),
            ..Request::new(command, namespace, pod, &self.container_id, &self.interface)
        }))
    }

    /// One of `CNI_ARGS`, as in `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0`.
    fn argument(&self, name: &str) -> Option<&str> {
        let mut arguments = self.arguments.split(';').filter_map(|argument| argument.split_once('='));
        arguments.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
    }
}

/// The configuration; none if there is none to be read, or too much of it.
pub(crate) fn read(input: impl Read) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    input.take(MAX_CONFIG as u64 + 1).read_to_end(&mut text).ok()?;
    (text.len() <= MAX_CONFIG).then_some(text)
}
