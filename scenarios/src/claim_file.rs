//! Reads a claim file, and refuses what could not be judged.

use crate::claim::{Check, Claim, Metric, Part};
use crate::file::{FileError, Source, quoted, suggestion};
use crate::scenario::{Load, Scenario};
use crate::scenario_file::{Fault, check_name, need};

/// Where counters come from; a name is `witness.counter`.
pub const WITNESSES: [&str; 10] =
    ["client", "server", "keygen", "postgres", "redis", "cpu", "machine", "ledger", "target", "sqlite"];

impl Claim {
    /// Reads and checks one claim; `file` is the name that errors bear. Whether its scenarios exist
    /// and have what it asks for is for [`Claim::fits`] to say.
    ///
    /// # Errors
    /// The first fault found, with its line and its remedy.
    pub fn parse(text: &str, file: &str) -> Result<Self, FileError> {
        let (claim, source) = Source::read::<Self>(text, file)?;
        claim.validate().map_err(|(path, problem)| source.fault(&path, problem))?;
        Ok(claim)
    }

    /// Whether each check that names `scenario` finds in it what it asks for.
    ///
    /// # Errors
    /// The claim, the check and what is missing, in one line.
    pub fn fits(&self, scenario: &Scenario) -> Result<(), String> {
        for check in self.checks.iter().filter(|check| check.scenario == scenario.name) {
            check.fits(scenario).map_err(|problem| {
                format!(
                    "claim `{}`, check `{}`: {problem} (scenario `{}`)",
                    self.id, check.title, scenario.name
                )
            })?;
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), Fault> {
        check_name("id", &self.id)?;
        need(!self.checks.is_empty(), "id", || "the claim has no check; add a [[check]]".to_owned())?;
        for (index, check) in self.checks.iter().enumerate() {
            check.validate().map_err(|(path, problem)| (format!("check.{index}.{path}"), problem))?;
        }
        Ok(())
    }
}

impl Check {
    fn validate(&self) -> Result<(), Fault> {
        check_name("scenario", &self.scenario)?;
        need(!self.title.trim().is_empty(), "title", || {
            "the title is empty; say the bound in words".to_owned()
        })?;
        need(self.bound.value().is_finite(), "bound", || "a bound is a finite number; give one".to_owned())?;
        need((0.5..1.0).contains(&self.confidence), "confidence", || {
            format!("a confidence of {} decides nothing; give 0.5 to below 1, such as 0.95", self.confidence)
        })?;
        for (index, agreement) in self.agree.iter().enumerate() {
            let path = format!("agree.{index}");
            check_counters(&path, agreement.counters.0.names())?;
            check_counters(&path, agreement.counters.1.names())?;
            need((0.0..1.0).contains(&agreement.within), path, || {
                format!("`within` is {}; give a share from 0 to below 1", agreement.within)
            })?;
        }
        // Nothing would be compared, and the report would say that it was.
        let of_slices = match &self.metric {
            Metric::Fact { .. } => false,
            Metric::Count { sum, .. } => !sum.iter().all(|name| name.starts_with("ledger.")),
            _ => true,
        };
        need(self.agree.is_empty() || of_slices, "agree", || {
            "a fact or a number of the ledger has no slices in which witnesses could agree; leave `agree` out"
                .to_owned()
        })?;
        self.metric.validate()
    }

