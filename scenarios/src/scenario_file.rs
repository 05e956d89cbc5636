//! Reads a scenario file, and refuses what could not be measured.

mod schedule;

use crate::file::{FileError, Source, suggestion};
use crate::scenario::{
    Action, FaultAction, FaultTarget, HttpOptions, HttpTemplate, HttpVersion, Load, Phases, Probe, Scenario,
    Step, ValueSource,
};
use crate::template;

/// More connections or users than one address has ports for.
const MOST_CONNECTIONS: u32 = 60_000;
/// A day: longer is a typing error more often than a wish.
const LONGEST_S: f64 = 86_400.0;
/// Flags of `proofload serve` that a variant may set; addresses and databases are not its to choose.
pub const SERVER_FLAGS: &[&str] = &[
    "stack",
    "design",
    "codes",
    "insert",
    "warm",
    "warm-hot",
    "warm-random",
    "pool",
    "cache-entries",
    "cache-bytes",
    "cache-max-age",
    "redis-values",
    "redis-ttl",
    "spacing-ms",
    "block-ids",
    "max-block-ids",
    "threads",
    "redirect-status",
    "rate-limit",
    "max-body",
    "max-body-memory",
    "max-url",
    "max-head",
    "max-headers",
    "max-bulk",
    "max-connections",
    "max-reads",
    "max-queue",
    "head-timeout-ms",
    "body-timeout-ms",
    "idle-timeout-ms",
    "store-timeout-ms",
    "redis-timeout-ms",
    "drain-grace-ms",
    "drain-timeout-ms",
    "code-key",
    "api-key",
    "public-url",
];

impl Scenario {
    /// Reads and checks one scenario; `file` is the name that errors bear.
    ///
    /// # Errors
    /// The first fault found, with its line and its remedy.
    pub fn parse(text: &str, file: &str) -> Result<Self, FileError> {
        let (scenario, source) = Source::read::<Self>(text, file)?;
        scenario
            .validate()
            .and_then(|()| scenario.check_points())
            .map_err(|(path, problem)| source.fault(&path, problem))?;
        Ok(scenario)
    }

    /// Whether the scenario can be measured; if not, the field and what would do.
    fn validate(&self) -> Result<(), Fault> {
        check_name("name", &self.name)?;
        self.check_load()?;
        self.check_phases("phases", &self.phases)?;
        if let Some(phases) = &self.full {
            self.check_phases("full", phases)?;
        }
        self.check_http()?;
        self.check_links()?;
        self.check_variants()?;
        self.check_operations()?;
        self.check_journeys()?;
        self.check_values()?;
        self.check_faults()
    }

    /// Every point of a sweep must be a scenario that could stand in a file of its own.
    fn check_points(&self) -> Result<(), Fault> {
        let Some(sweep) = &self.sweep else { return Ok(()) };
        check_name("sweep.of", &sweep.of)?;
        let at = |problem: String| ("sweep".to_owned(), problem);
        let points = self.points().map_err(at)?;
        need(!points.is_empty(), "sweep", || {
            "the sweep has no point; give `across`, or a [[sweep.point]]".to_owned()
        })?;
        for point in &points {
            let group = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
            let alone = Scenario { name: self.name.clone(), ..point.clone() };
            alone
                .validate()
                .map_err(|(_, problem)| at(format!("point `{}`: {problem}", group(&point.name))))?;
        }
        let mut names: Vec<&str> = points.iter().map(|point| point.name.as_str()).collect();
        names.sort_unstable();
        need(names.windows(2).all(|pair| pair[0] != pair[1]), "sweep", || {
            "two points have the same name; give each its own".to_owned()
        })
    }

    fn check_load(&self) -> Result<(), Fault> {
        match &self.load {
            Load::Open { schedule, connections } => {
                schedule::check(self, schedule)?;
                check_count("load.open.connections", *connections, MOST_CONNECTIONS)
            }
            Load::Closed { connections, .. } => {
                check_count("load.closed.connections", *connections, MOST_CONNECTIONS)
            }
            Load::Journeys { users } => check_count("load.journeys.users", *users, MOST_CONNECTIONS),
        }
    }

    fn check_phases(&self, table: &str, phases: &Phases) -> Result<(), Fault> {
        let Phases { warm_up_s, measurement_s, slice_s } = *phases;
        let at = |field: &str| format!("{table}.{field}");
        need((0.0..=LONGEST_S).contains(&warm_up_s), at("warm_up_s"), || {
            format!("`warm_up_s` is {warm_up_s}; give 0 to {LONGEST_S} seconds")
        })?;
        need(measurement_s > 0.0 && measurement_s <= LONGEST_S, at("measurement_s"), || {
            format!("`measurement_s` is {measurement_s}; give more than 0 and at most {LONGEST_S} seconds")
        })?;
        need(slice_s >= 0.01, at("slice_s"), || {
            format!("`slice_s` is {slice_s}; give at least 0.01 seconds")
        })?;
        need(slice_s <= measurement_s, at("slice_s"), || {
            format!(
                "a slice of {slice_s} s is longer than the measurement of {measurement_s} s; make it shorter"
            )
        })?;
        let block_s = 2.0 * self.variants.len() as f64 * slice_s;
        need(self.variants.len() < 2 || block_s <= measurement_s, at("measurement_s"), || {
            let variants = self.variants.len();
            format!(
                "`measurement_s` is {measurement_s}, too short for one block of {variants} variants; \
                 give at least {block_s}"
            )
        })
    }

