//! A trace: when requests once came, from a file of times or from an access log.

use std::fs;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use crate::access_log::{LogError, Replay};

/// Why a file holds no times.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TraceError {
    #[error("{file} cannot be read: {reason}")]
    Unreadable { file: String, reason: String },
    #[error("{file}, line {line}: `{found}` is no time; write seconds since the start, such as 0.25")]
    NoTime { file: String, line: usize, found: String },
    #[error("{file}, line {line}: {found} s lies before the line above; sort the times")]
    Unsorted { file: String, line: usize, found: String },
    #[error("{file} holds no times")]
    Empty { file: String },
    #[error("{file} holds no times, one a line in seconds, and {error}")]
    Log { file: String, error: LogError },
}

/// Longest offset from the start, in seconds: a year.
const LONGEST_S: f64 = 366.0 * 86_400.0;

/// The moments in the file, in order. It has a time in seconds on each line, with `#` before what is a remark; or it is an
/// access log, whose visits give the times, to the second.
///
/// # Errors
/// Names the line that holds no time.
pub fn read(path: &Path) -> Result<Vec<Duration>, TraceError> {
    let file = path.display().to_string();
    match fs::read(path) {
        Ok(bytes) => parse(&bytes, &file),
        Err(error) => Err(TraceError::Unreadable { file, reason: error.to_string() }),
    }
}

fn parse(bytes: &[u8], file: &str) -> Result<Vec<Duration>, TraceError> {
    let file = || file.to_owned();
    let text = String::from_utf8_lossy(bytes);
    let lines = || {
        let told = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        told.enumerate().filter(|(_, line)| !line.is_empty())
    };
    let Some((_, first)) = lines().next() else { return Err(TraceError::Empty { file: file() }) };
    // The first word of an access log is an address or a name.
    if first.parse::<f64>().is_err() && first.contains(char::is_whitespace) {
        let log = Replay::parse(bytes).map_err(|error| TraceError::Log { file: file(), error })?;
        return Ok(log.visits.iter().map(|visit| visit.at).collect());
    }
    let mut moments: Vec<Duration> = Vec::new();
    for (index, found) in lines() {
        let line = index + 1;
        let seconds = found.parse().ok().filter(|seconds| (0.0..=LONGEST_S).contains(seconds));
        let moment = seconds.map(Duration::from_secs_f64).ok_or_else(|| TraceError::NoTime {
            file: file(),
            line,
            found: found.to_owned(),
        })?;
        if moments.last().is_some_and(|last| moment < *last) {
            return Err(TraceError::Unsorted { file: file(), line, found: found.to_owned() });
        }
        moments.push(moment);
    }
    Ok(moments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Duration>, String> {
        parse(text.as_bytes(), "times.txt").map_err(|error| error.to_string())
    }

    #[test]
    fn times_are_read_in_order() {
        let expected = [0, 250, 250, 1_500].map(Duration::from_millis);
        assert_eq!(of("# of Monday\n0\n0.25\n\n0.25 # again\n1.5\n").unwrap(), expected);
    }

    #[test]
    fn an_access_log_tells_the_times_of_its_visits() {
        let line = |second| format!("h - - [10/Oct/2000:13:55:{second} +0000] \"GET /a HTTP/1.1\" 200 5\n");
        let expected = [0, 1, 3].map(Duration::from_secs);
        assert_eq!(of(&[36, 37, 39].map(line).concat()).unwrap(), expected);
    }

    #[test]
    fn what_is_no_time_is_named() {
        for (text, said) in [
            ("", "times.txt holds no times"),
            (
                "0\nsoon\n",
                "times.txt, line 2: `soon` is no time; write seconds since the start, such as 0.25",
            ),
            ("-1\n", "line 1: `-1` is no time"),
            ("NaN\n", "line 1: `NaN` is no time"),
            ("1e99\n", "line 1: `1e99` is no time"),
            ("2\n1\n", "line 2: 1 s lies before the line above; sort the times"),
            ("some words\n", "is no access log"),
        ] {
            assert!(of(text).is_err_and(|error| error.contains(said)), "{text}: {:?}", of(text));
        }
    }
}
