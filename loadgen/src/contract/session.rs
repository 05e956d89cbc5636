//! A client's session that tries every operation, rightly and wrongly.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, redirect};
use serde_json::{Value, json};

use super::Findings;
use super::{changes, schema};

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How long a link that lives for a second may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(4);
const URL: &str = "https://example.com/contract?a=b#c";
const BAD_URL: &str = "javascript:1";
/// A code that nobody has: custom codes are free text, and this one is not made.
const NOBODYS: &str = "nobody-has-this-code";

struct Session<'a> {
    base: &'a str,
    document: &'a Value,
    client: Client,
    findings: Findings,
    /// Operations that were answered as hoped for at least once.
    tried: BTreeSet<(String, String)>,
    made: Vec<String>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

pub(super) async fn examine(base: &str, published: &Value) -> Result<Findings> {
    let client = Client::builder().timeout(WITHIN).redirect(redirect::Policy::none()).build()?;
    let mut session = Session {
        base,
        document: published,
        client,
        findings: Findings::default(),
        tried: BTreeSet::new(),
        made: Vec::new(),
    };
    session.compare_documents().await?;
    let code = session.create().await?;
    let short_lived = session.made_of(json!({ "url": URL, "expires_in": 1 })).await?;
    session.change(&code).await?;
    session.report_clicks(&code).await?;
    session.look_at_pages().await?;
    session.follow(&code, &short_lived).await?;
    session.delete().await?;
    session.note_untried();
    Ok(session.findings)
}

