//! Whether the server and what it depends on can do their work.

use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

use crate::keygen::Leases;
use crate::shortener::Shortener;

pub struct Health {
    shortener: Arc<Shortener>,
    leases: Leases,
    /// The last look, so that many who ask cause no more than a few looks a second.
    seen: Mutex<Option<(Instant, Report)>>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub status: Status,
    pub dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    /// All requests are served, in a slower way than usual.
    Degraded,
    /// Some requests cannot be served.
    Down,
    /// The server is about to end.
    Draining,
}

#[derive(Debug, Clone, Serialize)]
pub struct Dependency {
    pub name: &'static str,
    pub up: bool,
    /// How long it took to answer, where it was asked.
    pub latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

const FRESH: Duration = Duration::from_millis(250);
/// How long the database and keygen may take to answer: whoever asks for health has time-outs of a second or two, and
/// one that hangs must not make this process look dead.
const PATIENCE: Duration = Duration::from_millis(500);

impl Health {
    pub fn new(shortener: Arc<Shortener>, leases: Leases) -> Self {
        Self { shortener, leases, seen: Mutex::new(None) }
    }

    /// Looks at each dependency, or repeats a look that is still fresh.
    pub async fn report(&self) -> Report {
        let mut seen = self.seen.lock().await;
        if let Some((at, report)) = &*seen
            && at.elapsed() < FRESH
        {
            return report.clone();
        }
        let report = self.look().await;
        *seen = Some((Instant::now(), report.clone()));
        report
    }

    async fn look(&self) -> Report {
        let (database, keygen) = tokio::join!(self.ping_database(), self.ask_keygen());
        let keygen = keygen.map(|up| Dependency { name: "keygen", up, latency_ms: None, error: None });
        let redis = self.shortener.hears_changes().map(|up| Dependency {
            name: "redis",
            up,
            latency_ms: None,
            error: None,
        });
        let helpers: Vec<Dependency> = keygen.into_iter().chain(redis).collect();
        let status = match (database.up, helpers.iter().all(|helper| helper.up)) {
            (false, _) => Status::Down,
            (true, false) => Status::Degraded,
            (true, true) => Status::Ok,
        };
        Report { status, dependencies: [database].into_iter().chain(helpers).collect() }
    }

    /// None where there is no keygen.
    async fn ask_keygen(&self) -> Option<bool> {
        tokio::time::timeout(PATIENCE, self.leases.keygen_up()).await.unwrap_or(Some(false))
    }

    async fn ping_database(&self) -> Dependency {
        let start = Instant::now();
        let ping = self.shortener.at_home(|shortener| async move { shortener.store.ping().await });
        let error = match tokio::time::timeout(PATIENCE, ping).await {
            Ok(ping) => ping.err().map(|error| error.to_string()),
            Err(_) => Some(format!("no answer within {} ms", PATIENCE.as_millis())),
        };
        Dependency {
            name: self.shortener.store.name(),
            up: error.is_none(),
            latency_ms: Some(start.elapsed().as_secs_f64() * 1e3),
            error,
        }
    }
}
