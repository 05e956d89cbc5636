//! The machine that the numbers belong to.

use std::fs;
use std::thread::available_parallelism;

use proofload_reports::run::Environment;

use crate::cores::Cores;

/// Reads what the kernel tells of this machine; unknown fields stay empty.
pub fn describe(cores: &Cores, backends: Vec<String>) -> Environment {
    Environment {
        tool_version: version(),
        host_cores: available_parallelism().map_or(1, |n| n.get() as u32),
        cpu_model: field("/proc/cpuinfo", "model name").unwrap_or_default(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        memory_mb: field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .map_or(0, |kilobytes| kilobytes / 1024),
        pinning: cores.to_string(),
        backends,
    }
}

/// `0.1.0 (91cb4116aa9b)`: with the commit that was built, where it is known.
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match env!("PROOFLOAD_COMMIT") {
        "" => version.to_owned(),
        commit => format!("{version} ({commit})"),
    }
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}
