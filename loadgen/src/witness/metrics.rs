//! Counters that a target publishes itself, in Prometheus's text format.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use proofload_reports::run::{self, begun_anew};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Continued, Counters, Reading, Witness};
use crate::connect::{Manner, Target, TargetError};

/// How long one reading may take.
const WITHIN: Duration = Duration::from_secs(5);
/// The longest text that is read.
const LONGEST: usize = 8 << 20;
/// What the reference server's own metrics begin with, and keygen's.
const OURS: &str = "shortener_";
const KEYGENS: &str = "keygen_";

/// The `/metrics` of one process, or of several that serve together: their counts are summed.
///
/// The reference server's `shortener_lookups_total{level="process"}` becomes `server.lookups_process`;
/// any other counter keeps its name: `target.http_requests_total{code="200"}`. Seconds become whole
/// microseconds: `server.cpu_us`. Gauges are no counts and left out; what has no type is a counter if its name says so.
///
/// A counter that a page shows no more is missing from all readings to come: what it counted meanwhile is nobody's to know. Only a
/// process that began anew, as the fall of another of its counters tells, may not have it yet.
#[derive(Debug)]
pub struct Metrics {
    name: String,
    /// What is left out of the names.
    prefix: &'static str,
    /// Whom to ask, and for what path.
    pages: Vec<(Target, String)>,
    /// By page.
    counts: Vec<BTreeMap<String, Shown>>,
    /// How often a page began anew.
    begun_anew: u64,
}

/// A counter of one page.
#[derive(Debug, Default)]
struct Shown {
    count: Continued,
    /// Whether the page shows it no more.
    gone: bool,
}

impl Metrics {
    /// The reference server's own counters, `server.*`, from the `/metrics` of each base URL.
    ///
    /// # Errors
    /// Of this and of the others: where a URL leads nowhere.
    pub fn of_server(bases: &[String]) -> Result<Self, TargetError> {
        Self::new("server", OURS, bases, &Manner::default())
    }

    /// Keygen's own counters, `keygen.*`, from the `/metrics` of its base URL.
    pub fn of_keygen(base: &str) -> Result<Self, TargetError> {
        Self::new("keygen", KEYGENS, &[base.to_owned()], &Manner::default())
    }

    /// Any target's counters, `target.*`, from the `/metrics` of its base URL, asked for as everything else there: with the
    /// same password, and the same trust in its certificate.
    pub fn of_target(base: &str, manner: &Manner) -> Result<Self, TargetError> {
        Self::new("target", OURS, &[base.to_owned()], &Manner { http2: false, ..manner.clone() })
    }

    fn new(name: &str, prefix: &'static str, bases: &[String], manner: &Manner) -> Result<Self, TargetError> {
        let page = |base: &String| Target::of_url(&format!("{}/metrics", base.trim_end_matches('/')), manner);
        let pages = bases.iter().map(page).collect::<Result<Vec<_>, _>>()?;
        let counts = pages.iter().map(|_| BTreeMap::new()).collect();
        Ok(Self { name: name.to_owned(), prefix, pages, counts, begun_anew: 0 })
    }

    async fn read_all(&mut self) -> Result<Counters> {
        // At once: one after the other, those of many processes would be of different moments.
        let mut reading = JoinSet::new();
        for (process, (target, path)) in self.pages.iter().cloned().enumerate() {
            reading.spawn(async move {
                let url = || format!("{}{path}", target.base());
                let text = tokio::time::timeout(WITHIN, fetch(&target, &path))
                    .await
                    .with_context(|| format!("{} did not answer within {WITHIN:?}", url()))?
                    .with_context(|| format!("cannot read the metrics at {}", url()))?;
                Ok::<_, anyhow::Error>((process, text))
            });
        }
        for read in reading.join_all().await {
            let (process, text) = read?;
            let anew = advance(&mut self.counts[process], parse(&text, self.prefix).collect());
            self.begun_anew += u64::from(anew);
        }
        let mut counters = Counters::new();
        for (metric, shown) in self.counts.iter().flatten() {
            *counters.entry(format!("{}.{metric}", self.name)).or_default() += shown.count.total();
        }
        for (metric, _) in self.counts.iter().flatten().filter(|(_, shown)| shown.gone) {
            counters.remove(&format!("{}.{metric}", self.name));
        }
        if !counters.is_empty() {
            counters.insert(begun_anew(&self.name), self.begun_anew);
        }
        Ok(counters)
    }
}

/// Takes in what a page shows now; says whether it is that of a process that began anew. None of its counters goes on then,
/// not even one that has come further by now than it was.
fn advance(counts: &mut BTreeMap<String, Shown>, now: Counters) -> bool {
    let fell = |(metric, value): (&String, &u64)| counts.get(metric).is_some_and(|it| *value < it.count.last);
    let anew = now.iter().any(fell);
    for (_, shown) in counts.iter_mut().filter(|(metric, _)| !now.contains_key(*metric)) {
        shown.gone |= !anew;
    }
    if anew {
        counts.values_mut().for_each(|shown| shown.count.begin_anew());
    }
    for (metric, value) in now {
        let shown = counts.entry(metric).or_default();
        shown.count.advance(value);
    }
    anew
}

