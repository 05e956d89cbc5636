//! Finds what the user names: a claim or a scenario, in the catalogue or in a file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Error, Result, bail};
use proofload_scenarios::{Claim, Scenario, catalogue};

use crate::cli::Profile;
use crate::lab::Lab;

/// A claim with the scenarios that its checks need, each once.
pub struct Asked {
    pub claims: Vec<Claim>,
    pub scenarios: Vec<Scenario>,
}

/// The named claims, or the whole catalogue where none is named.
///
/// # Errors
/// When a name is neither in the catalogue nor a file, or a file is no claim: one line with the remedy.
pub fn claims(names: &[String], profile: Profile, lab: &Lab) -> Result<Asked> {
    let mut asked = Asked { claims: Vec::new(), scenarios: Vec::new() };
    if names.is_empty() {
        for claim in
            catalogue::claims().iter().chain(catalogue::further_claims()).filter(|claim| lab.can_check(claim))
        {
            asked.add(claim.clone(), None)?;
        }
    }
    for name in names {
        match is_file_name(name) {
            true => asked.add(Claim::parse(&read(name)?, name)?, Path::new(name).parent())?,
            false => asked.add(known_claim(name)?, None)?,
        }
    }
    asked.scenarios =
        asked.scenarios.iter().map(|scenario| scenario.for_profile(profile.of_scenarios())).collect();
    Ok(asked)
}

/// The scenario of that name in the catalogue, or in that file.
///
/// # Errors
/// As [`claims`].
pub fn scenario(name: &str) -> Result<Scenario> {
    if is_file_name(name) {
        return Ok(Scenario::parse(&read(name)?, name)?);
    }
    match catalogue::scenario(name) {
        Some(scenario) => Ok(scenario.clone()),
        None => bail!(
            "there is no scenario '{name}' in the catalogue; `proofload list` shows them, or name a file that ends in .toml"
        ),
    }
}

impl Asked {
    /// Adds a claim and the scenarios it needs. A claim file may bring its own: `NAME.toml` beside it.
    fn add(&mut self, claim: Claim, beside: Option<&Path>) -> Result<()> {
        for check in &claim.checks {
            if self.scenarios.iter().any(|scenario| scenario.name == check.scenario) {
                continue;
            }
            let own = beside.map(|directory| directory.join(format!("{}.toml", check.scenario)));
            let found = match own.filter(|path| path.is_file()) {
                Some(path) => scenario(&path.to_string_lossy())?,
                None => scenario(&check.scenario).with_context(|| format!("claim '{}'", claim.id))?,
            };
            claim.fits(&found).map_err(Error::msg)?;
            self.scenarios.push(found);
        }
        self.claims.push(claim);
        Ok(())
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
