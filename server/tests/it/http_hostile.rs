//! Rude clients are refused in a fitting way, at no cost to the others.

use crate::app::App;

const LINK: &str = r#"{"url":"https://example.com/"}"#;

#[test]
fn urls_that_must_not_be_shortened() {
    let app = App::start(&["--public-url", "https://sho.rt"]);
    let long = format!("https://example.com/{}", "x".repeat(3_000));
    let ourselves = format!("http://localhost:{}/abcdefgh", app.address.port());
    for url in [
        "javascript:alert(1)",
        "data:text/html,x",
        "/relative",
        "",
        "https://example.com/\r\nSet-Cookie: a=b",
        "https://example.com/\0",
        "https://sho.rt/abcdefgh",
        &ourselves,
        "https://",
        &long,
    ] {
        let body = serde_json::json!({ "url": url }).to_string();
        app.post("/api/links", &body).is_problem(422);
    }
    assert_eq!(app.metric("shortener_creates_total{result=\"rejected\"}"), 10.0);
    assert_eq!(app.metric("shortener_statements_total{kind=\"insert\"}"), 0.0);
}

#[test]
fn bodies_that_are_not_what_was_asked_for() {
    let app = App::start(&["--max-body", "4K"]);
    for body in
        ["", "{", "[]", "null", "{}", r#"{"url":7}"#, r#"{"url":"https://example.com/","colour":"red"}"#]
    {
        app.post("/api/links", body).is_problem(400);
    }
    app.post("/api/links", &"x".repeat(5_000)).is_problem(413);
    let mut client = app.connect();
    client.send("POST /api/links HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..10 {
        client.send(&format!("400\r\n{}\r\n", "x".repeat(1_024)));
    }
    client.send("0\r\n\r\n");
    client.reply().unwrap().is_problem(413);
    assert!(client.reply().is_none(), "the connection is of no more use");
}

#[test]
fn methods_and_paths_that_are_not_there() {
    let app = App::start(&[]);
    assert_eq!(app.ask("PUT", "/api/links", &[], "").is_problem(405).header("allow"), Some("POST"));
    app.ask("POST", "/abcdefgh", &[], "").is_problem(405);
    app.ask("DELETE", "/health", &[], "").is_problem(405);
    for path in ["/", "/a/b", "/api", "/api/links/", "/favicon.ico", "/%00", "/..", "/abcdefgh/"] {
        app.get(path).is_problem(404);
    }
}

#[test]
fn the_host_header_decides_nothing() {
    let app = App::start(&["--public-url", "https://sho.rt/s"]);
    let mut client = app.connect();
    let length = LINK.len();
    client.send(&format!(
        "POST /api/links HTTP/1.1\r\nHost: evil.example\r\nContent-Length: {length}\r\n\r\n{LINK}"
    ));
    let link = client.reply().unwrap().json();
    assert!(link["short_url"].as_str().unwrap().starts_with("https://sho.rt/s/"), "{link}");
}

/// Sends one head, and expects to be told what is wrong with it, and nothing after that.
fn refused(app: &App, head: &str, status: u16) {
    let mut client = app.connect();
    client.send(head);
    let reply = client.reply().unwrap_or_else(|| panic!("no answer, where {status} was due"));
    assert_eq!(reply.is_problem(status).header("connection"), Some("close"));
    assert!(client.reply().is_none(), "the connection is of no more use");
}

#[test]
fn heads_that_never_end_or_are_no_http() {
    let app = App::start(&["--head-timeout-ms", "100", "--max-headers", "20"]);
    refused(&app, "GET /health HTTP/1.1\r\nHos", 408);
    refused(&app, &format!("GET /health HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(30)), 431);
    refused(&app, &format!("GET /health HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(40_000)), 431);
    refused(&app, &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "u".repeat(70_000)), 414);
    refused(&app, "\x16\x03\x01 this is no HTTP\r\n\r\n", 400);
    refused(&app, "GET /health HTTP/9.9\r\nHost: a\r\n\r\n", 400);
    assert_eq!(app.get("/health").status, 200);
}

#[test]
fn heads_that_contradict_themselves() {
    let app = App::start(&[]);
    refused(&app, "POST /api/links HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n", 400);
    refused(
        &app,
        "POST /api/links HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        400,
    );
    refused(&app, "GET /health HTTP/1.1\r\n\r\n", 400);
    refused(&app, "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
    // What follows in the chunks' place is another request to whoever goes by the length.
    let code = app.create("https://example.com/");
    for (path, body) in [("/api/links", "2\r\n{}\r\n0\r\n\r\n"), (&*format!("/{code}"), "0\r\n\r\n")] {
        let mut two = app.connect();
        let method = if path.starts_with("/api") { "POST" } else { "GET" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        two.send(&format!("{head}{body}GET /health HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(two.reply().unwrap().header("connection"), Some("close"));
        assert!(two.reply().is_none(), "nothing behind it is answered");
    }
    let mut old = app.connect();
    old.send("GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(old.reply().unwrap().status, 200, "HTTP/1.0 knows no Host");
}

#[test]
fn what_came_before_a_bad_head_is_answered() {
    let app = App::start(&[]);
    let code = app.create("https://example.com/");
    for good in ["/health", &format!("/{code}")] {
        for bad in ["no HTTP\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n"] {
            let mut client = app.connect();
            client.send(&format!("GET {good} HTTP/1.1\r\nHost: a\r\n\r\n{bad}"));
            assert!(client.reply().is_some_and(|reply| reply.status < 400), "{good} then {bad}");
            client.reply().unwrap().is_problem(400);
            assert!(client.reply().is_none());
        }
    }
}

#[test]
fn bodies_that_never_come() {
    let app = App::start(&["--body-timeout-ms", "100", "--idle-timeout-ms", "60000"]);
    let mut client = app.connect();
    client.send("POST /api/links HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{\"url\":");
    client.reply().unwrap().is_problem(408);
    assert!(client.reply().is_none());
    let mut liar = app.connect();
    liar.send("POST /api/links HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n{}");
    liar.reply().unwrap().is_problem(413);
}

#[test]
fn who_asks_before_sending_a_body_is_not_invited_to_send_what_is_refused() {
    let app = App::start(&["--api-key", "secret"]);
    let length = LINK.len();
    let ask = |request: &str, length: usize, key: &str| {
        let mut client = app.connect();
        client.send(&format!(
            "{request} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\
             Authorization: Bearer {key}\r\n\r\n"
        ));
        client
    };
    for (request, length, key, status) in [
        ("POST /api/links", length, "wrong", 401),
        ("POST /api/links/bulk", length, "wrong", 401),
        ("PATCH /api/links/abcdefgh", length, "wrong", 401),
        ("POST /api/links", 300_000_000, "secret", 413),
        ("PUT /health", length, "secret", 405),
        ("PUT /abcdefgh", length, "secret", 405),
    ] {
        let mut client = ask(request, length, key);
        let first = client.line().expect("an answer");
        assert!(first.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {first}");
        let head: Vec<_> = std::iter::from_fn(|| client.line().filter(|line| !line.is_empty())).collect();
        assert!(head.contains(&"connection: close".to_owned()), "{head:?}");
    }
    let mut client = ask("POST /api/links", length, "secret");
    assert_eq!(client.line().as_deref(), Some("HTTP/1.1 100 Continue"));
    assert_eq!(client.line().as_deref(), Some(""));
    client.send(LINK);
    assert_eq!(client.reply().unwrap().status, 201);
}

#[test]
fn bodies_on_their_way_share_their_memory() {
    let flags = ["--max-body", "1M", "--max-body-memory", "1M", "--body-timeout-ms", "60000"];
    let app = App::start(&flags);
    let begun = || {
        let mut client = app.connect();
        client.send("POST /api/links/bulk HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        client.send(&" ".repeat(900_000));
        client
    };
    let hoarder = begun();
    while app.metric("shortener_body_bytes") < 900_000.0 {}
    for _ in 0..3 {
        assert_eq!(begun().reply().unwrap().is_problem(503).header("retry-after"), Some("1"));
    }
    assert!(app.metric("shortener_body_bytes") <= f64::from(1 << 20));
    assert_eq!(app.create("https://example.com/").len(), 8, "what comes with its head takes no room");
    drop(hoarder);
    while app.metric("shortener_body_bytes") > 0.0 {}
    let mut whole = begun();
    whole.send(&" ".repeat(100_000));
    whole.reply().unwrap().is_problem(400);
}

#[test]
fn heads_and_bodies_that_trickle() {
    let app =
        App::start(&["--head-timeout-ms", "100", "--body-timeout-ms", "100", "--idle-timeout-ms", "60000"]);
    let mut head = app.connect();
    head.send("GET /health HTTP/1.1\r\na: ");
    let mut body = app.connect();
    body.send("POST /api/links HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    // Each byte comes in good time; it is the whole that takes too long.
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        head.send("b");
        body.send(" ");
    }
    for mut client in [head, body] {
        client.reply().unwrap().is_problem(408);
        assert!(client.reply().is_none());
    }
}

#[test]
fn silent_connections_end_and_busy_ones_do_not() {
    let app = App::start(&["--idle-timeout-ms", "200"]);
    let mut silent: Vec<_> = (0..500).map(|_| app.connect()).collect();
    let code = app.create("https://example.com/");
    assert_eq!(app.get(&format!("/{code}")).status, 302);
    silent.iter_mut().for_each(|client| assert!(client.reply().is_none()));
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let app = App::start(&["--max-connections", "2"]);
    let mut first = app.connect();
    let mut second = app.connect();
    assert_eq!(first.ask("GET", "/health", &[], "").status, 200);
    assert_eq!(second.ask("GET", "/health", &[], "").status, 200);
    let refused = app.connect().reply();
    refused.expect("an answer").is_problem(503);
    assert_eq!(first.ask("GET", "/health", &[], "").status, 200);
    drop(second);
    loop {
        let mut next = app.connect();
        next.send("GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        if next.reply().is_some_and(|reply| reply.status == 200) {
            break;
        }
    }
}

#[test]
fn writes_need_the_key_where_there_is_one() {
    let app = App::start(&["--api-key", "secret"]);
    app.post("/api/links", LINK).is_problem(401);
    app.ask("POST", "/api/links", &[("Authorization", "Bearer wrong")], LINK).is_problem(401);
    app.ask("DELETE", "/api/links/abcdefgh", &[], "").is_problem(401);
    app.ask("DELETE", "/api/cache", &[], "").is_problem(401);
    app.post("/api/clicks", r#"{"clicks":[]}"#).is_problem(401);
    let created = app.ask("POST", "/api/links", &[("Authorization", "Bearer secret")], LINK);
    assert_eq!(created.status, 201);
    assert_eq!(app.get(&format!("/{}", created.json()["code"].as_str().unwrap())).status, 302);
}

#[test]
fn who_writes_too_often_has_to_wait() {
    let app = App::start(&["--rate-limit", "1"]);
    assert_eq!(app.post("/api/links", LINK).status, 201);
    assert_eq!(app.post("/api/links", LINK).status, 201);
    let refused = (0..3).map(|_| app.post("/api/links", LINK)).find(|reply| reply.status == 429);
    assert!(refused.expect("a limit").header("retry-after").is_some());
    assert_eq!(app.get("/health").status, 200);
}

#[test]
fn clients_behind_a_proxy_of_ours_are_told_apart() {
    let app =
        App::start(&["--rate-limit", "1", "--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "127.0.0.1"]);
    let from = |line: &str| app.ask("POST", "/api/links", &[("X-Forwarded-For", line)], LINK).status;
    let refused = |line: &str| (0..3).any(|_| from(line) == 429);
    assert!(refused("203.0.113.1"), "a limit");
    assert_eq!(from("203.0.113.2"), 201);
    // What the client itself says, before what our proxies say of it, gets it no bucket of its own.
    assert!((0..9).any(|i| from(&format!("198.51.100.{i}, 203.0.113.2, 10.0.0.1")) == 429));
    assert!(refused("not an address"), "the proxy itself has a limit");
}

#[test]
fn strangers_do_not_say_who_they_are() {
    let app = App::start(&["--rate-limit", "1", "--trusted-proxy", "10.0.0.0/8"]);
    let from = |i: u8| app.ask("POST", "/api/links", &[("X-Forwarded-For", &format!("203.0.113.{i}"))], LINK);
    assert!((0..5).any(|i| from(i).status == 429));
}

#[test]
fn reports_and_what_is_remembered_are_bounded() {
    let app = App::start(&["--max-click-items", "1", "--max-unknown", "0"]);
    let two = r#"{"clicks":[{"code":"a-b","count":1},{"code":"a-c","count":1}]}"#;
    app.post("/api/clicks", two).is_problem(413);
    for _ in 0..3 {
        app.get("/no-such-code").is_problem(404);
    }
    assert_eq!(app.metric("shortener_lookups_total{level=\"store\"}"), 3.0);
}

#[test]
fn guessing_codes_does_not_reach_the_links() {
    let app = App::start(&[]);
    app.create("https://example.com/");
    for guess in ["00000000", "zzzzzzzz", "abcdefgh", "A1b2C3d4"] {
        app.get(&format!("/{guess}")).is_problem(404);
    }
    assert_eq!(app.metric("shortener_lookups_total{level=\"unassigned\"}"), 4.0);
    assert_eq!(app.metric("shortener_statements_total{kind=\"select\"}"), 0.0);
    for _ in 0..3 {
        app.get("/no-such-code").is_problem(404);
    }
    assert!(app.metric("shortener_statements_total{kind=\"select\"}") < 3.0);
}