    fn check_http(&self) -> Result<(), Fault> {
        let timeout_s = self.http.timeout_s.unwrap_or(HttpOptions::TIMEOUT_S);
        need(timeout_s > 0.0 && timeout_s <= LONGEST_S, "http.timeout_s", || {
            format!("`timeout_s` is {timeout_s}; give more than 0 and at most {LONGEST_S} seconds")
        })
    }

    fn check_links(&self) -> Result<(), Fault> {
        let Some(links) = &self.links else { return Ok(()) };
        check_count("links.count", links.count, 50_000_000)?;
        need((0.0..=10.0).contains(&links.zipf), "links.zipf", || {
            format!("an exponent of {} is no popularity; give 0 (all alike) to 10", links.zipf)
        })?;
        need(links.half_life_visits != Some(0), "links.half_life_visits", || {
            "a half-life of 0 visits leaves nothing popular; give at least 1, or leave it out".to_owned()
        })
    }

    fn check_variants(&self) -> Result<(), Fault> {
        for (name, settings) in &self.variants {
            check_name(&format!("variant.{name}"), name)?;
            check_count(&format!("variant.{name}.processes"), settings.processes, 64)?;
            for flag in settings.flags.keys() {
                need(SERVER_FLAGS.contains(&flag.as_str()), format!("variant.{name}.{flag}"), || {
                    format!("`{flag}` is no setting of the server; {}", suggestion(flag, SERVER_FLAGS))
                })?;
            }
        }
        Ok(())
    }

    fn check_operations(&self) -> Result<(), Fault> {
        let journeys = matches!(self.load, Load::Journeys { .. });
        need(!journeys || self.operations.is_empty(), "operation", || {
            "journeys send their own steps; remove the operations, or make the load open or closed".to_owned()
        })?;
        need(journeys || !self.operations.is_empty(), "load", || {
            "there is no operation, so nothing would be sent; add an [[operation]]".to_owned()
        })?;
        let of_http = self.operations.iter().filter(|it| matches!(it.action, Action::Http(_))).count();
        need(of_http == 0 || of_http == self.operations.len(), "operation", || {
            "`http` and the shortener's own actions do not mix; write them all as `http`, or none".to_owned()
        })?;
        for (index, operation) in self.operations.iter().enumerate() {
            let at = |field: &str| format!("operation.{index}.{field}");
            need(operation.weight > 0, at("weight"), || {
                "a weight of 0 is never drawn; give at least 1, or remove the operation".to_owned()
            })?;
            match &operation.action {
                Action::Visit => need(self.links.is_some(), at("action"), || {
                    "a visit needs links that exist; add a [links] table".to_owned()
                })?,
                Action::Http(template) => self.check_template(template, &at("action.http"))?,
                Action::Create | Action::VisitUnknown => {}
            }
        }
        Ok(())
    }

    fn check_template(&self, template: &HttpTemplate, at: &str) -> Result<(), Fault> {
        need(template.method.bytes().all(|byte| byte.is_ascii_uppercase()), format!("{at}.method"), || {
            format!("`{}` is no method; write it in capitals, such as `GET`", template.method)
        })?;
        need(template.path.starts_with(['/', '{']), format!("{at}.path"), || {
            format!("the path `{}` must begin with a slash; the host comes from --target", template.path)
        })?;
        need(
            template.status.is_none_or(|status| (100..600).contains(&status)),
            format!("{at}.status"),
            || "a status lies between 100 and 599".to_owned(),
        )?;
        let texts = [("path", &template.path), ("body", &template.body)];
        let headers = template.headers.values().map(|value| ("headers", value));
        let known: Vec<&str> = self.values.keys().map(String::as_str).collect();
        for (field, text) in texts.into_iter().chain(headers) {
            template::check(text, &known).map_err(|problem| (format!("{at}.{field}"), problem))?;
        }
        Ok(())
    }

