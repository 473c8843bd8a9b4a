//! `images`: what is installed, built from the working tree: static programs alone in an image, each with
//! the list of what it is made of. The folder of each image's files stays beside its archive; the
//! Containerfiles in `deploy/images` make the same image of that folder.

mod sbom;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{
    build_ebpf,
    command::{self, cargo, program},
    image::{Entry, Image},
    workspace,
};

#[derive(Clone, clap::Args)]
pub(crate) struct Args {
    /// Folder for the archives [default: `images` in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Tag of the images.
    #[arg(long, value_name = "TAG", default_value = VERSION)]
    pub(crate) tag: String,
    /// Cargo's profile; `dev-image` is built in a fraction of the time.
    #[arg(long, value_name = "PROFILE", env = "AMBIT_IMAGE_PROFILE", default_value = "image")]
    pub(crate) profile: String,
}

impl Args {
    /// Built in a fraction of the time; larger and slower, else the same.
    pub(crate) fn quick() -> Self {
        Self { out: None, tag: VERSION.to_owned(), profile: "dev-image".to_owned() }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    for archive in build(args)? {
        let size = fs::metadata(&archive)?.len();
        println!("{}: {:.1} MB", archive.display(), bytes_to_mb(size));
        ensure!(size <= MOST_BYTES, "that is more than {:.0} MB", bytes_to_mb(MOST_BYTES));
    }
    Ok(())
}

/// Writes the images; returns their archives.
pub(crate) fn build(args: &Args) -> Result<Vec<PathBuf>> {
    let out = args.out.clone().map_or_else(|| Ok(workspace::target_dir()?.join("images")), Ok::<_, anyhow::Error>)?;
    let programs = compile(&args.profile)?;
    let revision = revision();
    ALL.iter().map(|content| content.write(&out, &programs, &args.tag, &revision)).collect()
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A node pulls it before its pods can start.
const MOST_BYTES: u64 = 25_000_000;

/// What an image is made of.
struct Content {
    name: &'static str,
    /// Cargo's packages, and their programs.
    packages: &'static [&'static str],
    programs: &'static [&'static str],
    /// Workspaces whose packages are all in it.
    embedded: &'static [&'static str],
    user: &'static str,
}

/// Nobody in particular.
const NOBODY: &str = "65532:65532";

const ALL: [Content; 3] = [
    Content {
        name: "ztunnel",
        packages: &["ztunnel", "cni"],
        programs: &["ztunnel", "ambit-cni"],
        embedded: &["ebpf/programs/Cargo.toml"],
        // It is root on its node or nothing.
        user: "0:0",
    },
    Content { name: "ambitd", packages: &["control-plane"], programs: &["ambitd"], embedded: &[], user: NOBODY },
    Content { name: "waypoint", packages: &["waypoint"], programs: &["waypoint"], embedded: &[], user: NOBODY },
];

impl Content {
    fn write(&self, out: &Path, programs: &Path, tag: &str, revision: &str) -> Result<PathBuf> {
        let folder = out.join(self.name);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        for name in self.programs {
            fs::copy(programs.join(name), folder.join(name)).with_context(|| format!("copying {name}"))?;
        }
        let sbom = sbom::of(self.name, tag, self.packages, self.embedded)?;
        fs::write(folder.join(SBOM), sbom).with_context(|| format!("writing {SBOM}"))?;
        let archive = out.join(format!("{}.tar", self.name));
        self.image(&folder, tag, revision).write(&archive)?;
        Ok(archive)
    }

    fn image(&self, folder: &Path, tag: &str, revision: &str) -> Image {
        let programs = self.programs.iter().map(|name| Entry::file(name, folder.join(name), 0o755));
        let labels = [("title", self.name), ("version", tag), ("revision", revision), ("licenses", "Apache-2.0")];
        Image {
            name: format!("ambit/{}:{tag}", self.name),
            entries: programs.chain([Entry::file(SBOM, folder.join(SBOM), 0o644)]).collect(),
            entrypoint: vec![format!("/{}", self.name)],
            env: Vec::new(),
            user: self.user.to_owned(),
            labels: BTreeMap::from(
                labels.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned())),
            ),
        }
    }
}

const SBOM: &str = "sbom.cdx.json";

/// Compiles all programs, linked statically; returns their folder. In a target folder of its own: other
/// flags would have everything else built anew.
fn compile(profile: &str) -> Result<PathBuf> {
    let target_dir = workspace::target_dir()?;
    let object = match env::var_os("AMBIT_EBPF_OBJECT") {
        Some(object) => object,
        None => {
            build_ebpf::run(&build_ebpf::Args { install: true, ..Default::default() })?;
            target_dir.join("ebpf/ambit-ebpf.o").into()
        }
    };
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let statics = target_dir.join("static");
    let packages = ALL.iter().flat_map(|content| content.packages).flat_map(|package| ["--package", package]);
    let mut cargo = cargo();
    cargo.args(["build", "--locked", "--profile", profile, "--target", &target]).args(packages);
    cargo.env("CARGO_TARGET_DIR", &statics).env("AMBIT_EBPF_OBJECT", object);
    command::run(cargo.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    Ok(statics.join(target).join(profile))
}

/// The commit the images are of, and whether they hold more than it.
fn revision() -> String {
    let git = |words: &[&str]| command::output(program("git").args(words));
    let Ok(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain"]).is_ok_and(|files| !files.is_empty());
    if changed { format!("{commit}-changed") } else { commit }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
fn bytes_to_mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
