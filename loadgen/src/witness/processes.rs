//! The kernel's account of CPU time per process.

use std::collections::BTreeMap;
use std::fs;

use proofload_reports::run;

use super::machine::ticks_to_us;
use super::{Reading, Witness};
use crate::services::guard::{children, cpu_time};

type Ids = Box<dyn FnMut() -> Vec<u32> + Send>;

/// Counts `cpu.<name>_us`: CPU time in user and kernel mode, all threads, to the microsecond.
#[derive(Default)]
pub struct Processes {
    watched: Vec<Watched>,
}

struct Watched {
    name: String,
    with_children: bool,
    ids: Ids,
    /// In microseconds, by process.
    times: BTreeMap<u32, u64>,
}

impl Processes {
    pub fn new() -> Self {
        Self::default()
    }

    /// Watches the processes that `ids` names, and their children. It is asked at each reading, since a
    /// restart changes them; the time of those that are gone stays in the sum.
    pub fn watch(mut self, name: &str, ids: impl FnMut() -> Vec<u32> + Send + 'static) -> Self {
        self.watched.push(Watched::new(name, true, Box::new(ids)));
        self
    }

    /// Watches this process as `generator`, without its children: those are what it tests.
    pub fn watch_generator(mut self) -> Self {
        self.watched.push(Watched::new("generator", false, Box::new(|| vec![std::process::id()])));
        self
    }
}

impl Witness for Processes {
    fn name(&self) -> &str {
        "cpu"
    }

    fn about(&self) -> run::Witness {
        run::Witness {
            standing: run::Standing::Independent,
            source: "the kernel's CPU clocks of the processes".to_owned(),
        }
    }

    fn read(&mut self) -> Reading<'_> {
        Box::pin(async {
            Ok(self.watched.iter_mut().map(|watched| (watched.counter(), watched.read_us())).collect())
        })
    }
}

impl Watched {
    fn new(name: &str, with_children: bool, ids: Ids) -> Self {
        Self { name: name.to_owned(), with_children, ids, times: BTreeMap::new() }
    }

    fn counter(&self) -> String {
        format!("cpu.{}_us", self.name)
    }

    fn read_us(&mut self) -> u64 {
        for id in (self.ids)() {
            let Ok(own) = cpu_time(id) else { continue };
            let mut us = own.as_micros() as u64;
            if self.with_children {
                us += children_us(id);
            }
            // A child that ends moves from a fine clock to a coarse one, which lags: a sum that falls is no new process.
            let known = self.times.entry(id).or_default();
            *known = us.max(*known);
        }
        self.times.values().sum()
    }
}

/// CPU time of a process's children: of the living from their clocks, of the dead and reaped from what
/// the kernel keeps with their parent. A database's server processes come and go as its children.
fn children_us(parent: u32) -> u64 {
    let living: u64 =
        children(parent).into_iter().filter_map(|id| Some(cpu_time(id).ok()?.as_micros() as u64)).sum();
    let stat = fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
    living + ticks_to_us(reaped_ticks(&stat))
}

/// `cutime + cstime` of a `/proc/PID/stat`: fields 16 and 17, where field 2 may hold blanks.
fn reaped_ticks(stat: &str) -> u64 {
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    after_name.split_whitespace().skip(13).take(2).filter_map(|word| word.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::services::Child;

    #[test]
    fn reaped_time_is_found_behind_an_odd_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 100 200 30 12 20 0 1 0 5 6 7";
        assert_eq!(reaped_ticks(stat), 42);
    }

    #[tokio::test]
    async fn counts_a_process_its_children_and_its_past() {
        let mut command = Command::new("sh");
        command.args(["-c", "(i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done); echo ready; sleep 60"]);
        let (child, ()) = Child::spawn(command, &[], |line| (line == "ready").then_some(())).unwrap();
        let id = child.pid();
        let mut processes = Processes::new().watch("server", move || vec![id]).watch_generator();
        let first = processes.read().await.unwrap();
        assert!(first["cpu.server_us"] > 1_000, "the time of the reaped subshell counts: {first:?}");
        assert!(first["cpu.generator_us"] > 0);
        drop(child);
        let last = processes.read().await.unwrap();
        assert!(last["cpu.server_us"] >= first["cpu.server_us"], "what is gone still counts");
    }
}
