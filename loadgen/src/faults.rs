//! Faults: what a scenario breaks, and mends, while it is measured.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use proofload_scenarios::scenario::{Fault, FaultAction, FaultTarget};

use crate::services::{Postgres, Redis, Service};

/// Something that can be broken and mended.
pub trait Breakable: Send {
    fn service(&mut self) -> &mut Service;

    fn flush(&mut self) -> Result<()> {
        bail!("only Redis can be flushed")
    }

    fn dump(&mut self) -> Result<()> {
        bail!("only Redis can be dumped")
    }

    fn restore(&mut self) -> Result<()> {
        bail!("only Redis can be restored from a dump")
    }
}

impl Breakable for Service {
    fn service(&mut self) -> &mut Service {
        self
    }
}

impl Breakable for Postgres {
    fn service(&mut self) -> &mut Service {
        Postgres::service(self)
    }
}

impl Breakable for Redis {
    fn service(&mut self) -> &mut Service {
        Redis::service(self)
    }

    fn flush(&mut self) -> Result<()> {
        Redis::flush(self)
    }

    fn dump(&mut self) -> Result<()> {
        Redis::dump(self)
    }

    fn restore(&mut self) -> Result<()> {
        Redis::restore(self)
    }
}

/// A handle that the lab and the faults share. It is held while a fault acts, so for as long as a start takes.
pub type Shared = Arc<Mutex<dyn Breakable>>;

/// All that can be broken, by what a scenario calls it; several of a kind in the order of their numbers.
#[derive(Clone, Default)]
pub struct Breakables(Vec<(FaultTarget, Shared)>);

/// Faults that wait for the measurement to begin.
pub struct Faults {
    /// In order of time.
    plan: Vec<(Fault, Vec<Shared>)>,
}

/// Faults that are happening. Dropped, it lets the one that acts end, and no other begin.
pub struct Underway {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<Vec<Event>>>,
}

/// A fault that happened.
#[derive(Debug, Clone)]
pub struct Event {
    pub fault: Fault,
    /// When it began, and when what it did was done: seconds since the measurement began.
    pub began_s: f64,
    pub ended_s: f64,
    /// Why it could not be done.
    pub failure: Option<String>,
}

impl Breakables {
    pub fn with(mut self, target: FaultTarget, handle: Shared) -> Self {
        self.0.push((target, handle));
        self
    }

    /// What a fault acts on: one of its kind, or all.
    fn meant_by(&self, fault: &Fault) -> Result<Vec<Shared>> {
        let kind: Vec<Shared> = self
            .0
            .iter()
            .filter(|(target, _)| *target == fault.target)
            .map(|(_, handle)| Arc::clone(handle))
            .collect();
        let target = fault.target;
        match fault.process {
            _ if kind.is_empty() => {
                bail!(
                    "the fault at {} s needs a {target:?}, and this run starts none (try --backends spawn)",
                    fault.at_s
                )
            }
            None => Ok(kind),
            Some(number) => match kind.get(number as usize) {
                Some(handle) => Ok(vec![Arc::clone(handle)]),
                None => bail!(
                    "the fault at {} s is for {target:?} {number}, and there are {}",
                    fault.at_s,
                    kind.len()
                ),
            },
        }
    }
}

impl Faults {
    /// # Errors
    /// If there is nothing that a fault could act on, or its target cannot suffer it.
    pub fn plan(faults: &[Fault], breakables: &Breakables) -> Result<Self> {
        let mut plan = Vec::new();
        for fault in faults {
            let of_redis =
                matches!(fault.action, FaultAction::Flush | FaultAction::Dump | FaultAction::Restore);
            if of_redis && fault.target != FaultTarget::Redis {
                bail!("the fault at {} s: only Redis can suffer a {:?}", fault.at_s, fault.action);
            }
            if !fault.at_s.is_finite() || fault.at_s < 0.0 {
                bail!(
                    "a fault at {} s: it must be a number of seconds from the measurement's beginning on",
                    fault.at_s
                );
            }
            plan.push((fault.clone(), breakables.meant_by(fault)?));
        }
        plan.sort_by(|(one, _), (other, _)| one.at_s.total_cmp(&other.at_s));
        Ok(Self { plan })
    }

    /// The measurement begins now. Each fault happens at its moment, on a thread apart from the load's; one that takes long
    /// holds up those behind it, and the events say so.
    pub fn begin(self) -> Underway {
        let (stop, stopped) = mpsc::channel();
        let began = Instant::now();
        let thread = thread::spawn(move || {
            let mut events = Vec::new();
            for (fault, handles) in self.plan {
                let due = began + Duration::from_secs_f64(fault.at_s);
                let wait = due.saturating_duration_since(Instant::now());
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                let began_s = began.elapsed().as_secs_f64();
                let result = handles.iter().try_for_each(|handle| suffer(fault.action, handle));
                let failure = result.err().map(|error| format!("{error:#}"));
                events.push(Event { fault, began_s, ended_s: began.elapsed().as_secs_f64(), failure });
            }
            events
        });
        Underway { stop: Some(stop), thread: Some(thread) }
    }
}

