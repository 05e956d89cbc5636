//! Cores: which the server has and which the generator, and how much of its core a thread got.

use std::fmt;
use std::io;
use std::time::Duration;

/// A split of the machine's cores. With one core only, nothing is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores {
    pub server: Vec<usize>,
    pub generator: Vec<usize>,
}

impl Cores {
    /// The generator gets the last core of those this process may use, half of them on large machines.
    pub fn split() -> Self {
        Self::split_of(&allowed())
    }

    fn split_of(cores: &[usize]) -> Self {
        if cores.len() < 2 {
            return Self { server: Vec::new(), generator: Vec::new() };
        }
        let generators = if cores.len() < 8 { 1 } else { cores.len() / 4 };
        let (server, generator) = cores.split_at(cores.len() - generators);
        Self { server: server.to_vec(), generator: generator.to_vec() }
    }
}

/// Binds the calling thread to `core`. An error leaves the thread where it was.
pub fn pin(core: usize) -> io::Result<()> {
    // SAFETY: the set is a plain bit mask on this stack, and the call reads no more than its size.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if core >= libc::CPU_SETSIZE as usize {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no core {core}")));
        }
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The cores that this thread may run on.
pub fn allowed() -> Vec<usize> {
    // SAFETY: as in `pin`; the call writes no more than the size that it is given.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return Vec::new();
        }
        (0..libc::CPU_SETSIZE as usize).filter(|&core| libc::CPU_ISSET(core, &set)).collect()
    }
}

/// CPU time that the calling thread has used.
pub fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call only writes the struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Time that the calling thread was ready to run but another thread had its core.
/// Zero where the kernel does not say.
pub fn thread_wait() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let wait = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    Duration::from_nanos(wait.unwrap_or(0))
}

/// Time that the hypervisor took from all of this machine's cores since boot. Zero where unknown.
pub fn stolen() -> Duration {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: u64 = text
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().nth(8))
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    // SAFETY: no memory is involved.
    let hertz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    Duration::from_micros(ticks * 1_000_000 / hertz)
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.server.is_empty() {
            return write!(f, "not pinned: one core only, server and generator share it");
        }
        write!(f, "server on core {}, generator on core {}", list(&self.server), list(&self.generator))
    }
}

fn list(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_and_generator_never_share_a_core_where_there_are_two() {
        for count in 2..65 {
            let cores: Vec<usize> = (0..count).collect();
            let split = Cores::split_of(&cores);
            assert!(!split.generator.is_empty() && !split.server.is_empty());
            assert_eq!([split.server, split.generator].concat(), cores);
        }
    }

    #[test]
    fn one_core_is_shared_and_said() {
        assert!(Cores::split_of(&[0]).to_string().contains("not pinned"));
    }
}
