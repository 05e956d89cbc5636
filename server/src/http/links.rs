//! The API for links: create, show, change, delete, and clicks that were counted elsewhere.

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, Serialize};

use super::problem::{Problem, Said};
use super::routes::Client;
use super::{Request, Response, body};
use crate::codes::Key;
use crate::creator::{Created, Idempotency, NewLink};
use crate::metrics::CreateResult;
use crate::shortener::now;
use crate::store::{Link, Patch};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LONGEST_IDEMPOTENCY_KEY: usize = 255;
/// Bytes that the page of a link seldom exceeds.
const USUAL_PAGE: usize = 256;
/// A hundred years: further away, a mistake is likelier than a wish.
const LONGEST_LIFE: u64 = 100 * 366 * 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    url: String,
    code: Option<String>,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    url: Option<String>,
    /// Null takes the expiry away, which is not the same as not naming it.
    #[serde(default, deserialize_with = "named")]
    expires_in: Option<Option<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClicksBody {
    clicks: Vec<ClickItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClickItem {
    code: String,
    count: u64,
}

#[derive(Serialize)]
struct LinkPage<'a> {
    code: &'a str,
    short_url: String,
    url: &'a str,
    created_at: i64,
    expires_at: Option<i64>,
    clicks: u64,
}

#[derive(Serialize)]
struct BulkPage<'a> {
    results: Vec<BulkItem<'a>>,
}

#[derive(Serialize)]
struct BulkItem<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<LinkPage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Said<'a>>,
}

#[derive(Serialize)]
struct ClicksPage {
    accepted: usize,
}

