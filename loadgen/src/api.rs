//! The control plane of the reference server's API: making links and recording clicks in bulk.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::RequestBuilder;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::interrupt;

/// Items a bulk request carries.
const CHUNK: usize = 1_000;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A blocking client of one server; used to prepare and to read back, never to measure.
pub struct Api {
    base: String,
    client: reqwest::Client,
    runtime: Runtime,
}

#[derive(Serialize)]
struct NewLink<'a> {
    url: &'a str,
}

#[derive(Deserialize)]
struct BulkAnswer {
    results: Vec<BulkItem>,
}

#[derive(Deserialize)]
struct BulkItem {
    link: Option<CreatedLink>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct CreatedLink {
    code: String,
}

#[derive(Serialize)]
struct Clicks<'a> {
    code: &'a str,
    count: u64,
}

impl Api {
    pub fn new(base: String) -> Result<Self> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build().context("no HTTP client")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { base, client, runtime })
    }

    /// Creates a link for each URL and returns the codes, in the same order.
    pub fn create_links(&self, urls: &[String]) -> Result<Vec<String>> {
        let mut codes = Vec::with_capacity(urls.len());
        for chunk in urls.chunks(CHUNK) {
            let links: Vec<_> = chunk.iter().map(|url| NewLink { url }).collect();
            let answer = self.post("/api/links/bulk", &serde_json::json!(links))?;
            let answer: BulkAnswer =
                serde_json::from_slice(&answer).context("the bulk answer is no such JSON")?;
            if answer.results.len() != chunk.len() {
                bail!("the server answered {} of {} bulk creates", answer.results.len(), chunk.len());
            }
            for (item, url) in answer.results.into_iter().zip(chunk) {
                match item.link {
                    Some(link) => codes.push(link.code),
                    None => bail!("no link was created for {url}: {}", item.error.unwrap_or_default()),
                }
            }
        }
        Ok(codes)
    }

    /// Records clicks that were counted elsewhere; zero counts are left out.
    pub fn record_clicks(&self, codes: &[String], counts: &[u64]) -> Result<()> {
        let clicked: Vec<_> = codes
            .iter()
            .zip(counts)
            .filter(|(_, count)| **count > 0)
            .map(|(code, &count)| Clicks { code, count })
            .collect();
        for chunk in clicked.chunks(CHUNK) {
            self.post("/api/clicks", &serde_json::json!({ "clicks": chunk }))?;
        }
        Ok(())
    }

    /// Empties the server's cache, as an operator can.
    pub fn empty_cache(&self) -> Result<()> {
        self.send(self.client.delete(format!("{}/api/cache", self.base))).map(drop)
    }

    /// Many requests in a row end where the run is to end.
    fn post(&self, path: &str, body: &serde_json::Value) -> Result<Vec<u8>> {
        if interrupt::requested() {
            bail!("interrupted");
        }
        let request = self.client.post(format!("{}{path}", self.base));
        self.send(request.header("content-type", "application/json").body(body.to_string()))
    }

    fn send(&self, request: RequestBuilder) -> Result<Vec<u8>> {
        self.runtime.block_on(async {
            let answer = request.send().await.with_context(|| format!("{} gave no answer", self.base))?;
            let (status, url) = (answer.status(), answer.url().clone());
            let body = answer.bytes().await?;
            if !status.is_success() {
                bail!("{url} answered {status}: {}", String::from_utf8_lossy(&body));
            }
            Ok(body.to_vec())
        })
    }
}
