//! Brings a deployment to the state that a scenario starts from: links, their past clicks, a restart.

use std::sync::Arc;

use anyhow::{Context, Result};
use proofload_scenarios::scenario::Links as Wanted;
use proofload_scenarios::workload::{popularity, url_of};

use crate::api::Api;
use crate::deployment::Deployment;
use crate::exchange::Links;
use crate::lab::Lab;
use crate::snapshot::Snapshot;

/// Creates the links through the API, records their past clicks, and restarts the server if that is asked for. Whoever
/// wants the same links later starts on a copy.
///
/// # Errors
/// When the links cannot be made, or the server does not come back.
pub fn links(wanted: &Wanted, seed: u64, deployment: &mut Deployment, lab: &Lab) -> Result<Arc<Links>> {
    if let Some(links) = deployment.links.take() {
        return Ok(links);
    }
    let links = make(wanted, seed, deployment)?;
    if wanted.restart {
        let snapshot = deployment.pause(|database| Snapshot::take(database, links.clone(), lab))?;
        lab.keep(wanted, seed, &deployment.form, snapshot);
    }
    Ok(links)
}

fn make(wanted: &Wanted, seed: u64, deployment: &mut Deployment) -> Result<Arc<Links>> {
    let urls: Vec<String> = (0..u64::from(wanted.count)).map(|index| url_of(seed, index)).collect();
    create(&urls, &past_clicks(wanted, seed), false, deployment)
}

/// Creates one link for each URL, with as many past clicks each as `clicks` says.
pub fn create(
    urls: &[String],
    clicks: &[u64],
    restart: bool,
    deployment: &mut Deployment,
) -> Result<Arc<Links>> {
    let api = Api::new(deployment.base_url())?;
    let codes = api.create_links(urls).context("the links of the workload could not be created")?;
    api.record_clicks(&codes, clicks).context("the past clicks could not be recorded")?;
    if restart {
        deployment.restart()?;
    }
    Ok(Arc::new(Links::new(codes.iter().map(String::as_str).zip(urls.iter().map(String::as_str)))))
}

/// Clicks drawn from the popularity, as if so many visits had gone before.
fn past_clicks(wanted: &Wanted, seed: u64) -> Vec<u64> {
    match wanted.clicks {
        0 => Vec::new(),
        clicks => popularity(wanted, seed).clicks(clicks),
    }
}
