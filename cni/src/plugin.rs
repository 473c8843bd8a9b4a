//! What each command does.
//!
//! | command | what | where the agent cannot be asked |
//! | --- | --- | --- |
//! | ADD | waits for the agent's word; passes the network on as it is | refuses pods of namespaces last known as meshed, lets all others go: a dead agent must not stop the node |
//! | DEL | tells the agent | nothing: it never fails, or the pod could not be removed |
//! | CHECK | asks the agent | is content: what captures a pod is in the kernel and outlives the agent |
//! | STATUS | whether the configuration can be used | is content: while it fails no pod of the node may start, meshed or not |
//! | GC | nothing: the agent lets go of pods that are not there by itself | |

use std::path::Path;
use std::time::Duration;

use ambit_cni::{ANSWER_WITHIN, Answer, AskError, Command, NetworkConfig, Previous, Request, ask, meshed};

use crate::call::Call;
use crate::failure::{Failure, chain};

/// Versions of the specification, the newest last.
const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The newest version, for failures that have no other.
const NEWEST: &str = "1.1.0";

/// How long DEL waits: no pod's end is held up by more.
const TELL_WITHIN: Duration = Duration::from_secs(1);

/// Does what the runtime asks; gives what to write to the standard output.
pub(crate) fn run(call: &Call, input: Option<&[u8]>) -> Result<String, Failure> {
    match call.command.as_str() {
        "ADD" => add(call, &configuration(input)?),
        "DEL" => {
            delete(call, input);
            Ok(String::new())
        }
        "CHECK" => check(call, &configuration(input)?),
        "STATUS" => configuration(input).map(|_| String::new()),
        "GC" => Ok(String::new()),
        "VERSION" => Ok(version(&version_of(input))),
        _ => Err(Failure::Environment("CNI_COMMAND")),
    }
}

/// The version in which to answer.
pub(crate) fn version_of(input: Option<&[u8]>) -> String {
    let version = input.and_then(|input| NetworkConfig::parse(input).ok()).map(|config| config.version);
    version.filter(|version| VERSIONS.contains(&version.as_str())).unwrap_or_else(|| NEWEST.to_owned())
}

fn version(asked: &str) -> String {
    serde_json::json!({ "cniVersion": asked, "supportedVersions": VERSIONS }).to_string()
}

fn configuration(input: Option<&[u8]>) -> Result<NetworkConfig<'_>, Failure> {
    let config = NetworkConfig::parse(input.ok_or(Failure::Input)?)?;
    if VERSIONS.contains(&config.version.as_str()) { Ok(config) } else { Err(Failure::Version(config.version)) }
}

fn add(call: &Call, config: &NetworkConfig<'_>) -> Result<String, Failure> {
    let previous = config.previous.ok_or(Failure::First)?;
    if let Some(request) = about(call, Command::Add, previous)? {
        decide(&request, ask(&config.socket, &request, ANSWER_WITHIN), |error| {
            may_start(&request.namespace, &config.meshed_namespaces, error)
        })?;
    }
    Ok(previous.text().to_owned())
}

fn check(call: &Call, config: &NetworkConfig<'_>) -> Result<String, Failure> {
    let previous = config.previous.ok_or(Failure::First)?;
    if let Some(request) = about(call, Command::Check, previous)? {
        decide(&request, ask(&config.socket, &request, ANSWER_WITHIN), |_| Ok(()))?;
    }
    Ok(String::new())
}

fn delete(call: &Call, input: Option<&[u8]>) {
    let config = NetworkConfig::parse(input.unwrap_or(b"{}")).or_else(|_| NetworkConfig::parse(b"{}"));
    if let (Ok(config), Ok(Some(request))) = (config, call.request(Command::Delete)) {
        // The agent finds out by itself, a little later.
        let _best_effort = ask(&config.socket, &request, TELL_WITHIN);
    }
}

fn about(call: &Call, command: Command, previous: Previous<'_>) -> Result<Option<Request>, Failure> {
    let Some(mut request) = call.request(command)? else { return Ok(None) };
    request.addresses = previous.addresses()?;
    Ok(Some(request))
}

/// Goes by the agent's word, or else by `without`, which may say why not.
fn decide(
    request: &Request,
    word: Result<Answer, AskError>,
    without: impl FnOnce(&AskError) -> Result<(), String>,
) -> Result<(), Failure> {
    let pod = || format!("{}/{}", request.namespace, request.pod);
    match word {
        Ok(Answer::Enrolled | Answer::NotMeshed | Answer::Released) => Ok(()),
        Ok(Answer::Refused { reason, retry }) => Err(Failure::Refused { pod: pod(), reason, retry }),
        Err(error) => without(&error).map_err(|reason| Failure::NoWord { pod: pod(), reason }),
    }
}

/// Whether a pod may start without the agent's word.
fn may_start(namespace: &str, list: &Path, error: &AskError) -> Result<(), String> {
    match meshed::read(list) {
        Ok(namespaces) if !namespaces.contains(namespace) => {
            eprintln!("{}: no pod of {namespace} was known to be meshed: {}", ambit_cni::PLUGIN, chain(error));
            Ok(())
        }
        Ok(_) => Err(format!("pods of its namespace were last known to be meshed, and {}", chain(error))),
        // There was a list, so there was a mesh: which namespaces it held cannot be told.
        Err(unreadable) => Err(format!("{}, and {}", chain(&unreadable), chain(error))),
    }
}
