//! A program's page of settings, from their definition: what `--help-markdown` prints.

use std::fmt::Write;

use clap::Command;

/// The page; `source` is the file the settings are defined in.
#[must_use]
pub fn settings_page(command: &Command, title: &str, source: &str) -> String {
    let mut page = format!(
        "# {title}\n\nGenerated from `{source}` by `cargo xtask docs`; do not edit.\n\n\
         | flag | environment | default | meaning |\n| --- | --- | --- | --- |\n",
    );
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let Some(long) = argument.get_long().filter(|long| !matches!(*long, "help" | "version")) else { continue };
        let names = argument.get_value_names().filter(|_| argument.get_action().takes_values());
        let value = names.map_or(String::new(), |names| format!(" {}", names.join(" ")));
        let environment = argument.get_env().map_or(String::new(), |name| format!("`{}`", name.to_string_lossy()));
        let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default =
            if default.is_empty() || value.is_empty() { String::new() } else { format!("`{}`", default.join(" ")) };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        // Writing to a String cannot fail.
        let _infallible = writeln!(page, "| `--{long}{value}` | {environment} | {default} | {help} |");
    }
    page
}
