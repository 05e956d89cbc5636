//! A subject: one variant under load, with those who watch it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use proofload_scenarios::Scenario;
use proofload_scenarios::workload::url_of;

use crate::connect::presentable;
use crate::deployment::Deployment;
use crate::drive::{Recording, Target};
use crate::exchange::Links;
use crate::lab::Lab;
use crate::ledger::Books;
use crate::observe::Observer;
use crate::spool::Spools;
use crate::witness::{Machine, Metrics, Processes, Witness};
use crate::{generate, prepare};

/// A variant under load: where it runs, what it holds, who watches it, what it acknowledged.
pub struct Subject {
    pub(crate) place: Place,
    pub(crate) links: Arc<Links>,
    pub(crate) observer: Observer,
    /// What the drives were told of creates, by their numbers.
    created: Spools,
    deleted: Spools,
    indeterminate: Spools,
    /// Makes the URLs of creates from their numbers.
    seed: u64,
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
        let (mut target, path) = Target::of_url(url, &manner).context("--target")?;
        ensure!(
            !path.contains('?'),
            "--target: {} has a query, which no request could keep; leave it out, or put it into the scenario's paths",
            presentable(url)
        );
        path.trim_end_matches('/').clone_into(&mut target.path);
        let target = Box::new(target);
        let metrics = || Metrics::of_target(url, &manner).context("--target");
        let mut witnesses: Vec<Box<dyn Witness>> =
            vec![Box::new(Machine), Box::new(Processes::new().watch_generator())];
        let mut shown = Observer::new(vec![Box::new(metrics()?)])?;
        if !shown.read().is_empty() {
            witnesses.push(Box::new(metrics()?));
        }
        let place = Place::Given { name: name.to_owned(), target, url: presentable(url).into_owned() };
        let observer = Observer::new(witnesses)?;
        Ok(Self::of(place, Arc::default(), observer))
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
        Ok(Self::of(Place::Bundled(Box::new(deployment)), links, observer))
    }

    fn of(place: Place, links: Arc<Links>, observer: Observer) -> Self {
        let [created, deleted, indeterminate] = [const { Spools::none() }; 3];
        Self { place, links, observer, created, deleted, indeterminate, seed: 0 }
    }

    pub(crate) fn target(&self) -> Target {
        match &self.place {
            Place::Bundled(deployment) => deployment.target(),
            Place::Given { target, .. } => Target::clone(target),
        }
    }

    /// Enters what a drive was told of creates.
    pub(crate) fn note(&mut self, scenario: &Scenario, recording: &Recording) {
        self.seed = scenario.seed;
        self.created.extend(&recording.created);
        self.deleted.extend(&recording.deleted);
        self.indeterminate.extend(&recording.indeterminate);
    }

    /// Books in which all that was acknowledged is entered: the links, and what the drives were told.
    pub(crate) fn books(&self) -> Books {
        let links = &self.links;
        let mut books = Books::for_about(links.len() + self.created.len());
        (0..links.len()).for_each(|link| books.acknowledge(links.code(link), links.url(link)));
        self.created.iter().for_each(|(number, code)| books.acknowledge(&code, &url_of(self.seed, number)));
        self.deleted.iter().for_each(|(_, code)| books.forget(&code));
        self.indeterminate.iter().for_each(|(number, _)| books.doubt(&url_of(self.seed, number)));
        books
    }
}
