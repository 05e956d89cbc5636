//! File descriptors: how many the process may have, and how many of them are left for connections.

use anyhow::ensure;

use crate::config::Config;

/// Of one thread's runtime: its epoll twice, what wakes it, and its end of the signals' pipe.
const OF_A_THREAD: usize = 4;
/// The listener and who is sent away, the standard streams, signals, Redis and keygen, SQLite's log beside its file, names that
/// are being resolved, what a page reads in `/proc`, and what whoever started us left open.
const OF_ALL_ELSE: usize = 32;

/// Raises the soft limit to the hard one, since the usual one of 1,024 is below our own limits; returns what holds now.
pub fn raise_file_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: all calls only read or write the struct they are given.
    let is_known = unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0
    };
    if is_known { limit.rlim_cur.try_into().unwrap_or(usize::MAX) } else { usize::MAX }
}

/// Takes no more connections than `files` leaves room for, beside all that the server itself may open: out of descriptors, it
/// could neither answer nor ask the database. Returns what to say where these are fewer than asked for.
pub fn hold_connections(config: &mut Config, files: usize) -> anyhow::Result<Option<String>> {
    let own = own(config);
    ensure!(
        files > own,
        "{files} open files are allowed, and the server itself may need {own}: raise that with `ulimit -n`"
    );
    let (asked, room) = (config.limits.connections, files - own);
    config.limits.connections = asked.min(room);
    Ok((room < asked).then(|| {
        format!(
            "{files} open files are allowed: --max-connections is {room}, not {asked}; raise that with `ulimit -n`, to {}",
            asked + own
        )
    }))
}

/// The most that the server needs beside its clients' connections.
fn own(config: &Config) -> usize {
    // One connection more, to warm with.
    let database = config.limits.database_readers + config.limits.database_writers + 1;
    database + OF_A_THREAD * config.threads + OF_ALL_ELSE
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        serve: crate::config::ServeArgs,
    }

    fn held(files: usize) -> anyhow::Result<(usize, Option<String>)> {
        let flags = ["serve", "--max-connections", "1000", "--threads", "2"];
        let mut config = Line::parse_from(flags).serve.check().unwrap();
        let said = hold_connections(&mut config, files)?;
        Ok((config.limits.connections, said))
    }

    #[test]
    fn connections_are_what_the_file_limit_leaves() {
        let (own, unsaid) = (8 + 16 + 1 + 2 * 4 + 32, None);
        assert_eq!(held(usize::MAX).unwrap(), (1_000, unsaid.clone()));
        assert_eq!(held(1_000 + own).unwrap(), (1_000, unsaid));
        let (room, said) = held(999 + own).unwrap();
        assert_eq!(room, 999);
        assert!(said.unwrap().ends_with("raise that with `ulimit -n`, to 1065"));
        assert_eq!(held(own + 1).unwrap().0, 1);
        let error = held(own).unwrap_err().to_string();
        assert!(error.starts_with("65 open files are allowed") && error.ends_with("`ulimit -n`"), "{error}");
    }
}
