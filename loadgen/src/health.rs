//! The prober: asks every service for its health and its metrics while it is under load, and whether they are true.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use proofload_reports::run::Measurement;
use reqwest::Client;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::deployment::Deployment;
use crate::facts;
use crate::services::Postgres;

/// A probe that is not answered within this has failed.
const WITHIN: Duration = Duration::from_secs(1);
/// How long a service may take to notice that another went or came back.
const NOTICE: Duration = Duration::from_secs(1);
/// Failures that are told in words; all of them are counted.
const TOLD: usize = 10;

/// The processes of a service; none while it is down.
pub type Ids = Box<dyn FnMut() -> Vec<u32>>;

/// Which service is asked: what each says has a shape of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    App,
    Keygen,
}

/// Someone to ask.
pub struct Service {
    pub kind: Kind,
    pub base: String,
    pub ids: Ids,
}

/// Someone whom the services speak of, by the name that they use.
pub struct Dependency {
    pub name: &'static str,
    pub ids: Ids,
}

/// Asks once a slice.
pub struct Prober {
    runtime: Runtime,
    client: Client,
    services: Vec<(Service, Lively)>,
    dependencies: Vec<(Dependency, State)>,
    began: Instant,
    asked: u64,
    failures: Vec<String>,
}

/// Whether a dependency is up, and since when.
struct State {
    up: bool,
    since: Instant,
}

/// A count of look-ups that must grow under load.
struct Lively {
    count: f64,
    grown: Instant,
}

/// What is known of a dependency: whether it is up; none while it has only just changed.
type Truth = BTreeMap<&'static str, Option<bool>>;

impl Prober {
    pub fn of(deployment: &Deployment, postgres: Option<&RefCell<Postgres>>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Client::builder().timeout(WITHIN).build().context("no HTTP client")?;
        let now = Instant::now();
        let (services, dependencies) = deployment.for_probes(postgres);
        Ok(Self {
            runtime,
            client,
            services: services.into_iter().map(|it| (it, Lively { count: 0.0, grown: now })).collect(),
            dependencies: dependencies.into_iter().map(|it| (it, State { up: true, since: now })).collect(),
            began: now,
            asked: 0,
            failures: Vec::new(),
        })
    }

    /// Asks every service that is up.
    pub fn probe(&mut self) {
        let truth = self.truth();
        let Self { runtime, client, services, began, asked, failures, .. } = self;
        for (service, lively) in services.iter_mut() {
            if (service.ids)().is_empty() {
                continue;
            }
            let health = runtime.block_on(get(client, &service.base, "/health"));
            let health = health.and_then(|(status, body)| judge_health(service.kind, status, &body, &truth));
            let metrics = runtime.block_on(get(client, &service.base, "/metrics"));
            let metrics = metrics.and_then(|(status, body)| {
                let families = judge_metrics(service.kind, status, &body)?;
                lively.judge(service.kind, &families, Instant::now())
            });
            *asked += 2;
            for (page, outcome) in [("/health", health), ("/metrics", metrics)] {
                if let Err(fault) = outcome {
                    let at_s = began.elapsed().as_secs_f64();
                    failures.push(format!("{at_s:.2} s: {page} of {:?}: {fault}", service.kind));
                }
            }
        }
    }

    /// Enters how many probes failed, and the first of them in words.
    pub fn conclude(self, into: &mut Measurement) {
        into.facts.insert(facts::HEALTH_PROBES.to_owned(), self.asked as f64);
        into.facts.insert(facts::HEALTH_PROBES_FAILED.to_owned(), self.failures.len() as f64);
        into.remarks.extend(self.failures.into_iter().take(TOLD));
    }

    fn truth(&mut self) -> Truth {
        let now = Instant::now();
        let known = self.dependencies.iter_mut().map(|(dependency, state)| {
            let up = !(dependency.ids)().is_empty();
            if up != state.up {
                *state = State { up, since: now };
            }
            let settled = now.duration_since(state.since) >= NOTICE || state.since == self.began;
            (dependency.name, settled.then_some(up))
        });
        known.collect()
    }
}

impl Lively {
    /// Under load a server's look-ups grow; figures that stand still are not live.
    fn judge(&mut self, kind: Kind, families: &BTreeMap<String, f64>, now: Instant) -> Result<(), String> {
        let Some(count) = families.get(LOOKUPS).filter(|_| kind == Kind::App) else { return Ok(()) };
        if *count > self.count {
            *self = Lively { count: *count, grown: now };
        }
        let still = now.duration_since(self.grown);
        match *count < self.count || still > NOTICE {
            true => Err(format!("{LOOKUPS} has not grown for {:.1} s under load", still.as_secs_f64())),
            false => Ok(()),
        }
    }
}