impl Underway {
    /// What happened, when the measurement is over. A fault that should have happened by then and did not is missing.
    pub fn end(mut self) -> Vec<Event> {
        self.stop.take();
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { target, action, process, .. } = &self.fault;
        let number = process.map(|number| format!(" {number}")).unwrap_or_default();
        let (began, took) = (self.began_s, self.ended_s - self.began_s);
        let words = format!("{action:?} of {target:?}{number}").to_lowercase();
        write!(f, "{words} at {began:.2} s, done in {took:.2} s")?;
        match &self.failure {
            Some(failure) => write!(f, ", but: {failure}"),
            None => Ok(()),
        }
    }
}

fn suffer(action: FaultAction, handle: &Shared) -> Result<()> {
    let mut victim = handle.lock().unwrap_or_else(PoisonError::into_inner);
    match action {
        FaultAction::Kill => victim.service().kill(),
        FaultAction::Start => return victim.service().start(),
        FaultAction::Restart => return victim.service().restart(),
        FaultAction::Flush => return victim.flush(),
        FaultAction::Dump => return victim.dump(),
        FaultAction::Restore => return victim.restore(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sleeper() -> Service {
        let recipe = || {
            let mut command = Command::new("sh");
            command.args(["-c", "echo ready; exec sleep 60"]);
            command
        };
        Service::new("sleeper", &[], libc::SIGTERM, recipe, |line| line == "ready")
    }

    fn fault(at_s: f64, action: FaultAction, process: Option<u32>) -> Fault {
        Fault { at_s, target: FaultTarget::App, action, process }
    }

    type Pids = Box<dyn FnMut() -> Vec<u32>>;

    fn two_apps() -> (Breakables, [Pids; 2]) {
        let mut services = [sleeper(), sleeper()];
        services.iter_mut().for_each(|service| service.start().unwrap());
        let pids = [&services[0], &services[1]].map(|it| Box::new(it.pids()) as Pids);
        let breakables = services.into_iter().fold(Breakables::default(), |breakables, service| {
            breakables.with(FaultTarget::App, Arc::new(Mutex::new(service)))
        });
        (breakables, pids)
    }

    #[test]
    fn faults_happen_in_order_of_time_to_whom_they_are_meant_for() {
        let (breakables, mut pids) = two_apps();
        let before = pids.each_mut().map(|pids| pids());
        let faults = [
            fault(0.2, FaultAction::Start, Some(1)),
            fault(0.0, FaultAction::Restart, Some(0)),
            fault(0.1, FaultAction::Kill, Some(1)),
            fault(1_000.0, FaultAction::Kill, None),
        ];
        let underway = Faults::plan(&faults, &breakables).unwrap().begin();
        let deadline = Instant::now() + Duration::from_secs(20);
        while (pids[1]() == before[1] || pids[1]().is_empty()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let events = underway.end();
        let actions: Vec<_> = events.iter().map(|event| event.fault.action).collect();
        assert_eq!(actions, [FaultAction::Restart, FaultAction::Kill, FaultAction::Start]);
        assert!(events.iter().all(|event| event.failure.is_none() && event.began_s >= event.fault.at_s));
        assert!(events[1].to_string().starts_with("kill of app 1 at "), "{}", events[1]);
        assert_ne!(pids[0](), before[0]);
        assert_eq!((pids[0]().len(), pids[1]().len()), (1, 1));
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_is_refused() {
        let (breakables, _) = two_apps();
        let refusal = |fault: Fault| Faults::plan(&[fault], &breakables).err().unwrap().to_string();
        assert!(refusal(fault(0.0, FaultAction::Flush, None)).contains("only Redis"));
        assert!(refusal(fault(0.0, FaultAction::Kill, Some(2))).contains("there are 2"));
        assert!(refusal(fault(-1.0, FaultAction::Kill, None)).contains("-1 s"));
        let keygen = Fault { target: FaultTarget::Keygen, ..fault(0.0, FaultAction::Kill, None) };
        assert!(refusal(keygen).contains("Keygen"));
    }

    #[test]
    fn what_fails_is_told() {
        let broken = Service::new("broken", &[], libc::SIGTERM, || Command::new("no-such-program"), |_| true);
        let breakables = Breakables::default().with(FaultTarget::App, Arc::new(Mutex::new(broken)));
        let underway = Faults::plan(&[fault(0.0, FaultAction::Start, None)], &breakables).unwrap().begin();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !underway.thread.as_ref().unwrap().is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(underway.end()[0].to_string().contains("no-such-program"));
    }
}
