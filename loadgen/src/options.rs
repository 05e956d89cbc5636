//! Which options go together: one that would do nothing is refused, for whoever gave it expects something of it.

use anyhow::{Result, bail};
use clap::ArgMatches;
use clap::parser::ValueSource;

/// What `run` can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Scenario,
    Log,
    Url,
}

use What::{Log, Scenario, Url};

/// What each option of `run` applies to.
const RUN: &[(&str, &[What])] = &[
    ("scenario", &[Scenario]),
    ("access_log", &[Log]),
    ("speed", &[Log]),
    ("link_base", &[Log]),
    ("cache_entries", &[Log]),
    ("url", &[Url]),
    ("connections", &[Url]),
    ("duration", &[Url]),
    ("requests", &[Url]),
    ("rate", &[Url, Log]),
    ("arrivals", &[Url]),
    ("stages", &[Url]),
    ("slo", &[Url, Scenario]),
    ("warm_up", &[Url]),
    ("timeout", &[Url]),
    ("method", &[Url]),
    ("header", &[Url]),
    ("body", &[Url]),
    ("body_file", &[Url]),
    ("expect_status", &[Url]),
    ("generator_cores", &[Url]),
    ("http2", &[Url]),
    ("cacert", &[Url]),
    ("insecure", &[Url]),
    ("load_seed", &[Url]),
    ("profile", &[Scenario]),
    ("backends", &[Scenario, Log]),
    ("database_url", &[Scenario, Log]),
    ("redis_url", &[Scenario, Log]),
    ("server", &[Scenario, Log]),
    ("listen", &[Scenario, Log]),
    ("target", &[Scenario]),
    ("out", &[Scenario, Log, Url]),
    ("json", &[Scenario, Log, Url]),
];

/// Options that exclude each other, and why.
const EXCLUSIVE: &[(&str, &str, &str)] = &[
    ("speed", "rate", "the log is replayed by its own clock or at a rate"),
    ("slo", "rate", "the search tries rates of its own"),
    ("slo", "arrivals", "the search tries Poisson arrivals"),
    ("slo", "stages", "the search tries rates of its own"),
    ("slo", "requests", "each rate is tried for --duration"),
    ("stages", "duration", "the stages say how long they take"),
    ("stages", "arrivals", "the arrivals of stages are Poisson"),
    ("stages", "warm_up", "let the first stage warm up"),
    ("requests", "warm_up", "the number counts all that is sent"),
    ("body", "body_file", "a request has one body"),
    ("cacert", "insecure", "either some certificates are trusted or all are"),
];

/// Options that do nothing without another.
const NEEDS: &[(&str, &[&str])] = &[("arrivals", &["rate"])];

/// What `--target` leaves no part for: settings of the bundled server.
const BUNDLED: &[&str] = &["backends", "database_url", "redis_url", "server", "listen"];

/// Refuses options on this command line that would do nothing.
///
/// # Errors
/// Names the option, and says why it does not apply.
pub fn refuse_idle(matches: &ArgMatches) -> Result<()> {
    match matches.subcommand() {
        Some(("run", run)) => refuse_idle_of_run(run),
        Some(("check", check)) => refuse_idle_of_check(check),
        Some(("gate", gate)) => refuse_idle_of_gate(gate),
        Some(_) => Ok(()),
        None => refuse_idle_of_check(matches),
    }
}

fn refuse_idle_of_run(run: &ArgMatches) -> Result<()> {
    let what = match (given(run, "scenario"), given(run, "access_log"), given(run, "url")) {
        (true, false, false) => Scenario,
        (false, true, false) => Log,
        (false, false, true) => Url,
        (false, false, false) => bail!("name what to run: SCENARIO.toml, --access-log FILE, or --url URL"),
        _ => bail!("name one thing to run: SCENARIO.toml, --access-log FILE, or --url URL"),
    };
    let idle = RUN.iter().find(|(option, of)| given(run, option) && !of.contains(&what));
    if let Some((option, _)) = idle {
        let option = shown(option);
        match what {
            Scenario => bail!("{option} does not apply to a scenario: what it would say stands in the file"),
            Log => bail!("{option} does not apply to --access-log"),
            Url if option == "--target" => bail!("--target does not apply to --url, which is the target"),
            Url => bail!("{option} does not apply to --url: no scenario and no server of ours is run"),
        }
    }
    for (one, other, reason) in EXCLUSIVE {
        if given(run, one) && given(run, other) {
            bail!("{} does not go with {}: {reason}", shown(other), shown(one));
        }
    }
    for (option, needed) in NEEDS {
        if given(run, option) && !needed.iter().any(|needed| given(run, needed)) {
            let needed: Vec<String> = needed.iter().map(|needed| shown(needed)).collect();
            bail!("{} does nothing without {}", shown(option), needed.join(" or "));
        }
    }
    refuse_idle_of_tls(run)?;
    refuse_idle_of_target(run)
}

/// Without TLS no certificate is shown.
fn refuse_idle_of_tls(run: &ArgMatches) -> Result<()> {
    let plain = run.get_one::<String>("url").is_some_and(|url| url.starts_with("http://"));
    if plain && let Some(option) = ["cacert", "insecure"].into_iter().find(|it| given(run, it)) {
        bail!("{} does nothing for http://, where no certificate is shown", shown(option));
    }
    Ok(())
}