impl Session<'_> {
    async fn compare_documents(&mut self) -> Result<()> {
        let served = self.ask("GET", "/openapi.json", "/openapi.json", 200, "").await?.json();
        self.findings.violations.extend(changes::breaking(self.document, &served));
        Ok(())
    }

    /// Creates links in every way, and returns the code of a plain one.
    async fn create(&mut self) -> Result<String> {
        let code = self.made_of(json!({ "url": URL })).await?;
        let custom = format!("contract-{}", std::process::id());
        let taken = json!({ "url": URL, "code": custom });
        self.made_of(taken.clone()).await?;
        self.post("/api/links", 409, &taken.to_string()).await?;
        self.post("/api/links", 422, &json!({ "url": BAD_URL }).to_string()).await?;
        self.post("/api/links", 400, "no JSON").await?;
        let key = [("idempotency-key", custom.as_str())];
        for _ in 0..2 {
            let body = json!({ "url": URL }).to_string();
            let answer = self.ask_with("POST", "/api/links", "/api/links", 201, &key, &body).await?;
            self.keep(&answer.json());
        }
        let mixed = json!([{ "url": URL }, { "url": BAD_URL }]).to_string();
        let many = self.post("/api/links/bulk", 200, &mixed).await?.json();
        self.keep(&many["results"][0]["link"]);
        self.post("/api/links/bulk", 400, "no JSON").await?;
        let too_many = vec![json!({ "url": URL }); 1_001];
        self.post("/api/links/bulk", 413, &json!(too_many).to_string()).await?;
        Ok(code)
    }

    async fn change(&mut self, code: &str) -> Result<()> {
        const TEMPLATE: &str = "/api/links/{code}";
        let (own, other) = (format!("/api/links/{code}"), format!("/api/links/{NOBODYS}"));
        self.ask("GET", TEMPLATE, &own, 200, "").await?;
        self.ask("GET", TEMPLATE, &other, 404, "").await?;
        let change = json!({ "url": URL }).to_string();
        self.ask("PATCH", TEMPLATE, &own, 200, &change).await?;
        self.ask("PATCH", TEMPLATE, &other, 404, &change).await?;
        self.ask("PATCH", TEMPLATE, &own, 422, &json!({ "url": BAD_URL }).to_string()).await?;
        self.ask("PATCH", TEMPLATE, &own, 400, "no JSON").await.map(drop)
    }

    async fn report_clicks(&mut self, code: &str) -> Result<()> {
        let report = |code: &str| json!({ "clicks": [{ "code": code, "count": 1 }] }).to_string();
        self.post("/api/clicks", 200, &report(code)).await?;
        self.post("/api/clicks", 422, &report("no code")).await?;
        self.post("/api/clicks", 400, "no JSON").await.map(drop)
    }

    async fn look_at_pages(&mut self) -> Result<()> {
        for page in ["/health", "/api/cache", "/metrics"] {
            self.ask("GET", page, page, 200, "").await?;
        }
        self.ask("DELETE", "/api/cache", "/api/cache", 204, "").await.map(drop)
    }

    async fn follow(&mut self, code: &str, short_lived: &str) -> Result<()> {
        let led = self.ask("GET", "/{code}", &format!("/{code}"), 302, "").await?;
        let location = led.headers.get("location").and_then(|it| it.to_str().ok()).unwrap_or_default();
        if location != URL {
            self.violated(format!("GET /{{code}}: it leads to `{location}`, not where it should"));
        }
        self.ask("GET", "/{code}", &format!("/{NOBODYS}"), 404, "").await?;
        let (path, since) = (format!("/{short_lived}"), Instant::now());
        while self.send("GET", &path, &[], "").await?.status == 302 && since.elapsed() < GONE_WITHIN {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.ask("GET", "/{code}", &path, 410, "").await.map(drop)
    }

    /// Deletes all that was made here.
    async fn delete(&mut self) -> Result<()> {
        const TEMPLATE: &str = "/api/links/{code}";
        let made = std::mem::take(&mut self.made);
        for code in made.iter().collect::<BTreeSet<_>>() {
            self.ask("DELETE", TEMPLATE, &format!("/api/links/{code}"), 204, "").await?;
        }
        self.ask("DELETE", TEMPLATE, &format!("/api/links/{NOBODYS}"), 404, "").await.map(drop)
    }

    async fn made_of(&mut self, link: Value) -> Result<String> {
        let answer = self.post("/api/links", 201, &link.to_string()).await?.json();
        self.keep(&answer);
        Ok(answer["code"].as_str().unwrap_or(NOBODYS).to_owned())
    }

    fn keep(&mut self, link: &Value) {
        self.made.extend(link["code"].as_str().map(str::to_owned));
    }

    async fn post(&mut self, path: &str, expected: u16, body: &str) -> Result<Answer> {
        self.ask("POST", path, path, expected, body).await
    }

    async fn ask(
        &mut self,
        method: &str,
        template: &str,
        path: &str,
        expected: u16,
        body: &str,
    ) -> Result<Answer> {
        self.ask_with(method, template, path, expected, &[], body).await
    }

    /// Asks, and notes where the answer is not the expected one or not as described.
    async fn ask_with(
        &mut self,
        method: &str,
        template: &str,
        path: &str,
        expected: u16,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer> {
        let answer = self.send(method, path, headers, body).await?;
        self.findings.answers += 1;
        let operation = &self.document["paths"][template][method.to_lowercase()];
        let undescribed = undescribed(self.document, operation, &answer);
        let unexpected =
            (answer.status != expected).then(|| format!("{} instead of {expected}", answer.status));
        for fault in undescribed.into_iter().chain(unexpected) {
            self.violated(format!("{method} {template}: {fault}"));
        }
        if answer.status < 400 {
            self.tried.insert((template.to_owned(), method.to_lowercase()));
        }
        Ok(answer)
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(Method::from_bytes(method.as_bytes())?, &url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        let answer = request.send().await.with_context(|| format!("{method} {url} gave no answer"))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer { status, headers, body: answer.text().await? })
    }

    fn violated(&mut self, how: String) {
        self.findings.violations.push(how);
    }

    /// A contract that is only tried in part is not kept by that.
    fn note_untried(&mut self) {
        let untried: Vec<String> = changes::operations(self.document)
            .filter(|(path, method, _)| !self.tried.contains(&((*path).to_owned(), (*method).to_owned())))
            .map(|(path, method, _)| format!("{} {path} was never answered well", method.to_uppercase()))
            .collect();
        self.findings.violations.extend(untried);
    }
}

/// In what an answer differs from all that the operation describes.
fn undescribed(document: &Value, operation: &Value, answer: &Answer) -> Option<String> {
    let described = &operation["responses"][answer.status.to_string()];
    if !described.is_object() {
        return Some(format!("the answer {} is not described", answer.status));
    }
    let missing = described["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .find(|(name, header)| header["required"] == true && !answer.headers.contains_key(name.as_str()));
    if let Some((name, _)) = missing {
        return Some(format!("the answer {} lacks the header {name}", answer.status));
    }
    let Some(content) = described["content"].as_object() else {
        return (!answer.body.is_empty()).then(|| format!("the answer {} has a body", answer.status));
    };
    let kind = answer.headers.get("content-type").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    let Some(described) = content.get(kind) else {
        return Some(format!("the answer {} of type `{kind}` is not described", answer.status));
    };
    if !kind.ends_with("json") {
        return None;
    }
    match serde_json::from_str(&answer.body) {
        Ok(value) => schema::fault(document, &described["schema"], &value)
            .map(|fault| format!("the answer {}: {fault}", answer.status)),
        Err(error) => Some(format!("the answer {} is no JSON: {error}", answer.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, kind: &str, body: &str) -> String {
        let operation = json!({ "responses": {
            "200": { "content": { "application/json": { "schema": { "type": "object", "required": ["code"] } } } },
            "204": {},
            "302": { "headers": { "Location": { "required": true } } },
        } });
        let mut headers = HeaderMap::new();
        headers.insert("content-type", kind.parse().unwrap());
        let answer = Answer { status, headers, body: body.to_owned() };
        undescribed(&json!({}), &operation, &answer).unwrap_or_default()
    }

    #[test]
    fn an_answer_is_held_against_its_description() {
        assert_eq!(told(200, "application/json; charset=utf-8", r#"{"code":"a"}"#), "");
        assert_eq!(told(204, "text/plain", ""), "");
        assert!(told(200, "application/json", "{}").contains("`code` is missing"));
        assert!(told(200, "application/json", "{").contains("no JSON"));
        assert!(told(200, "text/html", "{}").contains("`text/html` is not described"));
        assert!(told(204, "text/plain", "more").contains("has a body"));
        assert!(told(302, "text/plain", "").contains("lacks the header Location"));
        assert!(told(500, "text/plain", "").contains("500 is not described"));
    }
}