    fn check_journeys(&self) -> Result<(), Fault> {
        let journeys = matches!(self.load, Load::Journeys { .. });
        need(!journeys || !self.journeys.is_empty(), "load", || {
            "there is no journey for the users to make; add a [[journey]]".to_owned()
        })?;
        need(!journeys || self.http.version == HttpVersion::Http1, "http.version", || {
            "journeys speak HTTP/1.1; leave the version out, or make the load open or closed".to_owned()
        })?;
        need(journeys || self.journeys.is_empty(), "journey", || {
            "only a load of `journeys` makes journeys; remove them, or change the load".to_owned()
        })?;
        for (index, journey) in self.journeys.iter().enumerate() {
            let at = |field: &str| format!("journey.{index}.{field}");
            check_name(&at("name"), &journey.name)?;
            need(journey.weight > 0, at("weight"), || {
                "a weight of 0 is never drawn; give at least 1, or remove the journey".to_owned()
            })?;
            need(!journey.steps.is_empty(), at("steps"), || "the journey has no step; add one".to_owned())?;
            let hot = journey.steps.contains(&Step::VisitHot);
            need(!hot || self.links.is_some(), at("steps"), || {
                "`visit-hot` needs links that exist; add a [links] table".to_owned()
            })?;
            for (index, step) in journey.steps.iter().enumerate() {
                if let Step::Http(template) = step {
                    self.check_template(template, &format!("{}.{index}.http", at("steps")))?;
                }
            }
        }
        Ok(())
    }

    fn check_values(&self) -> Result<(), Fault> {
        for (name, value) in &self.values {
            let at = format!("value.{name}");
            match value {
                ValueSource::Integer { from, to } => {
                    need(from <= to, at, || format!("no integer lies from {from} to {to}; swap them"))?
                }
                ValueSource::Zipf { count, exponent } => {
                    need(*count > 0 && (0.0..=10.0).contains(exponent), at, || {
                        "give a `count` of at least 1 and an `exponent` from 0 to 10".to_owned()
                    })?;
                }
                ValueSource::Csv { file, column, .. } => {
                    need(!file.is_empty() && !column.is_empty(), at, || {
                        "name the CSV `file` and its `column`".to_owned()
                    })?
                }
                ValueSource::Uuid | ValueSource::Sequence { .. } => {}
            }
        }
        Ok(())
    }

    fn check_faults(&self) -> Result<(), Fault> {
        // Variants take turns, each loaded for a slice: what strikes the one that is idle shows nowhere.
        let alone = self.variants.len() < 2;
        need(alone || self.faults.is_empty(), "fault", || {
            "faults strike a scenario of one variant; leave one, or leave the faults out".to_owned()
        })?;
        need(alone || !self.probes.contains(&Probe::Health), "probe", || {
            "the probe `health` asks a scenario of one variant; leave one, or leave the probe out".to_owned()
        })?;
        let keygen = self.variants.values().any(|settings| settings.keygen);
        for (index, fault) in self.faults.iter().enumerate() {
            let at = |field: &str| format!("fault.{index}.{field}");
            let last_s = self.phases.last_fault_s();
            need((0.0..=last_s + 1e-9).contains(&fault.at_s), at("at_s"), || {
                format!(
                    "{} s leaves no slice of the measurement to show what it does; give 0 to {}",
                    fault.at_s,
                    (last_s * 1e3).round() / 1e3
                )
            })?;
            need(fault.every_s.is_none_or(|every_s| every_s >= self.phases.slice_s), at("every_s"), || {
                format!("faults strike between slices; give at least `slice_s`, {}", self.phases.slice_s)
            })?;
            let possible = match fault.action {
                FaultAction::Flush => matches!(fault.target, FaultTarget::Redis | FaultTarget::App),
                FaultAction::Dump | FaultAction::Restore => fault.target == FaultTarget::Redis,
                FaultAction::Kill | FaultAction::Start | FaultAction::Restart => true,
            };
            need(possible, at("action"), || {
                "only `redis` can be dumped or restored, and only it and the `app` flushed; `kill`, `start` or \
                 `restart` this"
                    .to_owned()
            })?;
            need(keygen || fault.target != FaultTarget::Keygen, at("target"), || {
                "there is no keygen to be broken; add `keygen = true` to the variant".to_owned()
            })?;
        }
        Ok(())
    }
}

/// A field's path and the problem with it.
pub(crate) type Fault = (String, String);

pub(crate) fn need(
    holds: bool,
    path: impl Into<String>,
    problem: impl FnOnce() -> String,
) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err((path.into(), problem())) }
}

/// Names end up in file names and test reports: small letters, digits and dashes.
pub(crate) fn check_name(path: &str, name: &str) -> Result<(), Fault> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    need(!name.is_empty() && name.bytes().all(fits), path, || {
        format!("`{name}` is no name; use small letters, digits and dashes, such as `my-redirects`")
    })
}

fn check_count(path: &str, count: u32, most: u32) -> Result<(), Fault> {
    let field = path.rsplit('.').next().unwrap_or(path);
    need((1..=most).contains(&count), path, || format!("`{field}` is {count}; give 1 to {most}"))
}

#[cfg(test)]
mod tests;
