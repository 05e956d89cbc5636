//! Reads an access log in the common or combined format as links and the visits to them.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// What an access log asks for. Every line of the file is either a visit or skipped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replay {
    /// The distinct request targets, query included, in the order of their first appearance.
    pub links: Vec<String>,
    /// In the file's order, which is the order in which a server wrote them down.
    pub visits: Vec<Visit>,
    pub skipped: Vec<Skipped>,
    /// Visits whose time lay before their predecessor's and was moved up to it. Servers write a line
    /// when the answer is done, so that slow requests appear late.
    pub clamped: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Since the first visit; never before that of the visit before.
    pub at: Duration,
    /// Index into the links.
    pub link: u32,
    /// Line in the file, from 1.
    pub line: u32,
}

/// A line that is no visit, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub line: u32,
    pub reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    Empty,
    /// Neither the common nor the combined format.
    Format,
    /// The time is none, such as the 31st of February.
    Time,
    /// The client sent no request, or none that the server could read.
    NoRequest,
    /// Only GET and HEAD visit: a redirect answers both alike. Other methods ask for something else.
    Method(String),
    /// `http://host/path`, as a proxy is asked: what it names lies on a host that the log does not tell.
    AbsoluteTarget,
    /// No path: it does not begin with a slash.
    NoPath,
    /// A space, a control character or a byte that is no ASCII, none of which a path can hold.
    NotInAPath(u8),
    /// Longer than a link's target may be.
    TooLong(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LogError {
    #[error("is no access log in the common or combined format; no line of it could be read as one")]
    NoLog,
    #[error("holds no visit: none of its {0} lines is a GET or HEAD of a path")]
    NoVisit(u32),
    #[error("has more than {MOST_LINES} lines; split it")]
    TooManyLines,
}

/// More would not fit the numbers of links and lines.
const MOST_LINES: u32 = u32::MAX - 1;
/// A server that takes URLs of 2,048 bytes takes this and a base before it.
const LONGEST_TARGET: usize = 1_900;

impl Replay {
    /// Reads a whole file, whatever bytes it holds.
    ///
    /// # Errors
    /// Where no line is one of an access log, or no line is a visit.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogError> {
        let mut reader = Reader::default();
        for line in lines(bytes) {
            reader.read(line)?;
        }
        reader.finish()
    }

    /// Lines of the file.
    pub fn lines(&self) -> usize {
        self.visits.len() + self.skipped.len()
    }
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    replay: Replay,
    index: HashMap<String, u32>,
    line: u32,
    first: Option<i64>,
    latest: i64,
}

impl Reader {
    fn read(&mut self, bytes: &[u8]) -> Result<(), LogError> {
        if self.line == MOST_LINES {
            return Err(LogError::TooManyLines);
        }
        self.line += 1;
        match visit(bytes) {
            Ok((time, target)) => self.visit(time, target),
            Err(reason) => self.replay.skipped.push(Skipped { line: self.line, reason }),
        }
        Ok(())
    }

    fn visit(&mut self, time: i64, target: String) {
        let first = *self.first.get_or_insert_with(|| {
            self.latest = time;
            time
        });
        if time < self.latest {
            self.replay.clamped += 1;
        }
        self.latest = self.latest.max(time);
        let at = Duration::from_secs((self.latest - first) as u64);
        let link = self.link(target);
        self.replay.visits.push(Visit { at, link, line: self.line });
    }

    fn link(&mut self, target: String) -> u32 {
        if let Some(&link) = self.index.get(&target) {
            return link;
        }
        let link = self.replay.links.len() as u32;
        self.replay.links.push(target.clone());
        self.index.insert(target, link);
        link
    }

    fn finish(self) -> Result<Replay, LogError> {
        if !self.replay.visits.is_empty() {
            return Ok(self.replay);
        }
        let foreign =
            |skipped: &Skipped| matches!(skipped.reason, Reason::Empty | Reason::Format | Reason::Time);
        match self.replay.skipped.iter().all(foreign) {
            true => Err(LogError::NoLog),
            false => Err(LogError::NoVisit(self.line)),
        }
    }
}

/// Lines as an editor counts them: a newline ends one, and none follows the last.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ended = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let split = ended.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    split.take(if bytes.is_empty() { 0 } else { usize::MAX })
}

