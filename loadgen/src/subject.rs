//! A subject: one variant under load, with those who watch it.

use std::sync::Arc;

use anyhow::{Context, Result};
use proofload_scenarios::Scenario;
use proofload_scenarios::workload::url_of;

use crate::connect::presentable;
use crate::deployment::Deployment;
use crate::drive::{Recording, Target};
use crate::exchange::Links;
use crate::lab::Lab;
use crate::observe::Observer;
use crate::witness::{Machine, Metrics, Processes, Witness};
use crate::{generate, prepare};

/// A variant under load: where it runs, what it holds, who watches it, what it acknowledged.
pub struct Subject {
    pub(crate) place: Place,
    pub(crate) links: Arc<Links>,
    pub(crate) observer: Observer,
    pub(crate) created: Vec<(String, String)>,
    pub(crate) indeterminate: Vec<String>,
}

pub(crate) enum Place {
    Bundled(Box<Deployment>),
    /// A service that someone else runs.
    Given {
        name: String,
        target: Box<Target>,
        url: String,
    },
}

impl Subject {
    /// The service at `url`, which is only asked, never prepared.
    pub(crate) fn given(name: &str, scenario: &Scenario, url: &str) -> Result<Self> {
        let manner = generate::manner(scenario)?;
        let target = Box::new(Target::of_url(url, &manner).context("--target")?.0);
        let metrics = format!("{}/metrics", url.trim_end_matches('/'));
        let mut witnesses: Vec<Box<dyn Witness>> =
            vec![Box::new(Machine), Box::new(Processes::new().watch_generator())];
        let mut shown = Observer::new(vec![Box::new(Metrics::of_target(&metrics))])?;
        if !shown.read().is_empty() {
            witnesses.push(Box::new(Metrics::of_target(&metrics)));
        }
        let place = Place::Given { name: name.to_owned(), target, url: presentable(url).into_owned() };
        let observer = Observer::new(witnesses)?;
        Ok(Self { place, links: Arc::default(), observer, created: Vec::new(), indeterminate: Vec::new() })
    }

    pub(crate) fn variant(&self) -> &str {
        match &self.place {
            Place::Bundled(deployment) => &deployment.variant,
            Place::Given { name, .. } => name,
        }
    }

    /// The variant's name, and how it was started.
    pub(crate) fn described(&self) -> (&str, String) {
        match &self.place {
            Place::Bundled(deployment) => (&deployment.variant, deployment.settings.join(" ")),
            Place::Given { name, url, .. } => (name, url.clone()),
        }
    }

    pub(crate) fn prepare(scenario: &Scenario, lab: &Lab, mut deployment: Deployment) -> Result<Self> {
        let links = match &scenario.links {
            Some(wanted) => prepare::links(wanted, scenario.seed, &mut deployment, lab)?,
            None => Arc::default(),
        };
        Self::new(lab, deployment, links)
    }

    /// A deployment that holds `links`, which were acknowledged when they were made.
    pub fn new(lab: &Lab, deployment: Deployment, links: Arc<Links>) -> Result<Self> {
        let observer = Observer::new(deployment.witnesses(lab.postgres())?)?;
        let created =
            (0..links.len()).map(|it| (links.code(it).to_owned(), links.url(it).to_owned())).collect();
        Ok(Self {
            place: Place::Bundled(Box::new(deployment)),
            links,
            observer,
            created,
            indeterminate: Vec::new(),
        })
    }

    pub(crate) fn target(&self) -> Target {
        match &self.place {
            Place::Bundled(deployment) => deployment.target(),
            Place::Given { target, .. } => Target::clone(target),
        }
    }

    /// Enters what a drive was told of creates.
    pub(crate) fn note(&mut self, scenario: &Scenario, recording: &Recording) {
        let asked = |sequence| url_of(scenario.seed, sequence);
        let created = recording.created.iter().map(|(code, sequence)| (code.to_owned(), asked(sequence)));
        self.created.extend(created);
        self.indeterminate.extend(recording.indeterminate.iter().map(|&sequence| asked(sequence)));
    }
}