fn refuse_idle_of_check(check: &ArgMatches) -> Result<()> {
    if let Some(option) = ["out", "json"].into_iter().find(|it| given(check, "plan") && given(check, it)) {
        bail!("{} does not go with --plan, which measures nothing", shown(option));
    }
    refuse_idle_of_target(check)
}

fn refuse_idle_of_target(place: &ArgMatches) -> Result<()> {
    if given(place, "target")
        && let Some(option) = BUNDLED.iter().find(|option| given(place, option))
    {
        bail!("{} does not go with --target: the bundled server is not started", shown(option));
    }
    Ok(())
}

fn refuse_idle_of_gate(gate: &ArgMatches) -> Result<()> {
    let url = |side| gate.get_one::<String>(side).is_some_and(|text: &String| text.contains("://"));
    if given(gate, "backends") && url("base") && url("head") {
        bail!("--backends does not apply to services that already run");
    }
    Ok(())
}

fn given(matches: &ArgMatches, option: &str) -> bool {
    matches.value_source(option) == Some(ValueSource::CommandLine)
}

fn shown(option: &str) -> String {
    format!("--{}", option.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn refused(line: &str) -> Option<String> {
        let words = ["proofload"].into_iter().chain(line.split(' '));
        let matches = Cli::command().try_get_matches_from(words).unwrap();
        refuse_idle(&matches).err().map(|error| error.to_string())
    }

    /// An option that someone adds must say what it applies to.
    #[test]
    fn every_option_of_run_says_what_it_applies_to() {
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        let mut options: Vec<&str> = run.get_arguments().map(|it| it.get_id().as_str()).collect();
        let mut known: Vec<&str> = RUN.iter().map(|(option, _)| *option).collect();
        options.sort_unstable();
        known.sort_unstable();
        assert_eq!(options, known);
    }

    #[test]
    fn a_status_has_three_digits_that_http_knows() {
        let taken = |status| {
            let line = ["proofload", "run", "--url", "http://h", "--expect-status", status];
            Cli::command().try_get_matches_from(line).is_ok()
        };
        assert!(taken("100") && taken("599"));
        assert!(!taken("99") && !taken("600") && !taken("999"));
    }

    #[test]
    fn what_applies_is_taken() {
        for line in [
            "run mine.toml --target http://h --json --out x --profile full",
            "run mine.toml --slo p99<=5ms --backends spawn",
            "run --access-log a.log --rate 100 --cache-entries 5 --listen 127.0.0.1:0",
            "run --access-log a.log --speed 2",
            "run --url http://h -c 1 -d 1s -r 5 --arrivals constant -n 7 -H a:b",
            "run --url http://h --warm-up 1s",
            "run --url https://h --insecure",
            "run --url http://h --stages 10s:5 --rate 1",
            "check --plan --target http://h",
            "gate --base a --head b --backends spawn",
        ] {
            assert_eq!(refused(line), None, "{line}");
        }
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        for (line, words) in [
            ("run", "name what to run"),
            ("run mine.toml --url http://h", "name one thing"),
            ("run mine.toml --access-log a.log", "name one thing"),
            ("run mine.toml --rate 5", "--rate does not apply to a scenario"),
            ("run mine.toml -c 5", "--connections does not apply to a scenario"),
            ("run mine.toml -d 5s", "--duration does not apply to a scenario"),
            ("run mine.toml --timeout 5s", "--timeout does not apply"),
            ("run mine.toml --insecure", "--insecure does not apply"),
            ("run mine.toml --cache-entries 5", "--cache-entries does not apply"),
            ("run mine.toml --link-base http://x", "--link-base does not apply"),
            ("run mine.toml --target http://h --backends spawn", "--backends does not go with --target"),
            ("run mine.toml --target http://h --listen 127.0.0.1:0", "--listen does not go with --target"),
            ("run --access-log a.log --connections 5", "--connections does not apply to --access-log"),
            ("run --access-log a.log --slo p99<=5ms", "--slo does not apply to --access-log"),
            ("run --access-log a.log --target http://h", "--target does not apply to --access-log"),
            ("run --access-log a.log --speed 2 --rate 5", "--rate does not go with --speed"),
            ("run --url http://h --speed 2", "--speed does not apply to --url"),
            ("run --url http://h --target http://h", "which is the target"),
            ("run --url http://h --backends spawn", "--backends does not apply to --url"),
            ("run --url http://h --profile full", "--profile does not apply to --url"),
            ("run --url http://h --arrivals constant", "--arrivals does nothing without --rate"),
            ("run --url http://h --stages 1s:5 -d 5s", "--duration does not go with --stages"),
            ("run --url http://h --slo p99<=5ms --rate 5", "--rate does not go with --slo"),
            ("run --url http://h --slo p99<=5ms -n 5", "--requests does not go with --slo"),
            ("run --url http://h -n 5 --warm-up 1s", "--warm-up does not go with --requests"),
            ("run --url http://h --body a --body-file b", "one body"),
            ("run --url http://h --insecure", "no certificate"),
            ("run --url http://h --cacert a.pem", "no certificate"),
            ("check --plan --json", "--json does not go with --plan"),
            ("--plan --json", "--json does not go with --plan"),
            ("check --target http://h --server x", "--server does not go with --target"),
            ("gate --base http://a --head http://b --backends spawn", "--backends does not apply"),
        ] {
            assert!(refused(line).is_some_and(|said| said.contains(words)), "{line}: {:?}", refused(line));
        }
    }
}
