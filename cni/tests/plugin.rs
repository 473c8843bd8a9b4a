//! The plugin as a runtime calls it, with somebody in the agent's place.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test ends where its scene cannot be set")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

const RESULT: &str =
    r#"{"cniVersion":"1.0.0", "ips":[{"address":"10.244.0.7/24","gateway":"10.244.0.1"}],"x":1.10,"b":1,"a":2}"#;

/// A node's files.
struct Node {
    folder: tempfile::TempDir,
}

/// How a call ended.
struct Ended {
    good: bool,
    output: String,
}

impl Ended {
    fn is_good(&self, output: &str) {
        assert!(self.good && self.output == output, "{}", self.output);
    }

    /// Code and message.
    fn failure(&self) -> (u64, String) {
        assert!(!self.good, "{}", self.output);
        let failure: Value = serde_json::from_str(&self.output).expect("a failure is JSON");
        assert!(failure["cniVersion"].is_string(), "{failure}");
        (failure["code"].as_u64().expect("a code"), failure["msg"].as_str().expect("a message").to_owned())
    }
}

impl Node {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn last_knew(&self, namespaces: &[&str]) {
        let names: BTreeSet<String> = namespaces.iter().map(|&name| name.to_owned()).collect();
        ambit_cni::meshed::write(&self.at("meshed.json"), names).expect("a list");
    }

    /// Somebody who takes one request and answers it.
    fn agent(&self, answer: &str) -> JoinHandle<Value> {
        let listener = UnixListener::bind(self.at("cni.sock")).expect("a socket");
        let answer = answer.to_owned();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = Vec::new();
            stream.read_to_end(&mut request).expect("a request");
            stream.write_all(answer.as_bytes()).expect("an answer");
            serde_json::from_slice(&request).expect("a request is JSON")
        })
    }

    fn config(&self, previous: Option<&str>) -> String {
        let previous = previous.map(|result| format!(",\"prevResult\":{result}")).unwrap_or_default();
        let (socket, list) = (self.at("cni.sock"), self.at("meshed.json"));
        format!(
            r#"{{"cniVersion":"1.0.0","name":"n","type":"ambit-cni","socket":{socket:?},"meshedNamespaces":{list:?}{previous}}}"#,
        )
    }

    fn call(&self, command: &str) -> Ended {
        run(command, KUBERNETES, &self.config(Some(RESULT)))
    }
}

const KUBERNETES: &str =
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c0ffee;K8S_POD_UID=0b1c";

