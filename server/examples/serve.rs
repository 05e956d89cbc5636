//! Serves with the settings on the command line.
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    serve: proofload_server::config::ServeArgs,
}

fn main() -> anyhow::Result<()> {
    proofload_server::serve(Line::parse().serve)
}
