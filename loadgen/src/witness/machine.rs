//! The kernel's account of the whole machine: time its cores were busy, and time stolen from them.

use anyhow::{Context, Result};
use proofload_reports::run;

use super::{Counters, Reading, Witness};

/// Counts `machine.busy_us` and `machine.steal_us`, summed over the cores, 10 ms wide.
#[derive(Debug, Default)]
pub struct Machine;

impl Witness for Machine {
    fn name(&self) -> &str {
        "machine"
    }

    fn about(&self) -> run::Witness {
        run::Witness { standing: run::Standing::Independent, source: "the kernel's /proc/stat".to_owned() }
    }

    fn read(&mut self) -> Reading<'_> {
        Box::pin(async {
            let text = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
            let (busy, steal) = busy_and_steal(&text)?;
            Ok(Counters::from([
                ("machine.busy_us".to_owned(), ticks_to_us(busy)),
                ("machine.steal_us".to_owned(), ticks_to_us(steal)),
            ]))
        })
    }
}

/// Clock ticks, the unit of times in `/proc`, in microseconds.
pub(super) fn ticks_to_us(ticks: u64) -> u64 {
    // SAFETY: sysconf takes a constant and touches no memory of ours.
    let hertz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    ticks * 1_000_000 / hertz
}

/// Ticks from the line `cpu user nice system idle iowait irq softirq steal …`.
fn busy_and_steal(text: &str) -> Result<(u64, u64)> {
    let ticks: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    match ticks[..] {
        [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] => {
            Ok((user + nice + system + irq + softirq, steal))
        }
        _ => anyhow::bail!("/proc/stat begins with a line that is not understood"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_busy() {
        let text = "cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 9 9 9 9 9 9 9 9 9 9\n";
        assert_eq!(busy_and_steal(text).unwrap(), (31, 32));
        assert!(busy_and_steal("intr 1 2 3").is_err());
    }

    #[tokio::test]
    async fn reads_this_machine() {
        assert!(Machine.read().await.unwrap()["machine.busy_us"] > 0);
    }
}
