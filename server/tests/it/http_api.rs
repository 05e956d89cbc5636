//! The API does what its published description says.

use crate::app::{App, Reply};
use serde_json::{Value, json};

/// Asks, and checks that the answer is one that the published document describes.
fn ask(app: &App, method: &str, path: &str, template: &str, body: &str) -> Reply {
    let reply = app.ask(method, path, &[], body);
    conforms(app, method, template, &reply);
    reply
}

fn conforms(app: &App, method: &str, template: &str, reply: &Reply) {
    let document = app.get("/openapi.json").json();
    let operation = &document["paths"][template][method.to_ascii_lowercase()];
    let described = &operation["responses"][reply.status.to_string()];
    assert!(described.is_object(), "{method} {template} does not describe {}: {}", reply.status, reply.body);
    let described = described["$ref"].as_str().map_or(described, |at| document.pointer(&at[1..]).unwrap());
    for (name, header) in described["headers"].as_object().into_iter().flatten() {
        let is_there = reply.header(&name.to_ascii_lowercase()).is_some();
        assert!(is_there || header["required"] != true, "{name} is missing in {reply:?}");
    }
    let Some(content) = described["content"].as_object() else {
        return assert_eq!(reply.body, "");
    };
    let kind = reply.header("content-type").unwrap().split(';').next().unwrap();
    let schema = &content.get(kind).unwrap_or_else(|| panic!("{kind} is not described"))["schema"];
    if kind.ends_with("json") {
        valid(&document, schema, &reply.json())
            .unwrap_or_else(|why| panic!("{method} {template}: {why} in {reply:?}"));
    }
}

/// The part of JSON Schema that our document uses.
fn valid(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(&reference[1..]).ok_or(format!("{reference} leads nowhere"))?;
        return valid(document, target, value);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().filter(|choice| valid(document, choice, value).is_ok()).count();
        return if fitting == 1 { Ok(()) } else { Err(format!("{value} fits {fitting} of {choices:?}")) };
    }
    if let Some(choices) = schema["enum"].as_array() {
        return choices.contains(value).then_some(()).ok_or(format!("{value} is none of {choices:?}"));
    }
    let is_of = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    let fits = match &schema["type"] {
        Value::String(kind) => is_of(kind),
        Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind.as_str().unwrap())),
        _ => true,
    };
    if !fits {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        return Err(format!("{number} is below {least}"));
    }
    for item in value.as_array().into_iter().flatten() {
        valid(document, &schema["items"], item)?;
    }
    let Some(members) = value.as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten() {
        members.get(name.as_str().unwrap()).ok_or(format!("{name} is missing"))?;
    }
    for (name, member) in members {
        match schema["properties"].get(name) {
            Some(property) => valid(document, property, member)?,
            None if schema["additionalProperties"] == false => {
                return Err(format!("{name} is not described"));
            }
            None => {}
        }
    }
    Ok(())
}

