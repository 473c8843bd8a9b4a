//! Certificates and trust change while traffic goes on.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::Value;

use ambit_tests::{Agent, Connection, Pod, ask, until};

use crate::shop::{PATIENCE, PORT, Shop, seen};
use crate::tunnel::{Answer, Authority, Credentials, Validity, request};

/// Short enough that a test sees several renewals.
const LIFETIME: (&str, &str) = ("--certificate-lifetime-seconds", "4");

/// Streams of one tunnel: this many open connections make the next one open a new tunnel.
const STREAMS_OF_A_TUNNEL: usize = 100;

#[test]
fn renewals_fail_no_connection_and_end_none() -> Result<()> {
    ambit_sys::raise_open_files()?;
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[LIFETIME, ("--workers", "1")])?;
    let mut idle = Connection::established(&shop.client.netns(), shop.service)?;
    let mut idle_plain = Connection::established(&shop.plain.netns(), shop.web.at(PORT))?;
    let mut open = Vec::new();
    for _ in 0..3 {
        let before = [serial(shop.mesh.agent(1)?, &shop.client)?, serial(shop.mesh.agent(2)?, &shop.web)?];
        until("both ends' certificates renewed, without a failed connection", PATIENCE, || {
            let asked = ask(&shop.client.netns(), shop.service, "who").and_then(|outcome| outcome.answer());
            let now = [serial(shop.mesh.agent(1).ok()?, &shop.client), serial(shop.mesh.agent(2).ok()?, &shop.web)];
            let renewed = before.iter().zip(now).all(|(before, now)| now.is_ok_and(|now| now != *before));
            (asked.is_err() || renewed).then_some(asked)
        })??;
        // The last of these is made with the new certificates.
        for _ in 0..STREAMS_OF_A_TUNNEL {
            open.push(Connection::established(&shop.client.netns(), shop.service)?);
        }
    }
    // The certificates these were made with are over by now.
    for connection in open.iter_mut().chain([&mut idle, &mut idle_plain]) {
        connection.ask("still there").answer()?;
    }
    for node in [1, 2] {
        let failed: Vec<_> =
            shop.mesh.agent(node)?.access_log().into_iter().filter(|line| line.error().is_some()).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
    Ok(())
}

#[test]
fn a_root_is_trusted_while_it_is_in_the_bundle_and_no_longer() -> Result<()> {
    let shop = Shop::open()?;
    let directory = shop.mesh.world.directory();
    let stranger = Authority::open(&directory.join("strangers-state"))?;
    let credentials = stranger.certify(&[&shop.client.identity()], Validity::Now)?;
    assert_eq!(ask_for_tunnel(&shop, &credentials)?, Answer::Broken);

    let bundle = directory.join("state/ca/roots.pem");
    let own = fs::read_to_string(&bundle)?;
    let strangers = fs::read_to_string(directory.join("strangers-state/ca/roots.pem"))?;
    fs::write(&bundle, format!("{own}{strangers}"))?;
    until("the new root trusted", PATIENCE, || {
        matches!(ask_for_tunnel(&shop, &credentials), Ok(Answer::Served(_))).then_some(())
    })?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4(), "the old one still is");

    fs::write(&bundle, "half a file")?;
    assert!(matches!(ask_for_tunnel(&shop, &credentials)?, Answer::Served(_)), "the last good bundle stays in force");
    fs::write(&bundle, own)?;
    until("the root no longer trusted", PATIENCE, || {
        matches!(ask_for_tunnel(&shop, &credentials), Ok(Answer::Broken)).then_some(())
    })?;
    assert_eq!(seen(&shop.client.netns(), shop.service)?, shop.client.ip4());
    Ok(())
}

#[test]
fn no_key_but_the_authoritys_own_is_ever_on_disk() -> Result<()> {
    let mut shop = Shop::closed()?;
    shop.mesh.start_with(&[LIFETIME, ("--log", "trace")])?;
    let before = serial(shop.mesh.agent(1)?, &shop.client)?;
    seen(&shop.client.netns(), shop.service)?;
    until("a renewal", PATIENCE, || {
        serial(shop.mesh.agent(1).ok()?, &shop.client).is_ok_and(|now| now != before).then_some(())
    })?;
    let state = shop.mesh.world.directory().join("state");
    let names = ["ca.lock", "ca/ca.crt", "ca/ca.key", "ca/roots.pem"];
    let manifests = state.join("manifests");
    let found: BTreeSet<_> = files(&state)?.into_iter().filter(|file| !file.starts_with(&manifests)).collect();
    assert_eq!(found, names.iter().map(|name| state.join(name)).collect());
    let key = state.join("ca/ca.key");
    assert_eq!(fs::metadata(&key)?.permissions().mode() & 0o777, 0o600);
    // The agents' logs are there too.
    for file in files(shop.mesh.world.directory())? {
        let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
        let holds_a_key = text.windows(11).any(|window| window == b"PRIVATE KEY");
        assert_eq!(holds_a_key, file == key, "{}", file.display());
    }
    Ok(())
}

fn ask_for_tunnel(shop: &Shop, credentials: &Credentials) -> Result<Answer> {
    let target = shop.web.at(PORT).to_string();
    request(&shop.plain.netns(), shop.web.at(15008), Some(credentials), (Method::CONNECT, &target))
}

/// The serial number of a pod's certificate.
fn serial(agent: &Agent, pod: &Pod) -> Result<String> {
    let dump = agent.config_dump()?;
    let certificates =
        dump.pointer("/certificates/certificates").and_then(Value::as_array).context("no certificates")?;
    let own =
        certificates.iter().find(|certificate| certificate.get("identity").is_some_and(|own| *own == pod.identity()));
    Ok(own.and_then(|own| own.get("serial")?.as_str()).context("no certificate")?.to_owned())
}

/// All files below a folder, but for other file systems' in it.
fn files(directory: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.ends_with("bpffs") {
        } else if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.insert(path);
        }
    }
    Ok(all)
}
