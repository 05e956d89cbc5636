//! A sweep: one scenario, measured at many points that a plot joins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::scenario::Scenario;

/// Which points to make of a scenario, and what they show together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    pub kind: SweepKind,
    /// The claim that the points explain: the full profile measures them with it.
    pub of: String,
    /// Values of a field, by its path in the scenario file: every combination is a point.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub across: BTreeMap<String, Vec<Value>>,
    /// Points with names of their own, after those.
    #[serde(default, rename = "point", skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Point>,
}

/// What the points show together; the first part of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SweepKind {
    /// Statements per create against the rate or the number of clients.
    Curve,
    /// The design with one technique switched off at each point; with none at the first.
    Ablation,
    /// The hit rate over popularity, links and capacity.
    Envelope,
}

/// A point, and the fields in which it differs from its scenario, as the scenario file writes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub name: String,
    #[serde(flatten)]
    pub set: Table,
}

impl SweepKind {
    pub fn name(self) -> &'static str {
        match self {
            SweepKind::Curve => "curve",
            SweepKind::Ablation => "ablation",
            SweepKind::Envelope => "envelope",
        }
    }
}

impl Scenario {
    /// The scenarios to measure: itself, or the points of its sweep, named `KIND/SCENARIO/POINT`.
    ///
    /// # Errors
    /// The point whose fields make no scenario, and why.
    pub fn points(&self) -> Result<Vec<Scenario>, String> {
        let Some(sweep) = &self.sweep else { return Ok(vec![self.clone()]) };
        let plain = Scenario { sweep: None, ..self.clone() };
        let plain = Value::try_from(&plain).map_err(|error| error.to_string())?;
        let made = sweep.all().into_iter().map(|Point { name, set }| {
            let mut value = plain.clone();
            overlay(&mut value, &Value::Table(set));
            let scenario: Scenario = value
                .try_into()
                .map_err(|error: toml::de::Error| format!("point `{name}`: {}", error.message()))?;
            Ok(Scenario { name: format!("{}/{}/{name}", sweep.kind.name(), self.name), ..scenario })
        });
        made.collect()
    }
}

impl Sweep {
    fn all(&self) -> Vec<Point> {
        let mut points = match self.across.is_empty() {
            true => Vec::new(),
            false => vec![Point { name: String::new(), set: Table::new() }],
        };
        for (path, values) in &self.across {
            let with = |point: &Point| {
                let point = point.clone();
                values.iter().map(move |value| point.clone().at(path, value)).collect::<Vec<_>>()
            };
            points = points.iter().flat_map(with).collect();
        }
        points.into_iter().chain(self.points.iter().cloned()).collect()
    }
}

impl Point {
    /// The point with one field more, which its name then tells.
    fn at(mut self, path: &str, value: &Value) -> Self {
        let field = path.rsplit('.').next().unwrap_or(path);
        let told = match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        let gap = if self.name.is_empty() { "" } else { ", " };
        self.name.push_str(&format!("{gap}{field} {told}"));
        let nested = path
            .rsplit('.')
            .fold(value.clone(), |inner, key| Value::Table(Table::from_iter([(key.to_owned(), inner)])));
        let mut set = Value::Table(self.set);
        overlay(&mut set, &nested);
        self.set = match set {
            Value::Table(set) => set,
            _ => unreachable!("a table stays one"),
        };
        self
    }
}

/// Puts what `over` says in the place of what `value` says; tables are merged.
fn overlay(value: &mut Value, over: &Value) {
    match (value, over) {
        (Value::Table(table), Value::Table(over)) => {
            for (key, over) in over {
                match table.get_mut(key) {
                    Some(value) => overlay(value, over),
                    None => {
                        table.insert(key.clone(), over.clone());
                    }
                }
            }
        }
        (value, over) => *value = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Load;

    const TEXT: &str = r#"
name = "creates"
load.closed = { connections = 64 }
phases = { measurement_s = 4, slice_s = 0.1 }
[variant.after]
design = "after"
[[operation]]
action = "create"
"#;

    fn points(sweep: &str) -> Vec<Scenario> {
        Scenario::parse(&format!("{TEXT}{sweep}"), "my.toml").unwrap().points().unwrap()
    }

    #[test]
    fn every_combination_is_a_point_and_named_points_follow() {
        let made = points(
            r#"
[sweep]
kind = "curve"
of = "db-statements"
across = { "load.closed.connections" = [1, 8], "variant.after.pool" = [0, 2_000] }
[[sweep.point]]
name = "checked"
variant.after.codes = "checked"
"#,
        );
        let names: Vec<&str> = made.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "curve/creates/connections 1, pool 0",
                "curve/creates/connections 1, pool 2000",
                "curve/creates/connections 8, pool 0",
                "curve/creates/connections 8, pool 2000",
                "curve/creates/checked",
            ]
        );
        assert_eq!(made[2].load, Load::Closed { connections: 8, think_time_ms: 0 });
        assert_eq!(made[2].variants["after"].flags["design"].as_str(), Some("after"), "the rest stays");
        assert_eq!(made[4].load, Load::Closed { connections: 64, think_time_ms: 0 });
        assert!(made.iter().all(|it| it.sweep.is_none()));
    }

    #[test]
    fn a_point_that_cannot_be_is_told_with_its_name() {
        let broken = |fields: &str| {
            let sweep = format!(
                "[sweep]\nkind = \"ablation\"\nof = \"pool\"\n[[sweep.point]]\nname = \"x\"\n{fields}\n"
            );
            Scenario::parse(&format!("{TEXT}{sweep}"), "my.toml").unwrap_err().to_string()
        };
        assert!(broken("load.closed.connections = \"many\"").contains("point `x`"));
        assert!(broken("load.closed.connections = 0").contains("`connections` is 0"));
        assert!(broken("variant.after.pol = 1").contains("did you mean `pool`?"));
    }

    #[test]
    fn a_scenario_without_a_sweep_is_its_own_point() {
        let scenario = Scenario::parse(TEXT, "my.toml").unwrap();
        assert_eq!(scenario.points().unwrap(), [scenario]);
    }
}
