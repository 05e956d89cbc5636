//! The command line of `proofload`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use proofload_scenarios::scenario;
use proofload_server::config::ServeArgs;
use proofload_server::keygen::KeygenArgs;

use crate::adhoc::AdhocArgs;
use crate::selftest::SelftestArgs;

/// Turns performance claims into checks with evidence.
///
/// With no verb it checks the claims on an embedded reference server: nothing to install.
#[derive(Debug, Parser)]
#[command(name = "proofload", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub check: CheckArgs,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run what the claims need, judge, report (the default).
    Check(CheckArgs),
    /// Run one scenario, replay an access log, or load a URL.
    Run(Box<RunArgs>),
    /// The claims and scenarios in the catalogue; of those that are named, every parameter.
    List {
        /// Claims or scenarios of the catalogue
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Render recorded runs again.
    Report(ReportArgs),
    /// Put two recorded runs side by side.
    Compare(CompareArgs),
    /// Whether one build is slower than another, by an interleaved comparison.
    Gate(GateArgs),
    /// Measure the generator's own errors on this machine.
    Selftest(SelftestArgs),
    /// The reference server: a URL shortener.
    Serve(Box<ServeArgs>),
    /// The service that leases blocks of ids to the reference server.
    Keygen(KeygenArgs),
}

#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Claims by their id, or claim files; all of the catalogue's that the backends allow where none is named.
    #[arg(value_name = "CLAIM")]
    pub claims: Vec<String>,
    /// How long to measure.
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    pub profile: Profile,
    /// Print what would be measured and how long it would take, and measure nothing.
    #[arg(long)]
    pub plan: bool,
    /// Show these bars of the server in the report: what `server/benches/side-by-side.sh` wrote to the file that its BARS names.
    #[arg(long, value_name = "FILE")]
    pub bars: Option<PathBuf>,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// About a minute on two cores.
    Quick,
    /// Longer phases and every experiment: up to twenty minutes.
    Full,
}

impl Profile {
    /// The same choice, as scenario files know it.
    pub fn of_scenarios(self) -> scenario::Profile {
        match self {
            Profile::Quick => scenario::Profile::Quick,
            Profile::Full => scenario::Profile::Full,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Profile::Quick => "quick",
            Profile::Full => "full",
        }
    }
}

/// What is measured: the bundled server on some backends, or a server that already runs.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// What the reference server stores in.
    #[arg(long, value_enum, default_value_t = Backends::Embedded)]
    pub backends: Backends,
    /// A PostgreSQL that already runs, for the bundled server: databases of our own are made there and dropped again.
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// A Redis that already runs, for the bundled server: empty databases of it are used and emptied again.
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// An HTTP service that already runs, instead of the bundled server. Where it shows Prometheus counters at
    /// `/metrics`, claims may name them: `target.http_requests_total`.
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Another build of proofload, whose server is measured instead of this one's.
    #[arg(long, value_name = "PROGRAM")]
    pub server: Option<PathBuf>,
    /// Address of the bundled server; a free loopback port where nothing is said.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backends {
    /// SQLite in a temporary directory and an in-process cache: nothing to install.
    Embedded,
    /// Private PostgreSQL and Redis servers from local binaries, removed afterwards.
    Spawn,
}

#[derive(Debug, Clone, Args)]
pub struct Output {
    /// Where the report goes; `proofload-report/<time>-<verb>` where nothing is said.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print a summary for programs instead of the table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// A scenario file, or the name of a scenario in the catalogue.
    #[arg(value_name = "SCENARIO")]
    pub scenario: Option<String>,
    /// Replay an access log in the common or combined format: each distinct request target becomes a link.
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<PathBuf>,
    /// Times the speed at which the log was written, instead of a rate.
    #[arg(long, value_name = "X")]
    pub speed: Option<f64>,
    /// What a request target of the log is appended to, to make it a URL.
    #[arg(long, value_name = "URL", default_value = "https://example.com")]
    pub link_base: String,
    /// Cache capacity of the bundled server, in links; may be given several times, each is measured.
    #[arg(long, value_name = "N")]
    pub cache_entries: Vec<u64>,
    #[arg(long, value_enum, default_value_t = Profile::Quick)]
    pub profile: Profile,
    #[command(flatten)]
    pub adhoc: AdhocArgs,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// Run files (`run.json`), or the directories that hold one.
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    #[arg(value_name = "A")]
    pub a: PathBuf,
    #[arg(value_name = "B")]
    pub b: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Clone, Args)]
pub struct GateArgs {
    /// The build to compare with: a proofload executable, or the URL of a service that runs.
    #[arg(long, value_name = "EXECUTABLE|URL")]
    pub base: String,
    /// The build under test: likewise.
    #[arg(long, value_name = "EXECUTABLE|URL")]
    pub head: String,
    /// A scenario file, or the name of a scenario in the catalogue. Its slices are a quarter of a block each.
    #[arg(value_name = "SCENARIO", default_value = "gate-redirects")]
    pub scenario: String,
    /// How much slower head may be, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = margin)]
    pub margin: f64,
    /// What the reference server stores in.
    #[arg(long, value_enum, default_value_t = Backends::Embedded)]
    pub backends: Backends,
    #[command(flatten)]
    pub output: Output,
}

fn margin(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err("give a percentage above 0 and up to 100, such as 2".to_owned()),
    }
}

impl GateArgs {
    pub fn place(&self) -> Place {
        Place {
            backends: self.backends,
            database_url: None,
            redis_url: None,
            target: None,
            server: None,
            listen: None,
        }
    }
}