pub async fn create(client: &Client, request: Request) -> Result<Response, Problem> {
    let (head, incoming) = request.into_parts();
    let shortener = &client.site.shortener;
    let new = async {
        let incoming = admitted(client, &head.headers, incoming).await?;
        let body = body::read(&head.headers, incoming, &client.site).await?;
        let idempotency = idempotency(&head.headers, &body)?;
        let asked: CreateBody = body::parse(&body)?;
        new_link(client, asked, idempotency)
    };
    let new = new.await.inspect_err(|_| rejected(client, 1))?;
    let created = shortener.create(new, &client.desk).await.map_err(|error| Problem::from(&error))?;
    let mut response = json(StatusCode::CREATED, &page(client, &created.code, &created.link));
    if created.replayed {
        response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

pub async fn create_many(client: &Client, request: Request) -> Result<Response, Problem> {
    let (head, incoming) = request.into_parts();
    let asked = asked_for_many(client, &head.headers, incoming).await.inspect_err(|_| rejected(client, 1))?;
    admit_many(client, &head.headers, asked.len()).inspect_err(|_| rejected(client, asked.len()))?;
    let checked: Vec<_> = asked.into_iter().map(|asked| new_link(client, asked, None)).collect();
    let good = checked.iter().filter_map(|new| new.as_ref().ok().cloned()).collect();
    let mut created = client.site.shortener.create_many(good, &client.desk).await.into_iter();
    let outcomes: Vec<Result<Created, Problem>> = checked
        .into_iter()
        .map(|new| match new {
            Ok(_) => created.next().expect("one answer a link").map_err(|error| Problem::from(&error)),
            Err(problem) => {
                rejected(client, 1);
                Err(problem)
            }
        })
        .collect();
    let results = outcomes.iter().map(|outcome| bulk_item(client, outcome)).collect();
    Ok(json(StatusCode::OK, &BulkPage { results }))
}

async fn asked_for_many(
    client: &Client,
    headers: &HeaderMap,
    incoming: Incoming,
) -> Result<Vec<CreateBody>, Problem> {
    if let Err(problem) = client.site.authorize(headers.get(AUTHORIZATION)) {
        return Err(body::refuse(headers, incoming, problem).await);
    }
    if headers.contains_key(IDEMPOTENCY_KEY) {
        let text = "bulk requests have no Idempotency-Key: create the links one by one to retry them safely";
        return Err(body::refuse(headers, incoming, Problem::bad_request(text)).await);
    }
    body::parse(&body::read(headers, incoming, &client.site).await?)
}

/// The body of a write of one thing, unless this client may not write now.
async fn admitted(client: &Client, headers: &HeaderMap, incoming: Incoming) -> Result<Incoming, Problem> {
    match client.site.admit(headers.get(AUTHORIZATION), client.address, 1) {
        Ok(()) => Ok(incoming),
        Err(problem) => Err(body::refuse(headers, incoming, problem).await),
    }
}

/// How many links it is about, and so what the rate limit says, is known only from the body.
fn admit_many(client: &Client, headers: &HeaderMap, links: usize) -> Result<(), Problem> {
    let most = client.site.limits.bulk;
    if links > most {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {most} links at once")));
    }
    client.site.admit(headers.get(AUTHORIZATION), client.address, links)
}

fn rejected(client: &Client, creates: usize) {
    (0..creates).for_each(|_| client.desk.tally.created(CreateResult::Rejected));
}

pub async fn show(client: &Client, code: &str) -> Result<Response, Problem> {
    let link = client.site.shortener.link(code).await?.ok_or_else(Problem::not_found)?;
    Ok(json(StatusCode::OK, &page(client, code, &link)))
}

pub async fn change(client: &Client, code: &str, request: Request) -> Result<Response, Problem> {
    let (head, incoming) = request.into_parts();
    let incoming = admitted(client, &head.headers, incoming).await?;
    let body = body::read(&head.headers, incoming, &client.site).await?;
    let asked: ChangeBody = body::parse(&body)?;
    if asked.url.is_none() && asked.expires_in.is_none() {
        return Err(Problem::unprocessable("name what to change: url, expires_in, or both"));
    }
    let url = asked.url.map(|url| client.site.shortener.targets.check(&url)).transpose()?;
    let expires = asked.expires_in.map(|seconds| seconds.map(expiry).transpose()).transpose()?;
    let updated = client.site.shortener.update(code, Patch { url, expires }).await?;
    let link = updated.ok_or_else(Problem::not_found)?;
    Ok(json(StatusCode::OK, &page(client, code, &link)))
}

pub async fn delete(client: &Client, code: &str, request: &Request) -> Result<Response, Problem> {
    client.site.admit(request.headers().get(AUTHORIZATION), client.address, 1)?;
    if !client.site.shortener.delete(code).await? {
        return Err(Problem::not_found());
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

pub async fn add_clicks(client: &Client, request: Request) -> Result<Response, Problem> {
    let (head, incoming) = request.into_parts();
    let incoming = admitted(client, &head.headers, incoming).await?;
    let body = body::read(&head.headers, incoming, &client.site).await?;
    let asked: ClicksBody = body::parse(&body)?;
    let accepted = asked.clicks.len();
    let most = client.site.limits.click_items;
    if accepted > most {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {most} items at once")));
    }
    let clicks = asked.clicks.into_iter().map(|item| click(client, item)).collect::<Result<Vec<_>, _>>()?;
    client.site.shortener.add_clicks(clicks).await?;
    Ok(json(StatusCode::OK, &ClicksPage { accepted }))
}

pub fn json(status: StatusCode, page: &impl Serialize) -> Response {
    let mut body = Vec::with_capacity(USUAL_PAGE);
    serde_json::to_writer(&mut body, page).expect("pages are plain data");
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn new_link(
    client: &Client,
    asked: CreateBody,
    idempotency: Option<Idempotency>,
) -> Result<NewLink, Problem> {
    let url = client.site.shortener.targets.check(&asked.url)?;
    let expires = asked.expires_in.map(expiry).transpose()?;
    Ok(NewLink { url, custom: asked.code, expires, clicks: 0, idempotency })
}

fn expiry(seconds: u64) -> Result<i64, Problem> {
    if !(1..=LONGEST_LIFE).contains(&seconds) {
        return Err(Problem::unprocessable(format!("expires_in is in seconds, 1 to {LONGEST_LIFE}")));
    }
    Ok(now() + seconds as i64)
}

fn click(client: &Client, item: ClickItem) -> Result<(Key, u64), Problem> {
    let unknown = || Problem::unprocessable(format!("{:?} is no code", item.code));
    if item.count > u64::from(u32::MAX) {
        return Err(Problem::unprocessable(format!("the count of {:?} is above {}", item.code, u32::MAX)));
    }
    Ok((client.site.shortener.codec.key(&item.code).ok_or_else(unknown)?, item.count))
}

fn idempotency(headers: &HeaderMap, body: &[u8]) -> Result<Option<Idempotency>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=LONGEST_IDEMPOTENCY_KEY).contains(&key.len()));
    let wrong = || Problem::bad_request("Idempotency-Key has 1 to 255 visible ASCII characters");
    Ok(Some(Idempotency { key: key.ok_or_else(wrong)?.to_owned(), fingerprint: digest(body) }))
}

/// FNV-1a: the same in every process and release. It tells a retry from another request; it keeps nobody out.
fn digest(body: &[u8]) -> u64 {
    body.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn bulk_item<'a>(client: &Client, outcome: &'a Result<Created, Problem>) -> BulkItem<'a> {
    match outcome {
        Ok(created) => {
            BulkItem { status: 201, link: Some(page(client, &created.code, &created.link)), error: None }
        }
        Err(problem) => {
            BulkItem { status: problem.status().as_u16(), link: None, error: Some(problem.said()) }
        }
    }
}

fn page<'a>(client: &Client, code: &'a str, link: &'a Link) -> LinkPage<'a> {
    LinkPage {
        code,
        short_url: [&client.site.shortener.public_base, "/", code].concat(),
        url: &link.url,
        created_at: link.created,
        expires_at: link.expires,
        clicks: link.clicks,
    }
}

fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