async fn get(client: &Client, base: &str, page: &str) -> Result<(u16, String), String> {
    let answer = async {
        let answer = client.get(format!("{base}{page}")).send().await?;
        Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
    };
    answer.await.map_err(|error| match error.is_timeout() {
        true => format!("no answer within {WITHIN:?}"),
        false => format!("no answer: {error}"),
    })
}

fn judge_health(kind: Kind, status: u16, body: &str, truth: &Truth) -> Result<(), String> {
    let said: Value = serde_json::from_str(body).map_err(|error| format!("it is no JSON: {error}"))?;
    let database_up = truth.iter().all(|(name, known)| !is_database(name) || *known == Some(true));
    // Without the database keygen runs and can grant nothing: whoever calls that down is not wrong.
    let told = truth.iter().filter(|(name, _)| database_up || **name != "keygen");
    for (name, known) in told {
        let claimed = claimed(kind, &said, name)?;
        if let (Some(claimed), Some(known)) = (claimed, known)
            && claimed != *known
        {
            let word = |up| if up { "up" } else { "down" };
            return Err(format!("{name} is {}, and it says {}", word(*known), word(claimed)));
        }
    }
    let overall = said["status"].as_str().ok_or("it has no status")?;
    let database_down = truth.iter().any(|(name, known)| is_database(name) && *known == Some(false));
    let all_known = truth.values().all(Option::is_some);
    // Keygen does its work without Redis, and says so beside its status.
    let all_up = truth
        .iter()
        .all(|(name, known)| *known == Some(true) || (kind == Kind::Keygen && !is_database(name)));
    let (wanted, code): (&[&str], u16) = match kind {
        _ if !all_known => return Ok(()),
        Kind::App if database_down => (&["down"], 503),
        Kind::Keygen if database_down => (&["failing"], 503),
        Kind::App if !all_up => (&["degraded"], 200),
        _ => (&["ok"], 200),
    };
    match wanted.contains(&overall) && status == code {
        true => Ok(()),
        false => Err(format!("it says `{overall}` with {status}, where `{}` with {code} is true", wanted[0])),
    }
}

fn is_database(name: &str) -> bool {
    ["postgresql", "sqlite"].contains(&name)
}

/// What a service says of a dependency; none where it does not speak of it at all.
fn claimed(kind: Kind, said: &Value, name: &str) -> Result<Option<bool>, String> {
    let lacks = || format!("it does not speak of {name}");
    match kind {
        Kind::App => {
            let all = said["dependencies"].as_array().ok_or("it names no dependencies")?;
            let one = all.iter().find(|it| it["name"] == name).ok_or_else(lacks)?;
            one["up"].as_bool().map(Some).ok_or_else(lacks)
        }
        Kind::Keygen if name == "keygen" => Ok(None),
        Kind::Keygen => {
            let key = if is_database(name) { "database" } else { name };
            match said[key]["state"].as_str() {
                Some("up") => Ok(Some(true)),
                Some("down") => Ok(Some(false)),
                _ => Err(lacks()),
            }
        }
    }
}

const LOOKUPS: &str = "shortener_lookups_total";

/// The sums of the families that are declared, where the text is an exposition and holds what it must.
fn judge_metrics(kind: Kind, status: u16, text: &str) -> Result<BTreeMap<String, f64>, String> {
    if status != 200 {
        return Err(format!("it answered {status}"));
    }
    let mut declared = BTreeSet::new();
    let mut families: BTreeMap<String, f64> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(declaration) = line.strip_prefix("# TYPE ") {
            declared.extend(declaration.split(' ').next().map(str::to_owned));
        }
        if line.starts_with('#') {
            continue;
        }
        let (family, value) = sample(line).ok_or_else(|| format!("`{line}` is no sample"))?;
        let parts = ["", "_bucket", "_count", "_sum"];
        let known =
            parts.iter().any(|part| family.strip_suffix(part).is_some_and(|it| declared.contains(it)));
        if !known {
            return Err(format!("{family} has no # TYPE"));
        }
        *families.entry(family.to_owned()).or_default() += value;
    }
    let needed: &[&str] = match kind {
        Kind::App => &[LOOKUPS, "shortener_cache_entries"],
        Kind::Keygen => &["keygen_leases_total", "keygen_statements_total"],
    };
    match needed.iter().find(|name| !families.contains_key(**name)) {
        Some(missing) => Err(format!("it lacks {missing}")),
        None => Ok(families),
    }
}

