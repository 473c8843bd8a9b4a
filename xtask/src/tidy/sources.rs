//! Rules about single source files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{Report, strip::code_only};

/// Beyond this a file tells more than one story.
const LINES_WARN: usize = 400;
const LINES_MAX: usize = 600;

/// The folders where `unsafe` may be written.
const UNSAFE_HOMES: [&str; 2] = ["crates/sys/", "ebpf/"];

/// The attributes of kernel programs that attach somewhere, as they begin.
const ATTACH_POINTS: [&str; 8] =
    ["#[cgroup_", "#[sock_ops", "#[sk_lookup", "#[sk_msg", "#[classifier", "#[tracepoint", "#[fentry", "#[stream_"];
/// What the head of a file with a kernel program states.
const PROGRAM_HEADER: [&str; 4] = ["Attach:", "Reads:", "Writes:", "Verdict:"];

/// Folders without sources of ours.
const NOT_SOURCES: [&str; 3] = ["target", ".git", "node_modules"];

pub(super) fn check(root: &Path, report: &mut Report) -> Result<()> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        check_file(&file.strip_prefix(root).unwrap_or(&file).to_string_lossy(), &text, report);
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in folder.read_dir().with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !NOT_SOURCES.iter().any(|name| entry.file_name() == *name) {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn check_file(name: &str, text: &str, report: &mut Report) {
    let lines = text.lines().count();
    if lines > LINES_MAX {
        report.errors.push(format!("{name} has {lines} lines, {LINES_MAX} are allowed: split it by what it tells"));
    } else if lines > LINES_WARN {
        report.warnings.push(format!("{name} has {lines} lines; over {LINES_WARN}, look for a seam"));
    }
    let code = code_only(text);
    if !UNSAFE_HOMES.iter().any(|home| name.starts_with(home)) {
        for line in lines_with_word(&code, "unsafe") {
            report.errors.push(format!("{name}:{line}: `unsafe` belongs into crates/sys, behind a safe function"));
        }
    }
    for (line, _) in code.lines().zip(1..).filter(|(line, _)| line.contains("#[ignore")).map(|(line, at)| (at, line)) {
        report.errors.push(format!("{name}:{line}: a test runs or is removed; `#[ignore]` hides it"));
    }
    if name.starts_with("ebpf/programs/src/") && ATTACH_POINTS.iter().any(|attribute| code.contains(attribute)) {
        let header: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for word in PROGRAM_HEADER.iter().filter(|word| !header.contains(*word)) {
            report.errors.push(format!("{name}: a kernel program's file begins by stating `{word}`"));
        }
    }
}

/// The numbers of the lines of `code` that contain `word` as a whole word.
fn lines_with_word<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let has = move |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word);
    code.lines().zip(1..).filter(move |(line, _)| has(line)).map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::{Report, check_file};

    #[test]
    fn each_rule_finds_its_fault_and_nothing_else() {
        let long = "\n".repeat(601);
        for (name, text, faults) in [
            ("crates/a/src/lib.rs", "fn f() { unsafe { g() } }", 1),
            ("crates/sys/src/lib.rs", "fn f() { unsafe { g() } }", 0),
            ("crates/a/src/lib.rs", "#![deny(unsafe_code)] // no unsafe here", 0),
            ("crates/a/src/lib.rs", "#[ignore = \"slow\"]\nfn t() {}", 1),
            ("crates/a/src/lib.rs", long.as_str(), 1),
            ("ebpf/programs/src/a.rs", "//! Attach: x\n//! Reads: y\n#[sk_lookup]\nfn a() {}", 2),
            ("ebpf/programs/src/a.rs", "//! Attach: x Reads: y Writes: z\n//! Verdict: v\n#[sk_lookup]\nfn a() {}", 0),
            ("ebpf/programs/src/maps.rs", "#[map]\nstatic A: u8 = 0;", 0),
        ] {
            let mut report = Report::default();
            check_file(name, text, &mut report);
            assert_eq!(report.errors.len(), faults, "{name}: {:?}", report.errors);
        }
    }
}
