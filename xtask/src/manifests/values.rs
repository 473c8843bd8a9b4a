//! The table of the chart's values: what stands above each in values.yaml.

use std::fmt::Write;

/// One row for each value that is described.
pub(super) fn table(values: &str) -> String {
    let mut table = String::from("| value | default | meaning |\n| --- | --- | --- |\n");
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut described = Vec::new();
    for line in values.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(words) = text.strip_prefix("# ") {
            described.push(words);
            continue;
        }
        let description = std::mem::take(&mut described).join(" ");
        let Some((key, default)) = text.split_once(':').filter(|_| !text.starts_with('-')) else { continue };
        path.retain(|(outer, _)| *outer < indent);
        path.push((indent, key));
        if !description.is_empty() {
            let names: Vec<_> = path.iter().map(|(_, key)| *key).collect();
            let default =
                if default.is_empty() { "see values.yaml".to_owned() } else { format!("`{}`", default.trim()) };
            // Writing to a String cannot fail.
            let _infallible = writeln!(table, "| `{}` | {default} | {description} |", names.join("."));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn each_described_value_has_a_row() {
        let values =
            "# Of the file.\n\na:\n  # One\n  # value.\n  b: 1\n  # Some.\n  c:\n    d: 2\n  e: 3\n# Last.\nf: \"\"\n";
        let rows = "| `a.b` | `1` | One value. |\n| `a.c` | see values.yaml | Some. |\n| `f` | `\"\"` | Last. |\n";
        assert!(table(values).ends_with(rows));
    }
}
