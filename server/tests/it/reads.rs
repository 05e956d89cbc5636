//! Reads and changes that wait for the database are bounded, whether or not their clients are still there.

use crate::app::{App, Client};
use crate::support::Postgres;
use proofload_server::codes::{CODES_PER_SLOT, Codec, Key, PUBLIC_DEFAULT_KEY, Slot, join};

/// Asks until it is so; that it never is is for the test runner to notice.
fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

/// A code that nobody was given, and that no mark was read for yet.
fn guess(n: u64) -> String {
    Codec::new(&PUBLIC_DEFAULT_KEY).text(&Key::Generated(join(n, Slot(9))))
}

fn lookups(app: &App, level: &str) -> f64 {
    app.metric(&format!("shortener_lookups_total{{level=\"{level}\"}}"))
}

/// Asks, waits until that is one of so many that wait, and hangs up.
fn ask_and_hang_up(app: &App, mut client: Client, request: &str, body: &str, waiting: f64) {
    let length = body.len();
    client.send(&format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"));
    until(|| app.metric("shortener_reads_waiting") == waiting);
    client.hang_up();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_keeps_a_place_and_who_finds_none_is_told_so() {
    let postgres = Postgres::start().await;
    // However slow the machine is, nothing is given up.
    let flags = ["--max-reads", "5", "--store-timeout-ms", "3600000", "--warm", "none"];
    let app = App::start_on(&postgres.database("reads").await, &flags);
    let cached = format!("/{}", app.create("https://example.com/"));
    postgres.freeze();
    let link = format!("/api/links/{}", guess(0));
    let change = r#"{"url":"https://example.com/changed"}"#;
    let clicks = format!(r#"{{"clicks":[{{"code":"{}","count":1}}]}}"#, guess(0));
    let each = [
        (format!("GET /{}", guess(1)), ""),
        (format!("GET {link}"), ""),
        (format!("PATCH {link}"), change),
        (format!("DELETE {link}"), ""),
        ("POST /api/clicks".to_owned(), &clicks),
    ];
    for (n, (request, body)) in each.iter().enumerate() {
        ask_and_hang_up(&app, app.connect(), request, body, n as f64 + 1.0);
    }
    for (method, path, body) in [
        ("GET", &format!("/{}", guess(2)), ""),
        ("GET", &link, ""),
        ("PATCH", &link, change),
        ("DELETE", &link, ""),
        ("POST", &"/api/clicks".to_owned(), &clicks),
    ] {
        let reply = app.ask(method, path, &[], body);
        assert!(reply.is_problem(503).header("retry-after").is_some(), "{method} {path}");
        assert!(reply.body.contains("too many"), "{method} {path}: {reply:?}");
    }
    assert_eq!(app.metric("shortener_reads_refused_total"), 5.0);
    assert_eq!(
        (lookups(&app, "failed"), app.metric("shortener_redirects_total{result=\"failed\"}")),
        (1.0, 1.0)
    );
    assert_eq!(app.get(&cached).status, 302, "what is cached needs no place");
    app.get("/health").json()["dependencies"][0]["up"].as_bool().filter(|up| !up).expect("health is told");
    postgres.thaw();
    until(|| app.metric("shortener_reads_waiting") == 0.0);
    assert_eq!(app.get(&format!("/{}", guess(3))).status, 404);
    assert_eq!((lookups(&app, "failed"), lookups(&app, "unassigned")), (1.0, 2.0));
}

#[test]
fn links_that_cannot_exist_are_looked_for_nowhere() {
    let app = App::start(&["--warm", "none"]);
    let code = app.create("https://example.com/");
    let selects = || app.metric("shortener_statements_total{kind=\"select\"}");
    let before = selects();
    for code in [guess(0), guess(CODES_PER_SLOT - 1)] {
        app.get(&format!("/api/links/{code}")).is_problem(404);
    }
    assert_eq!(selects(), before);
    assert_eq!(app.get(&format!("/api/links/{code}")).json()["url"], "https://example.com/");
    assert_eq!(selects(), before + 1.0);
}