impl Witness for Metrics {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> run::Witness {
        run::Witness {
            standing: run::Standing::SelfReported,
            source: format!("the {}'s /metrics", self.name),
        }
    }

    fn read(&mut self) -> Reading<'_> {
        Box::pin(self.read_all())
    }
}

async fn fetch(target: &Target, path: &str) -> Result<String> {
    let addrs: Vec<SocketAddr> = target.addrs().collect();
    let stream = TcpStream::connect(&addrs[..]).await?;
    match &target.tls {
        None => ask(stream, target, path).await,
        Some(tls) => ask(tls.connector.connect(tls.name.clone(), stream).await?, target, path).await,
    }
}

async fn ask<S>(stream: S, target: &Target, path: &str) -> Result<String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request =
        Request::get(path).header(HOST, &target.host).header(ACCEPT, "text/plain;version=0.0.4");
    if let Some(authorization) = &target.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        ensure!(response.status() == StatusCode::OK, "it answered {}", response.status());
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        Ok(body.map_err(|error| anyhow::anyhow!(error))?.to_bytes())
    };
    // Both ends of the connection are turned here, so that nothing is left behind when time is up.
    let connection = async {
        let _ = connection.await;
        std::future::pending::<()>().await
    };
    let body = tokio::select! {
        answer = answer => answer?,
        () = connection => bail!("the connection ended"),
    };
    String::from_utf8(body.to_vec()).context("it is not text")
}

/// The counters of an exposition, with our names for them.
fn parse<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = (String, u64)> + 'a {
    let (mut counts, mut declared) = (BTreeSet::new(), BTreeSet::new());
    text.lines().filter_map(move |line| {
        if let Some(declaration) = line.strip_prefix("# TYPE ") {
            declared.extend(declaration.split(' ').next());
            counts.extend(declared_counts(declaration));
            return None;
        }
        let (series, value) = split_sample(line)?;
        let metric = series.split('{').next()?;
        let untyped = !declared.contains(metric) && metric.ends_with("_total");
        if !counts.contains(metric) && !untyped {
            return None;
        }
        let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)?;
        Some(named(prefix, metric, &series[metric.len()..], value))
    })
}

/// The series of a declared metric that only ever grow.
fn declared_counts(declaration: &str) -> Vec<String> {
    let parts = |metric: &str, parts: &[&str]| parts.iter().map(|part| format!("{metric}_{part}")).collect();
    match declaration.split_once(' ') {
        Some((metric, "counter")) => vec![metric.to_owned()],
        Some((metric, "histogram")) => parts(metric, &["bucket", "count", "sum"]),
        Some((metric, "summary")) => parts(metric, &["count", "sum"]),
        _ => Vec::new(),
    }
}

/// `name{labels}` and the value of a sample; a time stamp behind it is dropped. Label values may hold blanks.
fn split_sample(line: &str) -> Option<(&str, &str)> {
    if line.starts_with('#') {
        return None;
    }
    let end = line.rfind('}').map_or_else(|| line.find(' '), |brace| Some(brace + 1))?;
    Some((&line[..end], line[end..].split_whitespace().next()?))
}

fn named(prefix: &str, metric: &str, labels: &str, value: f64) -> (String, u64) {
    let seconds = metric.strip_suffix("_seconds_total").or_else(|| metric.strip_suffix("_seconds_sum"));
    let value = if seconds.is_some() { value * 1e6 } else { value };
    let ours = seconds.or_else(|| metric.strip_suffix("_total")).unwrap_or(metric).strip_prefix(prefix);
    let mut name = match (ours, seconds) {
        (Some(ours), _) => {
            label_values(labels).fold(ours.to_owned(), |name, label| format!("{name}_{label}"))
        }
        (None, _) => format!("{metric}{labels}"),
    };
    if seconds.is_some() {
        name.push_str("_us");
    }
    (name, value.round() as u64)
}

