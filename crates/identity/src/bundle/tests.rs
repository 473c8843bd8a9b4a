use std::fs;
use std::time::SystemTime;

use tempfile::TempDir;

use super::*;
use crate::clock::Clock;
use crate::fixture::{open_ca, until};

fn root_pem() -> String {
    let dir = TempDir::new().unwrap();
    open_ca(dir.path(), Clock::tokio(SystemTime::now()));
    fs::read_to_string(dir.path().join("ca/roots.pem")).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_bad_file_leaves_the_last_good_roots_in_force() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("roots.pem");
    let (one, other) = (root_pem(), root_pem());
    fs::write(&path, &one).unwrap();
    let bundle = Arc::new(TrustBundle::load(&path).unwrap());
    let first = bundle.roots();
    let (watched, file) = (Arc::clone(&bundle), path.clone());
    let watch = tokio::spawn(async move { watched.watch(&file).await });

    let broken = format!("{one}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for bad in ["", "hello", &broken, &"x".repeat(2 << 20)] {
        fs::write(&path, bad).unwrap();
        until(|| bundle.problem().is_some()).await;
        assert!(Arc::ptr_eq(&bundle.roots(), &first));
        fs::write(&path, &one).unwrap();
        until(|| bundle.problem().is_none()).await;
    }
    fs::remove_file(&path).unwrap();
    until(|| bundle.problem().is_some()).await;
    assert!(Arc::ptr_eq(&bundle.roots(), &first), "the same roots again are no change");

    // Replaced as Kubernetes and careful users do.
    let fresh = dir.path().join("fresh.pem");
    fs::write(&fresh, format!("{one}{other}")).unwrap();
    fs::rename(&fresh, &path).unwrap();
    until(|| bundle.roots().certificates().len() == 2).await;
    assert!(bundle.problem().is_none());
    watch.abort();
}

#[test]
fn there_must_be_good_roots_to_begin_with() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("roots.pem");
    assert!(matches!(TrustBundle::load(&path), Err(BundleError::Io { .. })));
    fs::write(&path, "").unwrap();
    assert!(matches!(TrustBundle::load(&path), Err(BundleError::Empty)));
}