    fn fits(&self, scenario: &Scenario) -> Result<(), String> {
        let known: Vec<&str> = scenario.variants.keys().map(String::as_str).collect();
        let wanted = self.metric.variants();
        if let Some(missing) = wanted.iter().find(|name| !known.contains(name)) {
            return Err(format!("there is no variant `{missing}`; {}", suggestion(missing, &known)));
        }
        // The ledger is of all variants together.
        let of_ledger = matches!(&self.metric, Metric::Count { sum, .. } if sum.iter().all(|name| name.starts_with("ledger.")));
        let names_all = match &self.metric {
            Metric::Slowdown { of, over, .. } => of.variant.is_some() && over.variant.is_some(),
            _ => !wanted.is_empty(),
        };
        let single = !of_ledger && !matches!(self.metric, Metric::Fact { .. }) && !names_all;
        if single && known.len() > 1 {
            return Err(format!("it must say of which `variant`: {}", quoted(&known)));
        }
        let phases = &scenario.phases;
        for part in self.metric.parts() {
            if part.from_s.is_some_and(|from| from + phases.slice_s > phases.measurement_s + 1e-9) {
                return Err(format!(
                    "no slice lies {part}: the measurement has {} s in slices of {} s",
                    phases.measurement_s, phases.slice_s
                ));
            }
        }
        match &self.metric {
            Metric::Response { .. } if !matches!(scenario.load, Load::Open { .. }) => {
                Err("only an open load has response times; ask for `service`".to_owned())
            }
            Metric::Ratio { of_ceiling: true, .. } if scenario.links.is_none() => {
                Err("a ceiling needs links; add a [links] table to the scenario".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Metric {
    /// The variants that it names.
    pub fn variants(&self) -> Vec<&str> {
        match self {
            Self::Versus { compare, .. } => vec![&compare.of, &compare.over],
            Self::Slowdown { of, over, .. } => {
                [of, over].into_iter().filter_map(|side| side.variant.as_deref()).collect()
            }
            Self::Ratio { variant, .. }
            | Self::Count { variant, .. }
            | Self::Rate { variant, .. }
            | Self::Response { variant, .. }
            | Self::Service { variant, .. } => variant.iter().map(String::as_str).collect(),
            Self::Fact { .. } => Vec::new(),
        }
    }

    /// The part of the measurement that it is about.
    pub fn part(&self) -> Part {
        match self {
            Self::Ratio { part, .. } | Self::Count { part, .. } => *part,
            _ => Part::default(),
        }
    }

    /// The same, and those of its sides.
    fn parts(&self) -> Vec<Part> {
        match self {
            Self::Slowdown { of, over, .. } => vec![of.part(), over.part()],
            _ => vec![self.part()],
        }
    }

    /// The same metric of the whole measurement.
    pub fn of_all(mut self) -> Self {
        if let Self::Ratio { part, .. } | Self::Count { part, .. } = &mut self {
            *part = Part::default();
        }
        self
    }

    /// The counters that it is computed from.
    pub fn counters(&self) -> impl Iterator<Item = &str> {
        let (sum, per): (&[String], &[String]) = match self {
            Self::Ratio { sum, per, .. } | Self::Versus { sum, per, .. } => (sum, per),
            Self::Count { sum, .. } | Self::Rate { sum, .. } => (sum, &[]),
            Self::Response { .. } | Self::Service { .. } | Self::Slowdown { .. } | Self::Fact { .. } => {
                (&[], &[])
            }
        };
        sum.iter().chain(per).map(String::as_str)
    }

    fn validate(&self) -> Result<(), Fault> {
        match self {
            Self::Ratio { sum, per, part, .. } => {
                check_part("metric.ratio", *part)?;
                check_counters("metric.ratio.sum", sum)?;
                check_counters("metric.ratio.per", per)
            }
            Self::Versus { sum, per, compare } => {
                check_counters("metric.versus.sum", sum)?;
                check_counters("metric.versus.per", per)?;
                need(compare.of != compare.over, "metric.versus.compare", || {
                    format!("`{}` over itself is 1; name two variants", compare.of)
                })
            }
            Self::Count { sum, part, .. } => {
                check_counters("metric.count.sum", sum)?;
                check_part("metric.count", *part)?;
                need(
                    part.is_all() || sum.iter().all(|name| !name.starts_with("ledger.")),
                    "metric.count.sum",
                    || "the ledger is of the whole run; leave `from_s` and `until_s` out".to_owned(),
                )
            }
            Self::Rate { sum, .. } => check_counters("metric.rate.sum", sum),
            Self::Response { quantile, .. } => check_quantile("metric.response.quantile", *quantile),
            Self::Service { quantile, .. } => check_quantile("metric.service.quantile", *quantile),
            Self::Slowdown { quantile, of, over } => {
                check_quantile("metric.slowdown.quantile", *quantile)?;
                check_part("metric.slowdown.of", of.part())?;
                check_part("metric.slowdown.over", over.part())?;
                need(of != over, "metric.slowdown", || {
                    "both sides are the same; name two variants, or two parts of the measurement".to_owned()
                })
            }
            Self::Fact { name } => need(!name.is_empty(), "metric.fact.name", || {
                "the fact has no name; give the one that the run records".to_owned()
            }),
        }
    }
}

fn check_part(path: &str, part: Part) -> Result<(), Fault> {
    let (from, until) = (part.from_s.unwrap_or(0.0), part.until_s.unwrap_or(f64::INFINITY));
    need(from >= 0.0 && from < until, path, || {
        format!("no slice lies from second {from} to {until}; give `from_s` below `until_s`")
    })
}

fn check_quantile(path: &str, quantile: f64) -> Result<(), Fault> {
    need(quantile > 0.0 && quantile < 1.0, path, || {
        format!("`quantile` is {quantile}; give it between 0 and 1, such as 0.99 for p99")
    })
}

fn check_counters(path: &str, names: &[String]) -> Result<(), Fault> {
    need(!names.is_empty(), path, || "no counter is named; give one, such as `client.ok`".to_owned())?;
    names.iter().try_for_each(|name| check_counter(path, name))
}

fn check_counter(path: &str, name: &str) -> Result<(), Fault> {
    let (witness, counter) = name.split_once('.').unwrap_or((name, ""));
    need(WITNESSES.contains(&witness), path, || {
        format!("`{name}` names no witness before its dot; {}", suggestion(witness, &WITNESSES))
    })?;
    if let Some(status) = name.strip_prefix("client.status/") {
        let digits = status.strip_suffix('*');
        let fits = digits.map_or(status.len() == 3, |digits| digits.len() < 3);
        let are_digits = digits.unwrap_or(status).bytes().all(|byte| byte.is_ascii_digit());
        return need(fits && are_digits, path, || {
            format!(
                "`{name}` is no status; write `client.status/503`, or `client.status/5*` for all that begin so"
            )
        });
    }
    let inner = counter.strip_suffix('*').unwrap_or(counter);
    need(!counter.is_empty() && !inner.contains('*'), path, || {
        format!(
            "`{name}` names no counter; write `{witness}.NAME`, or `{witness}.NAME*` for all that begin so"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
id = \"mine\"
statement = \"It is fast.\"

[[check]]
kind = \"upheld\"
title = \"p99 at most 5 ms\"
scenario = \"my-load\"
metric.response = { quantile = 0.99 }
bound.at-most = 5000
agree = [{ counters = [\"client.ok\", \"server.redirects_*\"], within = 0.01 }]
";

    const SCENARIO: &str = "\
name = \"my-load\"
load.closed.connections = 8
phases = { measurement_s = 8 }
operation = [{ action = \"create\" }]
variant = { one = {}, two = {} }
";

    fn problem(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        Claim::parse(&GOOD.replace(from, to), "c.toml").unwrap_err().to_string()
    }

    #[test]
    fn a_good_claim_is_read() {
        let claim = Claim::parse(GOOD, "c.toml").unwrap();
        assert_eq!(claim.checks[0].confidence, 0.95);
        assert_eq!(claim.checks[0].bound.value(), 5000.0);
    }

    #[test]
    fn a_fault_is_one_line_with_file_line_field_and_remedy() {
        let metric = "metric.response = { quantile = 0.99 }";
        let cases = [
            ("statement", "statment", "c.toml, line 2: unknown field `statment`; did you mean `statement`?"),
            ("upheld", "uphold", "c.toml, line 5: unknown variant `uphold`; did you mean `upheld`?"),
            ("response", "respons", "c.toml, line 8: unknown variant `respons`; did you mean `response`?"),
            (
                "0.99 }",
                "99 }",
                "c.toml, line 8: `quantile` is 99; give it between 0 and 1, such as 0.99 for p99",
            ),
            ("at-most", "atmost", "c.toml, line 9: unknown variant `atmost`; did you mean `at-most`?"),
            ("5000", "inf", "c.toml, line 9: a bound is a finite number; give one"),
            (
                "client.ok",
                "clint.ok",
                "c.toml, line 10: `clint.ok` names no witness before its dot; did you mean `client`?",
            ),
            (
                "client.ok",
                "client.*k",
                "c.toml, line 10: `client.*k` names no counter; write `client.NAME`, or `client.NAME*` for all that begin so",
            ),
            (
                "client.ok",
                "client.status/5xx",
                "c.toml, line 10: `client.status/5xx` is no status; write `client.status/503`, or `client.status/5*` for all that begin so",
            ),
            ("0.01", "2", "c.toml, line 10: `within` is 2; give a share from 0 to below 1"),
            (
                metric,
                "metric.ratio = { sum = [], per = [\"client.ok\"] }",
                "c.toml, line 8: no counter is named; give one, such as `client.ok`",
            ),
            (
                metric,
                "metric.versus = { sum = [\"client.ok\"], per = [\"client.sent\"], compare = { of = \"a\", over = \"a\" } }",
                "c.toml, line 8: `a` over itself is 1; name two variants",
            ),
            (
                metric,
                "metric.count = { sum = [\"client.ok\"], part = { from_s = 3, until_s = 2 } }",
                "c.toml, line 8: no slice lies from second 3 to 2; give `from_s` below `until_s`",
            ),
            (
                metric,
                "metric.count = { sum = [\"ledger.missing\"] }",
                "c.toml, line 10: a fact or a number of the ledger has no slices in which witnesses could agree; leave `agree` out",
            ),
            ("scenario = \"my-load\"\n", "", "c.toml, line 4: the field `scenario` is missing; add it"),
        ];
        for (from, to, expected) in cases {
            assert_eq!(problem(from, to), expected);
        }
    }

    #[test]
    fn a_check_must_find_its_variant_and_its_kind_of_time() {
        let scenario = Scenario::parse(SCENARIO, "s.toml").unwrap();
        let fits = |metric: &str| {
            let text = GOOD.replace("metric.response = { quantile = 0.99 }", metric);
            Claim::parse(&text, "c.toml").unwrap().fits(&scenario).map_err(|problem| problem.to_string())
        };
        let told = |metric| fits(metric).unwrap_err();
        assert_eq!(fits("metric.service = { quantile = 0.5, variant = \"one\" }"), Ok(()));
        assert!(
            told("metric.response = { quantile = 0.5, variant = \"one\" }").contains("ask for `service`")
        );
        assert!(
            told("metric.service = { quantile = 0.5 }")
                .contains("it must say of which `variant`: `one`, `two`")
        );
        assert!(
            told("metric.service = { quantile = 0.5, variant = \"tow\" }").contains("did you mean `two`?")
        );
        assert!(
            told(
                "metric.ratio = { sum = [\"a\"], per = [\"b\"], of_ceiling = true, variant = \"one\" }"
                    .replace("\"a\"", "\"client.ok\"")
                    .replace("\"b\"", "\"client.sent\"")
                    .as_str()
            )
            .contains("a ceiling needs links")
        );
    }
}
