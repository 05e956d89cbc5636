//! Counters that a target publishes itself, in Prometheus's text format.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use proofload_reports::run;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Continued, Counters, Reading, Witness};

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
/// microseconds: `server.cpu_us`. Gauges are no counts and left out.
#[derive(Debug)]
pub struct Metrics {
    name: String,
    /// What is left out of the names.
    prefix: &'static str,
    urls: Vec<String>,
    counts: BTreeMap<(usize, String), Continued>,
}

impl Metrics {
    /// The reference server's own counters, `server.*`, from the `/metrics` of each base URL.
    pub fn of_server(bases: &[String]) -> Self {
        let urls = bases.iter().map(|base| format!("{}/metrics", base.trim_end_matches('/'))).collect();
        Self { name: "server".to_owned(), prefix: OURS, urls, counts: BTreeMap::new() }
    }

    /// Keygen's own counters, `keygen.*`, from the `/metrics` of its base URL.
    pub fn of_keygen(base: &str) -> Self {
        let urls = vec![format!("{base}/metrics")];
        Self { name: "keygen".to_owned(), prefix: KEYGENS, urls, counts: BTreeMap::new() }
    }

    /// Any target's counters, `target.*`, from the URL of its metrics.
    pub fn of_target(url: &str) -> Self {
        let urls = vec![url.to_owned()];
        Self { name: "target".to_owned(), prefix: OURS, urls, counts: BTreeMap::new() }
    }

    async fn read_all(&mut self) -> Result<Counters> {
        // At once: one after the other, those of many processes would be of different moments.
        let mut reading = JoinSet::new();
        for (process, url) in self.urls.iter().cloned().enumerate() {
            reading.spawn(async move {
                let text = tokio::time::timeout(WITHIN, fetch(&url))
                    .await
                    .with_context(|| format!("{url} did not answer within {WITHIN:?}"))?
                    .with_context(|| format!("cannot read the metrics at {url}"))?;
                Ok::<_, anyhow::Error>((process, text))
            });
        }
        for read in reading.join_all().await {
            let (process, text) = read?;
            for (metric, value) in parse(&text, self.prefix) {
                let counter = format!("{}.{metric}", self.name);
                self.counts.entry((process, counter)).or_default().advance(value);
            }
        }
        let mut counters = Counters::new();
        for ((_, counter), count) in &self.counts {
            *counters.entry(counter.clone()).or_default() += count.total();
        }
        Ok(counters)
    }
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

async fn fetch(url: &str) -> Result<String> {
    let uri: Uri = url.parse().context("it is no URL")?;
    ensure!(uri.scheme_str() == Some("http"), "metrics are read over http:// only");
    let host = uri.host().context("it names no host")?.trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(ACCEPT, "text/plain;version=0.0.4")
        .body(Empty::<Bytes>::new())?;
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
    let mut counts = BTreeSet::new();
    text.lines().filter_map(move |line| {
        if let Some(declaration) = line.strip_prefix("# TYPE ") {
            counts.extend(declared_counts(declaration));
            return None;
        }
        let (series, value) = split_sample(line)?;
        let metric = series.split('{').next()?;
        if !counts.contains(metric) {
            return None;
        }
        let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)?;
        Some(named(prefix, metric, &series[metric.len()..], value))
    })
}

/// The series of a declared metric that only ever grow.
fn declared_counts(declaration: &str) -> Option<String> {
    match declaration.split_once(' ')? {
        (metric, "counter") => Some(metric.to_owned()),
        (metric, "histogram" | "summary") => Some(format!("{metric}_count")),
        _ => None,
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
    let seconds = metric.strip_suffix("_seconds_total");
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
        assert_eq!(parsed().len(), 5);
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
        let mut metrics = Metrics::of_server(&[a, b]);
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
        let mut metrics = Metrics::of_server(&[base]);
        assert!(format!("{:#}", metrics.read().await.unwrap_err()).contains("500"));
        assert!(metrics.read().await.is_err());
    }
}