/// Seconds since 1970 and the target of `host ident user [time] "request" status bytes …`.
///
/// What follows the count of bytes is not looked at: a user agent that was cut off takes nothing
/// from when and what was asked.
fn visit(line: &[u8]) -> Result<(i64, String), Reason> {
    if line.trim_ascii().is_empty() {
        return Err(Reason::Empty);
    }
    let (who, rest) = cut(line, b" [").ok_or(Reason::Format)?;
    if who.split(|&byte| byte == b' ').filter(|field| !field.is_empty()).count() < 3 {
        return Err(Reason::Format);
    }
    let (time, rest) = cut(rest, b"] \"").ok_or(Reason::Format)?;
    let request = request(rest).ok_or(Reason::Format)?;
    let seconds = seconds(time).ok_or(Reason::Time)?;
    Ok((seconds, target(request)?))
}

/// What stands before and after the first `separator`.
fn cut<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

/// The request ends at the quote that a status and a size follow: clients may put quotes into their
/// requests, and not every server escapes them.
fn request(rest: &[u8]) -> Option<&[u8]> {
    let end =
        (0..rest.len()).find(|&at| rest[at..].starts_with(b"\" ") && has_status_and_size(&rest[at + 2..]))?;
    Some(&rest[..end])
}

fn has_status_and_size(rest: &[u8]) -> bool {
    let mut fields = rest.split(|&byte| byte == b' ');
    let status = fields.next().unwrap_or_default();
    let size = fields.next().unwrap_or_default();
    let digits = |field: &[u8]| !field.is_empty() && field.iter().all(u8::is_ascii_digit);
    status.len() == 3 && digits(status) && (size == b"-" || digits(size))
}

/// The target of `METHOD target HTTP/x`, or of `METHOD target` as in HTTP/0.9.
fn target(request: &[u8]) -> Result<String, Reason> {
    let method_end = request.iter().position(|&byte| byte == b' ').ok_or(Reason::NoRequest)?;
    let (method, rest) = (&request[..method_end], request[method_end..].trim_ascii());
    if method.is_empty() || !method.iter().all(u8::is_ascii_alphabetic) {
        return Err(Reason::NoRequest);
    }
    if method != b"GET" && method != b"HEAD" {
        return Err(Reason::Method(String::from_utf8_lossy(&method[..method.len().min(24)]).into_owned()));
    }
    let target = match rest.iter().rposition(|&byte| byte == b' ') {
        Some(space) if rest[space..].starts_with(b" HTTP/") => rest[..space].trim_ascii(),
        _ => rest,
    };
    path(target)
}

fn path(target: &[u8]) -> Result<String, Reason> {
    if target.is_empty() || target == b"-" || target.starts_with(b"HTTP/") {
        return Err(Reason::NoRequest);
    }
    let lower = target[..target.len().min(8)].to_ascii_lowercase();
    if lower.starts_with(b"http://") || lower.starts_with(b"https://") {
        return Err(Reason::AbsoluteTarget);
    }
    if target[0] != b'/' {
        return Err(Reason::NoPath);
    }
    let target = unescaped(target);
    if let Some(&byte) = target.iter().find(|byte| !byte.is_ascii_graphic()) {
        return Err(Reason::NotInAPath(byte));
    }
    if target.len() > LONGEST_TARGET {
        return Err(Reason::TooLong(target.len()));
    }
    String::from_utf8(target).map_err(|_| Reason::NoPath)
}

