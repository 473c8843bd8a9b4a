//! `ztunnel --check-config`: says what would be in force, and what is wrong, before anything runs.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result};

use ambit_tests::{manifest, ztunnel_binary};

use crate::shop::Shop;

#[test]
fn a_good_folder_is_summed_up_and_the_status_is_0() -> Result<()> {
    let shop = Shop::closed()?;
    let policy = manifest::policy("shop", "not-other", "web", "DENY", &["cluster.local/ns/shop/sa/other"]);
    shop.mesh.config.write("policy.yaml", &policy)?;
    let Output { status, stdout, stderr } = check(shop.mesh.config.path())?;
    assert_eq!(String::from_utf8(stderr)?, "");
    assert!(status.success(), "{status}");
    let summary = String::from_utf8(stdout)?;
    for said in [
        "workloads: 4, of which enrolled: 3",
        "Kubernetes//Pod/shop/client",
        "web.shop.svc.cluster.local: endpoints 1",
        "shop/not-other: DENY",
    ] {
        assert!(summary.contains(said), "{said:?} is missing in:\n{summary}");
    }
    Ok(())
}

#[test]
fn an_error_names_file_line_object_and_field_and_the_status_is_1() -> Result<()> {
    let good = manifest::policy("shop", "good", "web", "DENY", &["cluster.local/ns/shop/sa/other"]);
    let unknown = good.replace("name: good", "name: unknown").replace("principals", "principalz");
    let port = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: port, namespace: shop}\n\
                spec:\n  rules:\n  - to:\n    - operation:\n        ports: ['70000']\n";
    let cases = [
        (
            "unknown field",
            unknown.as_str(),
            "policy.yaml:14: error: AuthorizationPolicy shop/unknown: spec.rules[0].from[0].source.principalz: ",
        ),
        (
            "value out of range",
            port,
            "policy.yaml:8: error: AuthorizationPolicy shop/port: spec.rules[0].to[0].operation.ports[0]: ",
        ),
        (
            "second document",
            &format!("{good}---\n{unknown}"),
            "policy.yaml:30: error: AuthorizationPolicy shop/unknown: ",
        ),
        ("no YAML", "kind: [AuthorizationPolicy", "policy.yaml:"),
    ];
    for (what, text, said) in cases {
        let shop_folder = Folder::new()?;
        std::fs::write(shop_folder.0.join("policy.yaml"), text)?;
        std::fs::write(shop_folder.0.join("good.yaml"), good.replace("name: good", "name: untouched"))?;
        let Output { status, stdout, stderr } = check(&shop_folder.0)?;
        let errors = String::from_utf8(stderr)?;
        assert_eq!(status.code(), Some(1), "{what}: {errors}");
        assert!(errors.lines().any(|line| line.contains(said)), "{what}: {said:?} is missing in:\n{errors}");
        let summary = String::from_utf8(stdout)?;
        assert!(summary.contains("shop/untouched"), "{what}: what is right would be in force all the same: {summary}");
        assert!(!summary.contains("shop/unknown") && !summary.contains("shop/port"), "{what}: {summary}");
    }
    Ok(())
}

#[test]
fn a_warning_is_said_and_the_status_is_0() -> Result<()> {
    let folder = Folder::new()?;
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: http, namespace: shop}\n\
                  spec:\n  action: DENY\n  rules:\n  - to:\n    - operation:\n        methods: [POST]\n";
    std::fs::write(folder.0.join("policy.yaml"), policy)?;
    let Output { status, stderr, .. } = check(&folder.0)?;
    let said = String::from_utf8(stderr)?;
    assert!(
        said.contains("policy.yaml:9: warning: AuthorizationPolicy shop/http: spec.rules[0].to[0].operation.methods: "),
        "{said}"
    );
    assert!(status.success(), "{status}");
    Ok(())
}

#[test]
fn a_folder_that_is_not_there_is_an_error() -> Result<()> {
    let Output { status, stderr, .. } = check(Path::new("/not/there"))?;
    let said = String::from_utf8(stderr)?;
    assert!(!status.success() && said.contains("/not/there"), "{status} {said}");
    Ok(())
}

fn check(folder: &Path) -> Result<Output> {
    Command::new(ztunnel_binary()?).arg("--check-config").arg("--config").arg(folder).output().context("start ztunnel")
}

/// A folder of its own; removed when dropped.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ambit-check-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Only a temporary folder would stay.
        std::fs::remove_dir_all(&self.0).ok();
    }
}
