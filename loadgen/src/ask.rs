//! Finds what the user names: a claim or a scenario, in the catalogue or in a file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Error, Result, bail};
use proofload_scenarios::scenario::{Load, ScheduleSpec, ValueSource};
use proofload_scenarios::{Claim, Scenario, catalogue};

use crate::cli::Profile;
use crate::lab::Lab;

/// Claims with the scenarios that their checks need, each once.
#[derive(Default)]
pub struct Asked {
    pub claims: Vec<Claim>,
    pub scenarios: Vec<Scenario>,
    /// Claims of the catalogue that cannot be checked here, and why.
    pub left_out: Vec<(String, String)>,
}

/// The named claims, or all of the catalogue that can be checked here where none is named.
///
/// # Errors
/// When a name is neither in the catalogue nor a file, a file is no claim, or a named claim cannot be checked here: one
/// line with the remedy.
pub fn claims(names: &[String], profile: Profile, lab: &Lab) -> Result<Asked> {
    let mut asked = Asked::default();
    if names.is_empty() {
        for claim in catalogue::claims().iter().chain(catalogue::further_claims()) {
            let scenarios = needed(claim, None)?;
            match lab.obstacle(claim, &scenarios) {
                Some(obstacle) => asked.left_out.push((claim.id.clone(), obstacle)),
                None => asked.add(claim.clone(), scenarios)?,
            }
        }
    }
    if names.is_empty() && asked.claims.is_empty() {
        bail!(
            "no claim of the catalogue can be checked here; name one of your own: proofload check my-claim.toml"
        );
    }
    if let Some(twice) = named_twice(names) {
        bail!("{twice} is named twice: name it once");
    }
    for name in names {
        let (claim, beside) = match is_file_name(name) {
            true => (Claim::parse(&read(name)?, name)?, Path::new(name).parent()),
            false => (known_claim(name)?, None),
        };
        let scenarios = needed(&claim, beside)?;
        if let Some(obstacle) = lab.obstacle(&claim, &scenarios) {
            bail!("claim '{}' cannot be checked: {obstacle}", claim.id);
        }
        asked.add(claim, scenarios)?;
    }
    if profile == Profile::Full {
        asked.add_sweeps(lab)?;
    }
    asked.scenarios =
        asked.scenarios.iter().map(|scenario| scenario.for_profile(profile.of_scenarios())).collect();
    Ok(asked)
}

fn named_twice(names: &[String]) -> Option<&String> {
    names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)).map(|(_, name)| name)
}

/// The scenario of that name in the catalogue, or in that file.
///
/// # Errors
/// As [`claims`].
pub fn scenario(name: &str) -> Result<Scenario> {
    if is_file_name(name) {
        let mut scenario = Scenario::parse(&read(name)?, name)?;
        if let Some(beside) = Path::new(name).parent() {
            find_files_beside(&mut scenario, beside);
        }
        return Ok(scenario);
    }
    match catalogue::scenario(name) {
        Some(scenario) => Ok(scenario.clone()),
        None => bail!(
            "there is no scenario '{name}' in the catalogue; `proofload list` shows them, or name a file that ends in .toml"
        ),
    }
}

impl Asked {
    fn add(&mut self, claim: Claim, scenarios: Vec<Scenario>) -> Result<()> {
        if self.claims.iter().any(|known| known.id == claim.id) {
            bail!("two claims are called '{}'; give each an id of its own", claim.id);
        }
        for scenario in scenarios {
            match self.scenarios.iter().find(|known| known.name == scenario.name) {
                None => self.scenarios.push(scenario),
                Some(known) if *known == scenario => {}
                // Each is measured once: the claim would be judged by another's workload.
                Some(_) => bail!(
                    "claim '{}' brings a scenario '{}', and so does another, with other parameters; rename one",
                    claim.id,
                    scenario.name
                ),
            }
        }
        self.claims.push(claim);
        Ok(())
    }

    /// Adds the curves, ablations and maps that explain the claims.
    fn add_sweeps(&mut self, lab: &Lab) -> Result<()> {
        for (sweep, scenario) in catalogue::sweeps() {
            if self.claims.iter().any(|claim| claim.id == sweep.of) {
                let (able, refused) = lab.sort_out(scenario.points().map_err(Error::msg)?);
                self.scenarios.extend(able);
                self.left_out.extend(refused.into_iter().map(|(name, why)| (name, format!("{why:#}"))));
            }
        }
        Ok(())
    }
}

/// The scenario of that name, or the points of its sweep, as the profile measures them.
///
/// # Errors
/// As [`scenario`].
pub fn points(name: &str, profile: Profile) -> Result<Vec<Scenario>> {
    let points = scenario(name)?.points().map_err(Error::msg)?;
    Ok(points.iter().map(|point| point.for_profile(profile.of_scenarios())).collect())
}

/// The scenarios of a claim's checks. A claim file may bring its own: `NAME.toml` beside it.
fn needed(claim: &Claim, beside: Option<&Path>) -> Result<Vec<Scenario>> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for check in &claim.checks {
        if scenarios.iter().any(|scenario| scenario.name == check.scenario) {
            continue;
        }
        let own = beside.map(|directory| directory.join(format!("{}.toml", check.scenario)));
        let found = match own.filter(|path| path.is_file()) {
            Some(path) => scenario_called(&check.scenario, &path)?,
            None => scenario(&check.scenario).with_context(|| format!("claim '{}'", claim.id))?,
        };
        claim.fits(&found).map_err(Error::msg)?;
        scenarios.push(found);
    }
    Ok(scenarios)
}

/// The scenario in a file, which must be called as the file is: by that name a claim asks for it.
fn scenario_called(name: &str, path: &Path) -> Result<Scenario> {
    let found = scenario(&path.to_string_lossy())?;
    if found.name != name {
        bail!("{} calls itself '{}'; write name = \"{name}\" there", path.display(), found.name);
    }
    Ok(found)
}

/// Files that a scenario names are looked for beside it, wherever the command is given.
fn find_files_beside(scenario: &mut Scenario, directory: &Path) {
    let found = |file: &mut String| *file = directory.join(&*file).to_string_lossy().into_owned();
    for value in scenario.values.values_mut() {
        if let ValueSource::Csv { file, .. } = value {
            found(file);
        }
    }
    scenario.http.ca_file.iter_mut().for_each(found);
    if let Load::Open { schedule: ScheduleSpec::Trace { file, .. }, .. } = &mut scenario.load {
        found(file);
    }
}

fn known_claim(name: &str) -> Result<Claim> {
    match catalogue::claim(name) {
        Some(claim) => Ok(claim.clone()),
        None => {
            let known: Vec<&str> = catalogue::claims()
                .iter()
                .chain(catalogue::further_claims())
                .map(|claim| claim.id.as_str())
                .collect();
            bail!("there is no claim '{name}'; the catalogue has {}", known.join(", "))
        }
    }
}

fn is_file_name(name: &str) -> bool {
    name.ends_with(".toml") || name.contains('/')
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(name)
        .with_context(|| format!("{name} cannot be read; give the path of a file that exists"))
}