#[test]
fn a_link_lives_as_the_document_says() {
    let app = App::start(&[]);
    let created = ask(&app, "POST", "/api/links", "/api/links", r#"{"url":"https://example.com/a?b=c#d"}"#);
    let link = created.json();
    let code = link["code"].as_str().unwrap();
    assert_eq!(link["short_url"], format!("http://{}/{code}", app.address));
    let (api, short) = (format!("/api/links/{code}"), format!("/{code}"));
    let followed = ask(&app, "GET", &short, "/{code}", "");
    assert_eq!((followed.status, followed.header("location")), (302, Some("https://example.com/a?b=c#d")));
    assert_eq!(followed.header("cache-control"), None);
    assert_eq!(ask(&app, "HEAD", &short, "/{code}", "").status, 302);
    ask(&app, "HEAD", &api, "/api/links/{code}", "");
    ask(&app, "GET", &api, "/api/links/{code}", "");
    let changed = ask(&app, "PATCH", &api, "/api/links/{code}", r#"{"url":"https://example.com/b"}"#);
    assert_eq!(changed.json()["url"], "https://example.com/b");
    assert_eq!(app.get(&short).header("location"), Some("https://example.com/b"));
    assert_eq!(ask(&app, "DELETE", &api, "/api/links/{code}", "").status, 204);
    ask(&app, "GET", &short, "/{code}", "").is_problem(404);
    ask(&app, "GET", &api, "/api/links/{code}", "").is_problem(404);
    ask(&app, "PATCH", &api, "/api/links/{code}", r#"{"expires_in":5}"#).is_problem(404);
    ask(&app, "DELETE", &api, "/api/links/{code}", "").is_problem(404);
}

#[test]
fn custom_codes_are_free_once_and_again_after_deletion() {
    let app = App::start(&[]);
    let body = r#"{"url":"https://example.com/","code":"summer-sale"}"#;
    app.get("/summer-sale").is_problem(404);
    assert_eq!(ask(&app, "POST", "/api/links", "/api/links", body).status, 201);
    assert_eq!(app.get("/summer-sale").status, 302);
    ask(&app, "POST", "/api/links", "/api/links", body).is_problem(409);
    for code in ["a", "abcdefgh", "health", "a/b", "a b"] {
        let body = json!({ "url": "https://example.com/", "code": code }).to_string();
        ask(&app, "POST", "/api/links", "/api/links", &body).is_problem(422);
    }
    assert_eq!(app.ask("DELETE", "/api/links/summer-sale", &[], "").status, 204);
    app.get("/summer-sale").is_problem(404);
    assert_eq!(app.post("/api/links", body).status, 201);
    assert_eq!(app.get("/summer-sale").status, 302);
}

#[test]
fn expired_links_are_gone_and_can_be_brought_back() {
    let app = App::start(&[]);
    let code = app.create("https://example.com/");
    let (api, short) = (format!("/api/links/{code}"), format!("/{code}"));
    app.ask("PATCH", &api, &[], r#"{"expires_in":1}"#);
    while app.get(&short).status == 302 {
        std::thread::yield_now();
    }
    ask(&app, "GET", &short, "/{code}", "").is_problem(410);
    assert_eq!(app.ask("PATCH", &api, &[], r#"{"expires_in":null}"#).json()["expires_at"], Value::Null);
    assert_eq!(app.get(&short).status, 302);
    let body = r#"{"url":"https://example.com/","expires_in":0}"#;
    ask(&app, "POST", "/api/links", "/api/links", body).is_problem(422);
}

#[test]
fn a_retry_with_the_same_key_creates_one_link() {
    let app = App::start(&[]);
    let key = [("Idempotency-Key", "order-7")];
    let body = r#"{"url":"https://example.com/"}"#;
    let first = app.ask("POST", "/api/links", &key, body);
    let again = app.ask("POST", "/api/links", &key, body);
    conforms(&app, "POST", "/api/links", &again);
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json()["code"], again.json()["code"]);
    assert_eq!(
        (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
        (None, Some("true"))
    );
    let creates = |result: &str| app.metric(&format!("shortener_creates_total{{result=\"{result}\"}}"));
    assert_eq!((creates("created"), creates("replayed")), (1.0, 1.0));
    app.ask("POST", "/api/links", &key, r#"{"url":"https://example.com/other"}"#).is_problem(422);
    assert_eq!((creates("created"), creates("replayed"), creates("conflict")), (1.0, 1.0, 1.0));
    app.ask("POST", "/api/links", &[("Idempotency-Key", "")], body).is_problem(400);
}

#[test]
fn each_of_many_links_succeeds_or_fails_by_itself() {
    let app = App::start(&["--max-bulk", "3"]);
    let body = r#"[{"url":"https://example.com/1"},{"url":"javascript:1"},{"url":"https://example.com/2"}]"#;
    let reply = ask(&app, "POST", "/api/links/bulk", "/api/links/bulk", body);
    let results = reply.json()["results"].clone();
    let statuses: Vec<_> = (0..3).map(|i| results[i]["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 422, 201]);
    assert_eq!(results[2]["link"]["url"], "https://example.com/2");
    assert_eq!(app.metric("shortener_creates_total{result=\"created\"}"), 2.0);
    assert_eq!(app.metric("shortener_creates_total{result=\"rejected\"}"), 1.0);
    let four = vec![json!({"url": "https://example.com/"}); 4];
    ask(&app, "POST", "/api/links/bulk", "/api/links/bulk", &json!(four).to_string()).is_problem(413);
    ask(&app, "POST", "/api/links/bulk", "/api/links/bulk", "[{").is_problem(400);
    assert_eq!(app.metric("shortener_creates_total{result=\"rejected\"}"), 1.0 + 4.0 + 1.0);
}

#[test]
fn clicks_are_exact_wherever_they_were_counted() {
    let app = App::start(&[]);
    let code = app.create("https://example.com/");
    app.post("/api/links", r#"{"url":"https://example.com/","code":"my-code"}"#);
    let report = json!({ "clicks": [{ "code": code, "count": 40 }, { "code": "my-code", "count": 7 }] });
    let taken = ask(&app, "POST", "/api/clicks", "/api/clicks", &report.to_string());
    assert_eq!(taken.json()["accepted"], 2);
    let report = json!({ "clicks": [{ "code": "no code", "count": 1 }] });
    ask(&app, "POST", "/api/clicks", "/api/clicks", &report.to_string()).is_problem(422);
    (0..3).for_each(|_| assert_eq!(app.get(&format!("/{code}")).status, 302));
    app.ask("HEAD", &format!("/{code}"), &[], "");
    (0..2).for_each(|_| assert_eq!(app.get("/my-code").status, 302));
    let app = App::start_in(app.stop().unwrap(), &[]);
    assert_eq!(app.get(&format!("/api/links/{code}")).json()["clicks"], 43);
    assert_eq!(app.get("/api/links/my-code").json()["clicks"], 9);
}

#[test]
fn clicks_beyond_the_budget_wait_and_are_not_lost() {
    let app = App::start(&["--click-rows", "1"]);
    let codes: Vec<String> = (0..100).map(|i| app.create(&format!("https://example.com/{i}"))).collect();
    codes.iter().for_each(|code| assert_eq!(app.get(&format!("/{code}")).status, 302));
    let waiting = "shortener_clicks_waiting_links";
    while app.metric(waiting) == 0.0 {
        std::thread::yield_now();
    }
    assert!(app.metric("shortener_clicks_flushed_total") < 100.0);
    let app = App::start_in(app.stop().unwrap(), &[]);
    for code in codes {
        assert_eq!(app.get(&format!("/api/links/{code}")).json()["clicks"], 1);
    }
}

#[test]
fn pages_about_the_server_conform() {
    let app = App::start(&["--cache-entries", "100"]);
    let code = app.create("https://example.com/");
    app.get(&format!("/{code}"));
    assert_eq!(ask(&app, "GET", "/health", "/health", "").json()["status"], "ok");
    let cache = ask(&app, "GET", "/api/cache", "/api/cache", "").json();
    assert_eq!((&cache["entries"], &cache["lookups"]["process"]), (&json!(1), &json!(1)));
    ask(&app, "GET", "/metrics", "/metrics", "");
    assert_eq!(app.post("/api/links/bulk", "[]").status, 200);
    // Neither is a look-up, although the next of these is to be timed.
    for _ in 0..3 {
        let mut hostless = app.connect();
        hostless.send("GET /health HTTP/1.1\r\n\r\n");
        hostless.reply().unwrap().is_problem(400);
    }
    for what in ["redirect", "create", "bulk"] {
        let times = |of: &str| app.metric(&format!("shortener_answer_seconds_{of}{{what=\"{what}\"}}"));
        // A redirect out of the cache stands for the 63 that follow it.
        assert_eq!(times("count"), if what == "redirect" { 64.0 } else { 1.0 });
        assert!(times("sum") > 0.0);
    }
    ask(&app, "GET", "/openapi.json", "/openapi.json", "");
    assert_eq!(ask(&app, "DELETE", "/api/cache", "/api/cache", "").status, 204);
    assert_eq!(app.get("/api/cache").json()["entries"], 0);
    assert_eq!(app.get(&format!("/{code}")).status, 302);
    assert_eq!(app.metric("shortener_lookups_total{level=\"store\"}"), 1.0);
}

#[test]
fn heads_of_pages_conform() {
    let app = App::start(&[]);
    for page in ["/health", "/api/cache", "/metrics", "/openapi.json"] {
        assert_eq!(ask(&app, "HEAD", page, page, "").status, 200);
    }
    assert_eq!(ask(&app, "HEAD", "/no-such-code", "/{code}", "").status, 404);
}

#[test]
fn who_finds_no_room_is_told_so_as_described() {
    let (app, roomy) = (App::start(&["--max-connections", "1"]), App::start(&[]));
    let mut first = app.connect();
    assert_eq!(first.ask("GET", "/health", &[], "").status, 200);
    let refused = app.connect().reply().unwrap();
    for page in ["/health", "/api/cache", "/metrics", "/openapi.json"] {
        conforms(&roomy, "GET", page, refused.is_problem(503));
    }
}

/// Version 1.0.0 is what was published, and stays so.
#[test]
fn another_document_has_another_version() {
    let document: Value = serde_json::from_str(include_str!("../../src/http/openapi.json")).unwrap();
    let published = include_str!("../../../loadgen/src/contract/openapi-1.0.0.json");
    let published: Value = serde_json::from_str(published).unwrap();
    assert!(document == published || document["info"]["version"] != published["info"]["version"]);
    let takes = &document["components"]["schemas"]["ClickReport"]["properties"]["clicks"];
    assert!(takes["maxItems"].is_null(), "how many are taken is a setting");
}

#[test]
fn what_is_hot_is_in_the_cache_after_a_restart() {
    let app = App::start(&[]);
    let codes: Vec<String> = (0..20).map(|i| app.create(&format!("https://example.com/{i}"))).collect();
    let hot: Vec<Value> = codes[..5].iter().map(|code| json!({ "code": code, "count": 9 })).collect();
    app.post("/api/clicks", &json!({ "clicks": hot }).to_string());
    let app = App::start_in(app.stop().unwrap(), &["--warm-hot", "5", "--warm-random", "0"]);
    assert_eq!(app.get("/api/cache").json()["last_warming"]["links"], 5);
    codes.iter().for_each(|code| assert_eq!(app.get(&format!("/{code}")).status, 302));
    assert_eq!(app.metric("shortener_lookups_total{level=\"process\"}"), 5.0);
    assert_eq!(app.metric("shortener_lookups_total{level=\"store\"}"), 15.0);
    codes.iter().for_each(|code| assert_eq!(app.get(&format!("/{code}")).status, 302));
    assert_eq!(app.metric("shortener_lookups_total{level=\"process\"}"), 25.0);
}

#[test]
fn permanent_redirects_tell_browsers_not_to_keep_them() {
    const BRIEFLY: Option<&str> = Some("private, max-age=60");
    for (status, kept) in [(301, BRIEFLY), (302, None), (307, None), (308, BRIEFLY)] {
        let app = App::start(&["--redirect-status", &status.to_string()]);
        let code = app.create("https://example.com/");
        let followed = ask(&app, "GET", &format!("/{code}"), "/{code}", "");
        assert_eq!((followed.status, followed.header("cache-control")), (status, kept));
    }
}