fn sample(line: &str) -> Option<(&str, f64)> {
    let (series, rest) = match line.rfind('}') {
        Some(brace) => (&line[..=brace], &line[brace + 1..]),
        None => line.split_at(line.find(' ')?),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((series.split('{').next()?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: &str =
        r#"{"status":"ok","dependencies":[{"name":"postgresql","up":true},{"name":"redis","up":true}]}"#;
    const WITHOUT: &str = r#"{"status":"degraded","dependencies":[{"name":"postgresql","up":true},{"name":"redis","up":false}]}"#;

    fn truth(redis: Option<bool>) -> Truth {
        Truth::from([("postgresql", Some(true)), ("redis", redis)])
    }

    #[test]
    fn the_truth_passes() {
        assert_eq!(judge_health(Kind::App, 200, UP, &truth(Some(true))), Ok(()));
        assert_eq!(judge_health(Kind::App, 200, WITHOUT, &truth(Some(false))), Ok(()));
        // It may take a moment to notice.
        assert_eq!(judge_health(Kind::App, 200, UP, &truth(None)), Ok(()));
        assert_eq!(judge_health(Kind::App, 200, WITHOUT, &truth(None)), Ok(()));
    }

    /// The broken variant: a page that always says that all is well.
    #[test]
    fn whoever_says_well_of_the_dead_has_failed() {
        let told = |status, body, redis| judge_health(Kind::App, status, body, &truth(redis)).unwrap_err();
        assert!(told(200, UP, Some(false)).contains("redis is down, and it says up"));
        assert!(told(200, WITHOUT, Some(true)).contains("redis is up, and it says down"));
        let glossed = WITHOUT.replace("degraded", "ok");
        assert!(told(200, &glossed, Some(false)).contains("`degraded` with 200 is true"));
        assert!(told(503, WITHOUT, Some(false)).contains("with 503"));
        assert!(told(200, "all is well", Some(true)).contains("no JSON"));
        assert!(told(200, r#"{"status":"ok","dependencies":[]}"#, Some(true)).contains("does not speak of"));
    }

    #[test]
    fn keygen_may_be_called_down_while_it_can_grant_nothing() {
        let page = |status: &str, database: bool| {
            format!(
                r#"{{"status":"{status}","dependencies":[{{"name":"postgresql","up":{database}}},{{"name":"keygen","up":false}}]}}"#
            )
        };
        let truth = |database| Truth::from([("postgresql", Some(database)), ("keygen", Some(true))]);
        assert_eq!(judge_health(Kind::App, 503, &page("down", false), &truth(false)), Ok(()));
        assert!(judge_health(Kind::App, 200, &page("degraded", true), &truth(true)).is_err());
    }

    #[test]
    fn keygen_is_well_without_redis_and_says_so() {
        let page = |redis: &str| {
            format!(r#"{{"status":"ok","database":{{"state":"up"}},"redis":{{"state":"{redis}"}}}}"#)
        };
        assert_eq!(judge_health(Kind::Keygen, 200, &page("down"), &truth(Some(false))), Ok(()));
        assert!(judge_health(Kind::Keygen, 200, &page("up"), &truth(Some(false))).is_err());
    }

    const METRICS: &str = "# TYPE shortener_lookups_total counter\n\
        shortener_lookups_total{level=\"process\"} 3\nshortener_lookups_total{level=\"store\"} 4\n\
        # TYPE shortener_cache_entries gauge\nshortener_cache_entries 5\n";

    #[test]
    fn metrics_must_be_an_exposition_that_holds_the_cache() {
        assert_eq!(judge_metrics(Kind::App, 200, METRICS).unwrap()[LOOKUPS], 7.0);
        for (broken, words) in [
            (METRICS.replace("entries 5", "entries five"), "is no sample"),
            (METRICS.replace("# TYPE shortener_cache_entries gauge\n", ""), "has no # TYPE"),
            (METRICS.replace("cache_entries", "cash"), "lacks shortener_cache_entries"),
            (String::new(), "lacks"),
        ] {
            assert!(judge_metrics(Kind::App, 200, &broken).unwrap_err().contains(words), "{broken}");
        }
        assert!(judge_metrics(Kind::App, 500, METRICS).is_err());
    }

    #[test]
    fn figures_that_stand_still_are_not_live() {
        let start = Instant::now();
        let mut lively = Lively { count: 0.0, grown: start };
        let families = |count: f64| BTreeMap::from([(LOOKUPS.to_owned(), count)]);
        assert_eq!(lively.judge(Kind::App, &families(5.0), start), Ok(()));
        assert_eq!(lively.judge(Kind::App, &families(5.0), start + NOTICE), Ok(()));
        assert!(lively.judge(Kind::App, &families(5.0), start + NOTICE * 2).is_err());
        assert!(lively.judge(Kind::App, &families(4.0), start).is_err(), "counts never fall");
    }
}