/// What stands between each pair of quotes. Our own labels hold neither quotes nor backslashes.
fn label_values(labels: &str) -> impl Iterator<Item = &str> {
    labels.split('"').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const TEXT: &str = "\
# HELP shortener_lookups_total Look-ups.
# TYPE shortener_lookups_total counter
shortener_lookups_total{level=\"process\"} 12345678901
shortener_lookups_total{level=\"store\"} 7
# TYPE shortener_links gauge
shortener_links 5
# TYPE shortener_cpu_seconds_total counter
shortener_cpu_seconds_total 1.25
# TYPE http_requests_total counter
http_requests_total{path=\"/a b\",code=\"200\"} 3 1700000000000
# TYPE wait_seconds histogram
wait_seconds_bucket{le=\"+Inf\"} 9
wait_seconds_count 9
wait_seconds_sum 0.5
";

    fn parsed() -> Counters {
        parse(TEXT, OURS).collect()
    }

    #[test]
    fn the_reference_servers_counters_get_short_names() {
        assert_eq!(parsed()["lookups_process"], 12_345_678_901);
        assert_eq!(parsed()["lookups_store"], 7);
        assert_eq!(parsed()["cpu_us"], 1_250_000);
    }

    #[test]
    fn keygens_counters_get_short_names_too() {
        let text = "# TYPE keygen_statements_total counter\nkeygen_statements_total{kind=\"lease\"} 4\n";
        assert_eq!(parse(text, KEYGENS).collect::<Counters>()["statements_lease"], 4);
    }

    #[test]
    fn others_keep_theirs_and_gauges_are_left_out() {
        assert_eq!(parsed()["http_requests_total{path=\"/a b\",code=\"200\"}"], 3);
        assert_eq!(parsed()["wait_seconds_count"], 9);
        assert_eq!(parsed()["wait_seconds_bucket{le=\"+Inf\"}"], 9);
        assert_eq!(parsed()["wait_seconds_sum_us"], 500_000);
        assert_eq!(parsed().len(), 7);
    }

    #[test]
    fn what_has_no_type_is_a_counter_if_its_name_says_so() {
        let text = "reads_total 4\nqueue_length 7\n# TYPE lies_total gauge\nlies_total 3\n";
        let parsed: Counters = parse(text, OURS).collect();
        assert_eq!(parsed, Counters::from([("reads_total".to_owned(), 4)]));
    }

    #[test]
    fn a_counter_that_vanishes_is_missing_and_not_still() {
        let mut counts = BTreeMap::new();
        let mut read = |shown: &[(&str, u64)]| {
            let now = shown.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
            advance(&mut counts, now);
            let there = counts.iter().filter(|(_, shown)| !shown.gone);
            there.map(|(name, shown)| (name.clone(), shown.count.total())).collect::<Vec<_>>()
        };
        let are = |shown: &[(&str, u64)]| {
            shown.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>()
        };
        assert_eq!(read(&[("a", 5), ("b", 2)]), are(&[("a", 5), ("b", 2)]));
        assert_eq!(read(&[("a", 6)]), are(&[("a", 6)]), "`b` is gone");
        assert_eq!(read(&[("a", 7), ("b", 4)]), are(&[("a", 7)]), "and stays so: who knows what it counted");
    }

    #[test]
    fn a_process_that_begins_anew_may_lack_a_counter_at_first() {
        let mut counts = BTreeMap::new();
        let mut read = |shown: &[(&str, u64)]| {
            advance(&mut counts, shown.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect());
            counts.values().map(|shown| (!shown.gone).then(|| shown.count.total())).collect::<Vec<_>>()
        };
        assert_eq!(read(&[("a", 7), ("b", 4)]), [Some(7), Some(4)]);
        assert_eq!(read(&[("a", 1)]), [Some(8), Some(4)]);
        assert_eq!(read(&[("a", 2), ("b", 1)]), [Some(9), Some(5)]);
    }

    #[test]
    fn of_a_process_that_began_anew_no_counter_goes_on() {
        let mut counts = BTreeMap::new();
        let mut read = |a, b| {
            let anew = advance(&mut counts, Counters::from([("a".to_owned(), a), ("b".to_owned(), b)]));
            (anew, counts.values().map(|shown| shown.count.total()).collect::<Vec<_>>())
        };
        assert_eq!(read(10, 5), (false, vec![10, 5]));
        assert_eq!(read(2, 7), (true, vec![12, 12]), "`b` had come further than before by then");
        assert_eq!(read(3, 7), (false, vec![13, 12]));
    }

    async fn answer_in_turn(answers: Vec<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        base
    }

    fn ok(count: u64) -> String {
        let body = format!("# TYPE shortener_x_total counter\nshortener_x_total {count}\n");
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn processes_are_summed_and_a_restart_is_bridged() {
        let a = answer_in_turn(vec![ok(10), ok(3)]).await;
        let b = answer_in_turn(vec![ok(1), ok(2)]).await;
        let mut metrics = Metrics::of_server(&[a, b]).unwrap();
        assert_eq!(metrics.read().await.unwrap()["server.x"], 11);
        assert_eq!(metrics.read().await.unwrap()["server.x"], 15);
        assert!(metrics.read().await.is_err(), "no one listens any more");
    }

    #[tokio::test]
    async fn an_error_is_no_reading() {
        let base = answer_in_turn(vec![
            "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "not http\r\n\r\n".to_owned(),
        ])
        .await;
        let mut metrics = Metrics::of_server(&[base]).unwrap();
        assert!(format!("{:#}", metrics.read().await.unwrap_err()).contains("500"));
        assert!(metrics.read().await.is_err());
    }
}
