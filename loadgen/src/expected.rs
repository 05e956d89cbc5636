//! The counters that claims rest on, looked for before anything is measured.

use anyhow::{Result, bail};
use proofload_scenarios::claim::Counted;
use proofload_scenarios::file::suggestion;
use proofload_scenarios::{Check, Claim};

use crate::observe::Reading;

/// Refuses a claim on a counter that nobody keeps: it could be judged after the measurement no better than before.
///
/// # Errors
/// The claim, the check and the counter, with the names that are near it.
pub fn refuse_unknown(claims: &[Claim], scenario: &str, reading: &Reading) -> Result<()> {
    for claim in claims {
        for check in claim.checks.iter().filter(|check| check.scenario == scenario) {
            if let Some(unknown) = counters(check, reading).find(|name| is_missing(name, reading)) {
                let of_witness = |name: &&str| witness(name) == witness(unknown);
                let known: Vec<&str> = reading.keys().map(String::as_str).filter(of_witness).collect();
                let remedy = match known.is_empty() {
                    true if witness(unknown) == "client" => suggestion(unknown, &OF_CLIENT),
                    true if witness(unknown) == "target" => {
                        "the target shows no counter at its /metrics".to_owned()
                    }
                    true => format!("there is no witness `{}` here", witness(unknown)),
                    false => suggestion(unknown, &known),
                };
                bail!("claim '{}', check '{}': nobody counts `{unknown}`; {remedy}", claim.id, check.title);
            }
        }
    }
    Ok(())
}

/// A witness that the metric is to agree with may be missing as a whole, and the report says so.
fn counters<'a>(check: &'a Check, reading: &Reading) -> impl Iterator<Item = &'a str> {
    let agreeing = check.agree.iter().flat_map(|pair| [&pair.counters.0, &pair.counters.1]);
    let agreeing = agreeing.flat_map(Counted::names).map(String::as_str);
    check.metric.counters().chain(agreeing.filter(|name| seen(&format!("{}.", witness(name)), reading)))
}

fn witness(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

fn seen(prefix: &str, reading: &Reading) -> bool {
    reading.keys().any(|known| known.starts_with(prefix))
}

/// What the client counts, and what it counts apart: right answers by their kind, answers by their status.
const OF_CLIENT: [&str; 21] = [
    "client.sent",
    "client.ok",
    "client.created",
    "client.wrong",
    "client.timeout",
    "client.error",
    "client.dropped",
    "client.refused",
    "client.reset",
    "client.cut",
    "client.garbage",
    "client.tls",
    "client.local",
    "client.unfinished",
    "client.connects",
    "client.bytes",
    "client.arrivals",
    "client.queued",
    "client.lag_us",
    "client.send_delay_us",
    "client.elapsed_us",
];
const OF_CLIENTS_KINDS: [&str; 3] = ["client.ok/", "client.status/", "client.first_visits"];

fn is_missing(name: &str, reading: &Reading) -> bool {
    match witness(name) {
        // Counted by this program as it goes, or afterwards.
        "client" => !OF_CLIENT.contains(&name) && !OF_CLIENTS_KINDS.iter().any(|it| name.starts_with(it)),
        "ledger" | "machine" => false,
        // A target may show a counter only once there is something to be counted.
        "target" => !seen("target.", reading),
        _ => match name.strip_suffix('*') {
            Some(prefix) => !seen(prefix, reading),
            None => !reading.contains_key(name),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(sum: &str, agree: &str) -> [Claim; 1] {
        let text = format!(
            "id = \"c\"\nstatement = \"s\"\n[[check]]\nkind = \"upheld\"\ntitle = \"t\"\nscenario = \"x\"\n\
             metric.count = {{ sum = [\"{sum}\"] }}\nbound.at-most = 0\n\
             agree = [{{ counters = [\"client.ok\", \"{agree}\"], within = 0.1 }}]\n"
        );
        [Claim::parse(&text, "c.toml").unwrap()]
    }

    #[test]
    fn a_counter_that_nobody_keeps_is_told_before_the_load() {
        let reading: Reading =
            ["server.lookups_store", "server.creates_created"].map(|name| (name.to_owned(), 0)).into();
        let told =
            |sum, agree| refuse_unknown(&claim(sum, agree), "x", &reading).map_err(|it| it.to_string());
        assert_eq!(told("server.lookups_*", "server.lookups_store"), Ok(()));
        assert_eq!(told("client.ok", "postgres.statements"), Ok(()), "the witness is not here at all");
        let wrong = told("server.lookups_stor", "server.lookups_store").unwrap_err();
        assert!(wrong.contains("did you mean `server.lookups_store`?"), "{wrong}");
        assert!(told("server.creates_created", "server.created").is_err());
        assert!(told("target.hits", "client.sent").unwrap_err().contains("shows no counter"));
        assert!(told("redis.commands", "client.sent").unwrap_err().contains("no witness `redis`"));
        let misspelt = told("client.errors", "client.sent").unwrap_err();
        assert!(misspelt.contains("did you mean `client.error`?"), "{misspelt}");
        assert_eq!(told("client.ok/visit", "client.reset"), Ok(()));
        assert!(refuse_unknown(&claim("server.x", "server.y"), "another", &reading).is_ok());
    }
}
