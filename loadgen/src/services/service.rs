//! A service: a program that a run starts, ends, breaks and starts again.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result};

use super::guard::{Child, children, kill_all};

/// How long a service may take to end in good order.
const END_WITHIN: Duration = Duration::from_secs(30);

type Recipe = Box<dyn Fn() -> Command + Send>;
type Ready = Box<dyn Fn(&str) -> bool + Send>;

/// A service and how it is started. It ends with its owner.
pub struct Service {
    name: &'static str,
    recipe: Recipe,
    ready: Ready,
    cores: Vec<usize>,
    /// The signal that asks it to end.
    farewell: i32,
    child: Option<Child>,
    /// 0 while it is down. Shared with whoever watches its processes over restarts.
    pid: Arc<AtomicU32>,
}

impl Service {
    /// A service that is not started yet. It is up when `ready` recognises a line that it prints.
    pub fn new(
        name: &'static str,
        cores: &[usize],
        farewell: i32,
        recipe: impl Fn() -> Command + Send + 'static,
        ready: impl Fn(&str) -> bool + Send + 'static,
    ) -> Self {
        Self {
            name,
            recipe: Box::new(recipe),
            ready: Box::new(ready),
            cores: cores.to_vec(),
            farewell,
            child: None,
            pid: Arc::default(),
        }
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// If it does not come up; its last words are in the message.
    pub fn start(&mut self) -> Result<()> {
        if self.child.as_mut().is_some_and(Child::alive) {
            return Ok(());
        }
        let spawned = Child::spawn((self.recipe)(), &self.cores, |line| (self.ready)(line).then_some(()));
        let (child, ()) = spawned.with_context(|| format!("{} did not start", self.name))?;
        self.pid.store(child.pid(), Relaxed);
        self.child = Some(child);
        Ok(())
    }

    /// Ends it and its children at once, as a crash of the machine would. Nothing starts it again.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Children that left the process group would live on and hold the data directory.
            let children = children(child.pid());
            child.kill();
            kill_all(&children);
        }
        self.pid.store(0, Relaxed);
    }

    /// Asks it to end and waits until it has; one that does not is killed.
    ///
    /// # Errors
    /// If it had to be killed.
    pub fn stop(&mut self) -> Result<()> {
        let ended = self.child.as_mut().map(|child| child.terminate(self.farewell, END_WITHIN)).transpose();
        self.kill();
        ended.map(drop).context("it did not end when asked to, and was killed")
    }

    /// Ends it in good order and starts it again.
    ///
    /// # Errors
    /// If it did not end, or does not come up.
    pub fn restart(&mut self) -> Result<()> {
        let ended = self.stop();
        self.start()?;
        ended
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its process, if it runs; asked again at each call, for whoever counts CPU time.
    pub fn pids(&self) -> impl FnMut() -> Vec<u32> + Send + 'static + use<> {
        let pid = Arc::clone(&self.pid);
        move || Some(pid.load(Relaxed)).filter(|&pid| pid != 0).into_iter().collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop());
    }
}
