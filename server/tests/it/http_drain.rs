//! A server that is told to end finishes what it began.

use std::time::Duration;

use crate::app::App;

#[test]
fn answers_under_way_are_finished_and_idle_connections_closed() {
    let mut app = App::start(&["--drain-grace-ms", "200"]);
    let code = app.create("https://example.com/");
    let mut idle = app.connect();
    assert_eq!(idle.ask("GET", "/health", &[], "").status, 200);
    let mut waiting = app.connect();
    assert_eq!(waiting.ask("GET", "/health", &[], "").status, 200);
    let mut slow = app.connect();
    let body = r#"{"url":"https://example.com/slow"}"#;
    slow.send(&format!("POST /api/links HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    app.begin_to_stop();
    // A request that comes during the drain is answered, and its connection ends.
    loop {
        let mut probe = app.connect();
        let reply = probe.ask("GET", &format!("/{code}"), &[], "");
        assert_eq!(reply.status, 302);
        if reply.header("connection") == Some("close") {
            assert!(probe.reply().is_none());
            break;
        }
    }
    assert_eq!(idle.ask("GET", "/health", &[], "").json()["status"], "draining");
    assert!(waiting.reply().is_none(), "an idle connection is closed after the grace");
    slow.send(body);
    let reply = slow.reply().expect("an answer under way is finished");
    assert_eq!((reply.status, reply.header("connection")), (201, Some("close")));
    let again = App::start_in(app.stop().unwrap(), &[]);
    let created = reply.json()["code"].as_str().unwrap().to_owned();
    assert_eq!(again.get(&format!("/{created}")).status, 302);
}

#[test]
fn who_connected_before_the_listener_closed_is_answered() {
    // The machine may let a client wait for longer than the server waits for it: not each time.
    assert!((0..5).any(|_| {
        let mut app = App::start(&["--drain-grace-ms", "100"]);
        let mut silent = app.connect();
        app.get("/health");
        app.begin_to_stop();
        // One after the other: a full backlog lets a client wait for a second.
        while app.try_connect().is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(20));
        let reply = silent.try_ask("GET", "/health", &[], "");
        reply.is_some_and(|reply| reply.header("connection") == Some("close"))
    }));
}

#[test]
fn a_client_that_never_finishes_does_not_hold_up_the_end() {
    let app = App::start(&["--drain-grace-ms", "10", "--drain-timeout-ms", "100"]);
    let mut stuck = app.connect();
    stuck.send("POST /api/links HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    assert_eq!(app.get("/health").status, 200);
    app.stop();
    assert!(stuck.reply().is_none());
}

#[test]
fn no_request_is_cut_under_load() {
    let mut app = App::start(&[]);
    let code = app.create("https://example.com/");
    let path = format!("/{code}");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| app.connect()).collect();
        for mut client in clients {
            let path = &path;
            scope.spawn(move || {
                loop {
                    let reply = client.ask("GET", path, &[], "");
                    assert_eq!(reply.status, 302);
                    if reply.header("connection") == Some("close") {
                        break;
                    }
                }
            });
        }
        app.begin_to_stop();
    });
    app.stop();
}
