//! The `proofload` command.

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches};
use proofload::cli::{Cli, Verb};
use proofload::{check, gate, interrupt, list, options, rerender, run, selftest};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A usage or set-up error: the measurement did not take place.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    end_quietly_where_nobody_reads();
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match options::refuse_idle(&matches).and_then(|()| dispatch(cli)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // One line, whatever a child process had to say.
            let said = format!("{error:#}");
            let lines: Vec<&str> =
                said.lines().map(|line| line.trim().trim_start_matches("proofload: ")).collect();
            eprintln!("proofload: {}", lines.join(" "));
            ExitCode::from(UNUSABLE)
        }
    }
}

/// `proofload list | head` is no error: whoever read has seen enough. SIGPIPE itself stays ignored, as it would end servers
/// whose clients hang up.
fn end_quietly_where_nobody_reads() {
    const AS_BY_SIGPIPE: i32 = 128 + libc::SIGPIPE;
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to std") && said.contains("Broken pipe") {
            std::process::exit(AS_BY_SIGPIPE);
        }
        usual(panic);
    }));
}

/// One verb, one function; each returns the exit code.
fn dispatch(cli: Cli) -> Result<u8> {
    let verb = cli.verb.unwrap_or(Verb::Check(cli.check));
    if !matches!(verb, Verb::Serve(_) | Verb::Keygen(_)) {
        interrupt::install();
        proofload_server::descriptors::raise_file_limit();
    }
    match verb {
        Verb::Check(args) => check::check(&args),
        Verb::Run(args) => run::run(&args),
        Verb::List { names } => list::list(&names),
        Verb::Report(args) => rerender::report(&args),
        Verb::Compare(args) => rerender::compare(&args),
        Verb::Gate(args) => gate::gate(&args),
        Verb::Selftest(args) => selftest::run(&args),
        Verb::Serve(args) => proofload_server::serve(*args).map(|()| 0),
        Verb::Keygen(args) => proofload_server::keygen::serve(&args).map(|()| 0),
    }
}
