//! `ambit-cni`: the chained CNI plugin. A pod of the mesh starts once the node agent has captured it, and
//! not before. `plugin.rs` has what each command does.
//!
//! It speaks the CNI specification from 0.1.0 to 1.1.0:
//! <https://github.com/containernetworking/cni/blob/main/SPEC.md>

mod call;
mod failure;
mod plugin;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::call::Call;

fn main() -> ExitCode {
    let input = call::read(io::stdin().lock());
    let call = Call::from_environment();
    let (output, code) = match plugin::run(&call, input.as_deref()) {
        Ok(output) => (output, ExitCode::SUCCESS),
        Err(failure) => {
            eprintln!("{}: {failure}", ambit_cni::PLUGIN);
            (failure.to_json(&plugin::version_of(input.as_deref())), ExitCode::FAILURE)
        }
    };
    match io::stdout().write_all(output.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
