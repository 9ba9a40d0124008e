//! The agent's door: argv in, an exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    groundwork::agent::run(std::env::args_os())
}
