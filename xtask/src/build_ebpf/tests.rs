use std::fs;

use super::source_hash::source_hash;

#[test]
fn hash_follows_names_and_contents_and_ignores_build_output() -> anyhow::Result<()> {
    let root = std::env::temp_dir().join(format!("ambit-source-hash-{}", std::process::id()));
    fs::create_dir_all(root.join("programs/src"))?;
    fs::create_dir_all(root.join("programs/target"))?;
    fs::create_dir_all(root.join("types"))?;
    fs::write(root.join("programs/src/main.rs"), "a")?;
    fs::write(root.join("types/lib.rs"), "b")?;
    let first = source_hash(&root)?;

    fs::write(root.join("programs/target/out"), "x")?;
    assert_eq!(source_hash(&root)?, first, "build output is no source");

    fs::write(root.join("types/lib.rs"), "c")?;
    assert_ne!(source_hash(&root)?, first, "a changed content");

    fs::write(root.join("types/lib.rs"), "b")?;
    assert_eq!(source_hash(&root)?, first, "the change taken back");

    fs::rename(root.join("types/lib.rs"), root.join("types/libs.rs"))?;
    assert_ne!(source_hash(&root)?, first, "a changed name");
    Ok(fs::remove_dir_all(&root)?)
}