fn run(command: &str, arguments: &str, input: &str) -> Ended {
    let mut child = Command::new(Path::new(env!("CARGO_BIN_EXE_ambit-cni")))
        .env_clear()
        .envs([("CNI_COMMAND", command), ("CNI_ARGS", arguments), ("CNI_CONTAINERID", "c0ffee")])
        .envs([("CNI_NETNS", "/run/netns/cni-1"), ("CNI_IFNAME", "eth0"), ("CNI_PATH", "/opt/cni/bin")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the plugin starts");
    // It may have ended without reading.
    let _unread = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the plugin ends");
    Ended { good: output.status.success(), output: String::from_utf8(output.stdout).expect("text") }
}

#[test]
fn add_waits_for_the_word_and_passes_the_network_on_to_the_letter() {
    for answer in [r#"{"answer":"enrolled"}"#, r#"{"answer":"notMeshed"}"#] {
        let node = Node::new();
        node.last_knew(&["shop"]);
        let agent = node.agent(answer);
        node.call("ADD").is_good(RESULT);
        let asked = agent.join().expect("asked");
        let expected = serde_json::json!({
            "version": 1, "command": "add", "namespace": "shop", "pod": "web-0", "podUid": "0b1c",
            "containerId": "c0ffee", "netns": "/run/netns/cni-1", "interface": "eth0", "addresses": ["10.244.0.7"],
        });
        assert_eq!(asked, expected);
    }
}

#[test]
fn what_the_agent_refuses_does_not_start() {
    for (retry, code) in [(true, 11), (false, 100)] {
        let node = Node::new();
        let agent = node.agent(&format!(r#"{{"answer":"refused","reason":"no certificate yet","retry":{retry}}}"#));
        let (given, message) = node.call("ADD").failure();
        assert_eq!(given, code);
        assert!(message.contains("shop/web-0") && message.contains("no certificate yet"), "{message}");
        agent.join().expect("asked");
    }
}

#[test]
fn without_the_agent_what_was_last_known_decides() {
    // Never installed, or no namespace of the mesh.
    let node = Node::new();
    node.call("ADD").is_good(RESULT);
    node.last_knew(&["bank"]);
    node.call("ADD").is_good(RESULT);

    node.last_knew(&["bank", "shop"]);
    let (code, message) = node.call("ADD").failure();
    assert_eq!(code, 11);
    assert!(message.contains("last known to be meshed") && message.contains("cannot be reached"), "{message}");

    // A socket that an agent left, an agent that goes away, and one that makes no sense.
    drop(UnixListener::bind(node.at("cni.sock")).expect("a socket"));
    assert_eq!(node.call("ADD").failure().0, 11);
    for answer in ["", "HTTP/1.1 400", r#"{"answer":"perhaps"}"#] {
        fs::remove_file(node.at("cni.sock")).expect("a socket");
        let agent = node.agent(answer);
        assert_eq!(node.call("ADD").failure().0, 11, "{answer}");
        agent.join().expect("asked");
    }

    fs::write(node.at("meshed.json"), "{\"names").expect("half a list");
    let (code, message) = node.call("ADD").failure();
    assert_eq!(code, 11);
    assert!(message.contains("cannot be understood"), "{message}");
}

#[test]
fn who_is_no_pod_of_kubernetes_is_no_business_of_ours() {
    let node = Node::new();
    fs::write(node.at("meshed.json"), "broken").expect("a list");
    for arguments in ["", "A=b", "K8S_POD_NAMESPACE=shop", "K8S_POD_NAMESPACE=;K8S_POD_NAME=web-0", ";;=;x"] {
        run("ADD", arguments, &node.config(Some(RESULT))).is_good(RESULT);
        run("CHECK", arguments, &node.config(Some(RESULT))).is_good("");
    }
}

#[test]
fn del_never_fails() {
    let node = Node::new();
    node.call("DEL").is_good("");
    for input in ["", "{", "\0\u{1}", "[]", r#"{"cniVersion":"9.9.9"}"#] {
        run("DEL", KUBERNETES, input).is_good("");
    }
    for answer in [r#"{"answer":"released"}"#, r#"{"answer":"refused","reason":"x","retry":true}"#, "", "x"] {
        let node = Node::new();
        let agent = node.agent(answer);
        // The runtime may have no result any more.
        run("DEL", KUBERNETES, &node.config(None)).is_good("");
        let asked = agent.join().expect("asked");
        assert_eq!((&asked["command"], &asked["addresses"]), (&"delete".into(), &serde_json::json!([])));
    }
}

#[test]
fn check_asks_and_is_content_without_an_answer() {
    let node = Node::new();
    node.last_knew(&["shop"]);
    node.call("CHECK").is_good("");
    let agent = node.agent(r#"{"answer":"refused","reason":"it is not captured","retry":false}"#);
    assert_eq!(node.call("CHECK").failure().0, 100);
    assert_eq!(agent.join().expect("asked")["command"], "check");
    assert_eq!(run("CHECK", KUBERNETES, &node.config(None)).failure().0, 7);
}

#[test]
fn status_and_gc_hold_up_no_node() {
    let node = Node::new();
    node.last_knew(&["shop"]);
    for command in ["STATUS", "GC"] {
        run(command, "", &node.config(None)).is_good("");
    }
    assert_eq!(run("STATUS", "", "{").failure().0, 6);
    run("GC", "", "{").is_good("");
}

#[test]
fn versions_are_told() {
    for (input, version) in [(r#"{"cniVersion":"0.4.0"}"#, "0.4.0"), ("", "1.1.0"), (r#"{"cniVersion":"2"}"#, "1.1.0")]
    {
        let ended = run("VERSION", "", input);
        let told: Value = serde_json::from_str(&ended.output).expect("JSON");
        assert_eq!((ended.good, &told["cniVersion"]), (true, &version.into()));
        assert_eq!(
            told["supportedVersions"],
            serde_json::json!(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
        );
    }
}

#[test]
fn what_cannot_be_understood_is_refused_by_code() {
    let node = Node::new();
    for (command, input, code) in [
        ("", node.config(Some(RESULT)), 4),
        ("add", node.config(Some(RESULT)), 4),
        ("ADD", String::new(), 6),
        ("ADD", "{\"cniVersion\":".to_owned(), 6),
        ("ADD", "{\"cniVersion\":\"2.0.0\"}".to_owned(), 1),
        ("ADD", " ".repeat(ambit_cni::MAX_CONFIG + 1), 5),
        ("ADD", node.config(None), 7),
        ("ADD", node.config(Some(r#"{"ips":[{"address":"ten"}]}"#)), 6),
        ("ADD", node.config(Some("7")), 6),
    ] {
        assert_eq!(run(command, KUBERNETES, &input).failure().0, code, "{command} {:.60}", input);
    }
}
