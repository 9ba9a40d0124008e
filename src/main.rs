//! The door: argv, environment and stdin in; what the library answers out. The only place that writes to stdout.

use std::{
    env,
    io::{self, Read, Write},
    process::ExitCode,
};

use groundwork::{cli, verb};

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: groundwork::sys::allocator::Allocator = groundwork::sys::allocator::Allocator;

/// A network configuration larger than this is no configuration. In bytes.
const STDIN_LIMIT: u64 = 16 << 20;

fn main() -> ExitCode {
    let vars = |name: &str| env::var_os(name);
    if vars("CNI_COMMAND").is_none_or(|verb| verb.is_empty()) {
        let output = cli::run(env::args_os());
        return answer(&output.text, output.status);
    }
    std::panic::set_hook(Box::new(|panic| {
        answer(&verb::Reply::broken(panic).document, 1);
    }));
    let mut stdin = Vec::new();
    let read = io::stdin().lock().take(STDIN_LIMIT).read_to_end(&mut stdin);
    let reply = match read {
        Ok(_) => verb::answer(&env::args_os().next().unwrap_or_default(), &vars, &stdin),
        Err(error) => verb::Reply::unreadable(&error),
    };
    answer(&reply.document, u8::from(reply.failed))
}

/// One write: a reader never sees half a document.
fn answer(text: &str, status: u8) -> ExitCode {
    if !text.is_empty() {
        let line = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
        let mut stdout = io::stdout().lock();
        if stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::from(status)
}