/// Servers write `\"` for a quote, `\\` for a backslash and `\xHH` for what cannot be printed.
fn unescaped(target: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(target.len());
    let mut rest = target;
    while let [byte, tail @ ..] = rest {
        let (byte, tail) = match (byte, tail) {
            (b'\\', [escaped @ (b'"' | b'\\'), tail @ ..]) => (*escaped, tail),
            (b'\\', [b'x', high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (16 * hex(*high) + hex(*low), tail)
            }
            _ => (*byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    bytes
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Seconds since 1970 of `17/May/2015:10:05:03 +0000`.
fn seconds(time: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let separators = [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')];
    if time.len() != 26 || separators.iter().any(|&(at, byte)| time[at] != byte) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = &time[from..to];
        let value = || digits.iter().fold(0, |value, digit| 10 * value + i64::from(digit - b'0'));
        digits.iter().all(u8::is_ascii_digit).then(value)
    };
    let month = MONTHS.iter().position(|name| *name == &time[3..6])? as i64 + 1;
    let (day, year) = (number(0, 2)?, number(7, 11)?);
    let (hour, minute, second) = (number(12, 14)?, number(15, 17)?, number(18, 20)?);
    let zone = 60 * number(22, 24)? + number(24, 26)?;
    let sign = match time[21] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    // A leap second is written as 60.
    let whole = (1..=days_of(month, year)).contains(&day) && hour < 24 && minute < 60 && second < 61;
    whole.then(|| ((days(year, month, day) * 24 + hour) * 60 + minute - sign * zone) * 60 + second)
}

fn days_of(month: i64, year: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 in the Gregorian calendar, counted in years that begin in March, so that the leap
/// day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "an empty line"),
            Self::Format => write!(f, "not in the common or combined format"),
            Self::Time => write!(f, "its time is none"),
            Self::NoRequest => write!(f, "no request that could be read"),
            Self::Method(method) => write!(f, "method {method}, which is no visit"),
            Self::AbsoluteTarget => write!(f, "its target names a host, as a proxy is asked"),
            Self::NoPath => write!(f, "its target is no path"),
            Self::NotInAPath(byte) => write!(f, "its target holds byte 0x{byte:02x}, which no path can"),
            Self::TooLong(length) => {
                write!(f, "its target is {length} bytes long; {LONGEST_TARGET} are taken")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(time: &str, request: &str) -> String {
        format!(
            "203.0.113.9 - - [{time}] \"{request}\" 200 512 \"https://example.com/\" \"A browser (x; y)\"\n"
        )
    }

    fn at(second: u32, request: &str) -> String {
        line(&format!("01/Mar/2024:12:00:{second:02} +0000"), request)
    }

    fn reason(request: &str) -> Reason {
        let log = at(0, "GET /known HTTP/1.1") + &at(1, request);
        Replay::parse(log.as_bytes()).unwrap().skipped.remove(0).reason
    }

    #[test]
    fn order_popularity_and_time_are_the_logs() {
        let log = at(5, "GET /b?q=1 HTTP/1.1")
            + &at(9, "GET /a HTTP/1.0")
            + &at(7, "HEAD /b?q=1 HTTP/2.0")
            + &at(11, "GET /b");
        let replay = Replay::parse(log.as_bytes()).unwrap();
        assert_eq!(replay.links, ["/b?q=1", "/a", "/b"]);
        let visits: Vec<_> =
            replay.visits.iter().map(|visit| (visit.at.as_secs(), visit.link, visit.line)).collect();
        assert_eq!(visits, [(0, 0, 1), (4, 1, 2), (4, 0, 3), (6, 2, 4)]);
        assert_eq!(replay.clamped, 1);
        assert_eq!(replay.skipped, []);
    }

    #[test]
    fn the_common_format_and_odd_endings_are_read() {
        let lines = [
            "h i u [01/Mar/2024:12:00:00 +0000] \"GET /1 HTTP/1.1\" 304 -",
            "h - \"\" [01/Mar/2024:12:00:00 +0000] \"GET /2 HTTP/1.1\" 200 5\r",
            "::1 - first last [01/Mar/2024:12:00:00 +0000] \"GET /3 HTTP/1.1\" 200 5 \"-\" \"cut off",
            "h - - [01/Mar/2024:12:00:00 +0000] \"GET /4?a=\"b\" HTTP/1.1\" 200 5 \"-\" \"\\\"\"",
            "h - - [01/Mar/2024:12:00:00 +0000] \"GET /5?a=\\\"\\x41\\\\ HTTP/1.1\" 200 5 0.003 extra",
        ];
        let replay = Replay::parse(lines.join("\n").as_bytes()).unwrap();
        assert_eq!(replay.skipped, []);
        assert_eq!(replay.links, ["/1", "/2", "/3", "/4?a=\"b\"", "/5?a=\"A\\"]);
    }

    #[test]
    fn what_is_no_visit_says_why() {
        let long = format!("GET /{} HTTP/1.1", "x".repeat(2_000));
        let cases = [
            ("-", Reason::NoRequest),
            ("", Reason::NoRequest),
            ("\\x16\\x03\\x01 x", Reason::NoRequest),
            ("GET HTTP/1.1", Reason::NoRequest),
            ("POST /form HTTP/1.1", Reason::Method("POST".to_owned())),
            ("OPTIONS * HTTP/1.0", Reason::Method("OPTIONS".to_owned())),
            ("GET http://elsewhere.example/x HTTP/1.1", Reason::AbsoluteTarget),
            ("GET HTTPS://elsewhere.example/x HTTP/1.1", Reason::AbsoluteTarget),
            ("GET * HTTP/1.1", Reason::NoPath),
            ("GET index.html HTTP/1.1", Reason::NoPath),
            ("GET /a b HTTP/1.1", Reason::NotInAPath(b' ')),
            ("GET /a\\x00 HTTP/1.1", Reason::NotInAPath(0)),
            ("GET /größe HTTP/1.1", Reason::NotInAPath(0xc3)),
            (&long, Reason::TooLong(2_001)),
        ];
        for (request, expected) in cases {
            assert_eq!(reason(request), expected, "{request}");
        }
    }

    #[test]
    fn lines_that_are_none_of_a_log_are_counted() {
        let good = at(0, "GET /a HTTP/1.1");
        let foreign = ["", "   ", "{\"json\": true}", "h - - [99/Foo/2024:1] \"GET / HTTP/1.1\" 200 1"];
        let odd = line("31/Feb/2024:12:00:00 +0000", "GET /x HTTP/1.1")
            + &line("01/Mar/2024:24:00:00 +0000", "GET /x HTTP/1.1");
        let log = foreign.join("\n") + "\n" + &good + &odd;
        let replay = Replay::parse(log.as_bytes()).unwrap();
        let reasons: Vec<_> =
            replay.skipped.iter().map(|skipped| (skipped.line, skipped.reason.clone())).collect();
        use Reason::{Empty, Format, Time};
        assert_eq!(reasons, [(1, Empty), (2, Empty), (3, Format), (4, Time), (6, Time), (7, Time)]);
        assert_eq!(replay.lines(), 7);
    }

    #[test]
    fn a_file_that_is_no_log_is_an_error() {
        for bytes in
            [&b""[..], b"\n\n", b"\x00\xff\xfe", b"name,value\n1,2\n", b"\" 200 1", b"[ ] \"\" 200 -"]
        {
            assert_eq!(Replay::parse(bytes), Err(LogError::NoLog), "{bytes:?}");
        }
        assert_eq!(Replay::parse(at(0, "POST / HTTP/1.1").as_bytes()), Err(LogError::NoVisit(1)));
    }

    #[test]
    fn times_are_seconds_since_1970() {
        let cases = [
            ("01/Jan/1970:00:00:00 +0000", Some(0)),
            ("29/Feb/2000:23:59:60 +0000", Some(951_868_800)),
            ("17/May/2015:10:05:03 +0200", Some(1_431_849_903)),
            ("17/May/2015:10:05:03 -0530", Some(1_431_876_903)),
            ("29/Feb/1900:00:00:00 +0000", None),
            ("17/may/2015:10:05:03 +0000", None),
            ("17/May/2015:10:05:03 0000", None),
        ];
        for (time, expected) in cases {
            assert_eq!(seconds(time.as_bytes()), expected, "{time}");
        }
    }

    /// Every prefix and every replaced byte of a line: whatever is cut or garbled is accounted for.
    #[test]
    fn no_bytes_make_it_panic() {
        let good = at(0, "GET /a HTTP/1.1");
        let odd = at(1, "GET /a\\x4 \\ HTTP/1.1");
        for end in 0..odd.len() {
            for byte in [0u8, b'"', b' ', b'[', b'\\', b'\n', 0xff] {
                let mut bytes = odd.clone().into_bytes();
                bytes[end] = byte;
                let log = [good.as_bytes(), &bytes].concat();
                let expected = log.iter().filter(|&&byte| byte == b'\n').count();
                let ends = usize::from(!log.ends_with(b"\n"));
                assert_eq!(Replay::parse(&log).unwrap().lines(), expected + ends);
            }
            assert!(Replay::parse(&[good.as_bytes(), &odd.as_bytes()[..end]].concat()).is_ok());
        }
    }
}
