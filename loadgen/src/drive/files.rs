//! The files that a process may open: each connection is one.

use proofload_reports::figure;

/// What is not a connection: sockets to a target's metrics, libraries, certificates, a report.
const RESERVE: u64 = 64;
/// A worker's: its runtime's, and the temporary files that it keeps.
const OF_WORKER: u64 = 8;

/// Whether so many connections can be open at once. Found out beforehand: those that cannot be made would fail in mid-run.
///
/// # Errors
/// Says what the limit is, and what would do.
pub fn suffice(connections: usize, workers: usize) -> Result<(), String> {
    limit().map_or(Ok(()), |limit| within(limit, connections as u64, workers as u64))
}

fn within(limit: u64, connections: u64, workers: u64) -> Result<(), String> {
    let room = limit.saturating_sub(RESERVE + OF_WORKER * workers);
    if connections <= room {
        return Ok(());
    }
    Err(format!(
        "{} connections are more than the {} files that this process may open (`ulimit -n`) leave room for: give at most \
         {} (--connections, or `connections` in the scenario), or raise the limit",
        figure::count(connections),
        figure::count(limit),
        figure::count(room)
    ))
}

/// The soft limit, which is raised to the hard one when the program begins; none where it cannot be read.
fn limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call only writes the struct that it is given.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    (read == 0).then_some(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_other_files() {
        assert_eq!(within(1_024, 64, 1), Ok(()));
        assert_eq!(within(1_024, 952, 1), Ok(()));
        let refused = within(1_024, 953, 1).unwrap_err();
        for word in ["953 connections", "1,024 files", "`ulimit -n`", "at most 952", "--connections"] {
            assert!(refused.contains(word), "{word}: {refused}");
        }
        assert!(within(1_024, 952, 2).is_err(), "a second worker has files of its own");
        assert_eq!(within(libc::RLIM_INFINITY, 100_000, 64), Ok(()));
    }
}
