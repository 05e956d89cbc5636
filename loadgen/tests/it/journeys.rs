//! Goose users against a small shortener that counts for itself.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use proofload::drive::{Drive, DriveError, Journeys, Load, Recording, Target, drive_journeys};
use proofload::exchange::{Links, Templates, Values};
use proofload_scenarios::Popularity;
use proofload_scenarios::scenario::{HttpTemplate, Journey, Step};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A shortener in memory. It ends with the test.
#[derive(Default)]
struct Shop {
    links: Mutex<HashMap<String, String>>,
    seen: Mutex<BTreeMap<&'static str, u64>>,
    lies: AtomicBool,
    /// Answers no more, and breaks the connections that ask.
    dead: AtomicBool,
}

impl Shop {
    fn open() -> (Arc<Self>, SocketAddr, oneshot::Sender<()>) {
        let shop = Arc::new(Self::default());
        let (served, end) = (Arc::clone(&shop), oneshot::channel::<()>());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! { () = served.serve(listener) => (), _ = end.1 => () }
            });
        });
        (shop, address, end.0)
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            self.count("connection");
            let shop = Arc::clone(&self);
            let service = service_fn(move |request| {
                let shop = Arc::clone(&shop);
                async move { shop.answer(request).await }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
        if self.dead.load(Relaxed) {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        if request.uri().path() == "/cookie" {
            let known = request.headers().get("cookie").is_some_and(|cookie| cookie == "met=yes");
            self.count(if known { "known" } else { "stranger" });
            let answer = Response::builder().header("set-cookie", "met=yes; Path=/");
            return Ok(answer.body(Full::new(Bytes::new())).unwrap());
        }
        let code = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let answer = Response::builder();
        let full = |text: String| Full::new(Bytes::from(text));
        let answer = match *request.method() {
            Method::POST => {
                self.count("create");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let url = asked["url"].as_str().unwrap().to_owned();
                let mut links = self.links.lock().unwrap();
                let number = links.len() + 1_000_000;
                let code = asked["code"].as_str().map_or_else(|| format!("c{number}"), str::to_owned);
                assert_eq!(links.insert(code.clone(), url.clone()), None);
                answer.status(201).body(full(format!("{{\"code\":\"{code}\",\"url\":\"{url}\"}}")))
            }
            Method::DELETE => {
                self.count("delete");
                // The place is kept, so that no code is given twice.
                self.links.lock().unwrap().insert(code, String::new());
                answer.status(StatusCode::NO_CONTENT).body(full(String::new()))
            }
            _ => match self.links.lock().unwrap().get(&code).filter(|url| !url.is_empty()) {
                Some(url) => {
                    self.count("found");
                    let lie = if self.lies.load(Relaxed) { "/" } else { "" };
                    answer.status(302).header("location", format!("{url}{lie}")).body(full("x".repeat(5_000)))
                }
                None => {
                    self.count("missing");
                    answer.status(404).body(full("no such link".to_owned()))
                }
            },
        };
        Ok(answer.unwrap())
    }

    fn count(&self, what: &'static str) {
        *self.seen.lock().unwrap().entry(what).or_default() += 1;
    }

    fn seen(&self, what: &'static str) -> u64 {
        self.seen.lock().unwrap().get(what).copied().unwrap_or(0)
    }
}

fn journey(name: &str, weight: u32, think_time_ms: u64, steps: &[Step]) -> Journey {
    Journey { name: name.to_owned(), weight, think_time_ms, steps: steps.to_vec() }
}

/// Ten links in the shop, and the journeys of a marketer who tidies up, and a wanderer.
fn journeys(shop: &Shop) -> Journeys {
    let links: Vec<_> = (0..10).map(|n| (format!("hot{n}"), format!("https://example.com/{n}"))).collect();
    shop.links.lock().unwrap().extend(links.iter().cloned());
    let marketer =
        [Step::Create, Step::VisitOwn, Step::CreateCustom, Step::VisitOwn, Step::DeleteOwn, Step::VisitOwn];
    Journeys {
        journeys: vec![
            journey("marketer", 1, 1, &marketer),
            journey("wanderer", 2, 0, &[Step::VisitHot, Step::VisitUnknown]),
        ],
        templates: templates(&[]),
        links: Arc::new(Links::new(links.iter().map(|(code, url)| (code.as_str(), url.as_str())))),
        popularity: Some(Popularity::new(10, 1.0, 7)),
        seed: 7,
        first_sequence: 100,
    }
}

fn templates(templates: &[HttpTemplate]) -> Arc<Templates> {
    Arc::new(Templates::new("shop.example", templates, Values::built_in(7)).unwrap())
}

fn drive(address: SocketAddr, users: usize, milliseconds: u64) -> Drive {
    let load = Load::Closed { connections: users, think: Duration::ZERO };
    Drive {
        slice: Duration::from_millis(milliseconds / 4),
        timeout: Duration::from_secs(2),
        ..Drive::new(Target::at(address), load, Duration::from_millis(milliseconds))
    }
}

fn total(recording: &Recording, counter: &str) -> u64 {
    recording.total(counter) + recording.before_measurement.get(counter).copied().unwrap_or(0)
}

#[test]
fn every_request_is_counted_once_on_both_sides() {
    let (shop, address, _end) = Shop::open();
    let drive = Drive { warm_up: Duration::from_millis(200), ..drive(address, 6, 400) };
    let mut boundaries = Vec::new();
    let recording =
        drive_journeys(&drive, &journeys(&shop), &mut |boundary| boundaries.push(boundary.index)).unwrap();
    let counted = |kind: &str| total(&recording, &format!("client.ok/{kind}"));

    assert_eq!(boundaries, [0, 1, 2, 3, 4]);
    assert_eq!(recording.slices.len(), 4);
    assert_eq!(recording.samples, Vec::<String>::new());
    assert_eq!(total(&recording, "client.ok"), total(&recording, "client.sent"));
    assert!(recording.before_measurement["client.ok"] > 0, "the warm-up is counted apart");
    assert_eq!(counted("create") + counted("create-custom"), shop.seen("create"));
    assert_eq!(total(&recording, "client.created"), shop.seen("create"));
    assert_eq!(counted("visit-own") + counted("visit-hot"), shop.seen("found"));
    assert_eq!(counted("visit-unknown") + counted("visit-deleted"), shop.seen("missing"));
    assert_eq!(counted("delete-own"), shop.seen("delete"));
    assert!(counted("create-custom") > 0 && counted("visit-deleted") > 0);
    // One to see that the target is there, and one a user.
    assert_eq!(shop.seen("connection"), 1 + 6, "connections are used again");

    let stored = shop.links.lock().unwrap();
    let kept = stored.iter().filter(|(code, url)| !url.is_empty() && !code.starts_with("hot")).count();
    let deleted: Vec<(u64, String)> = recording.deleted.iter().collect();
    assert_eq!(deleted.len() as u64, counted("delete-own"));
    assert_eq!(recording.created.len(), kept + deleted.len(), "what was deleted is not expected to be there");
    for (sequence, code) in recording.created.iter().filter(|created| !deleted.contains(created)) {
        assert_eq!(stored[&code], proofload_scenarios::url_of(7, sequence));
    }
    assert_eq!(recording.next_operation, 100 + shop.seen("create"));
    let (timed, ok) = (recording.times["service"].count(), recording.total("client.ok"));
    assert!(timed <= ok && ok <= timed + 6, "all are timed but those that the warm-up sent: {timed} of {ok}");
    assert!(!recording.times.contains_key("response"), "closed runs have no response time");
}

/// Nothing in these steps knows of the shop but their templates.
#[test]
fn http_steps_are_sent_checked_and_counted_by_their_templates() {
    let (shop, address, _end) = Shop::open();
    let steps = [
        HttpTemplate {
            method: "POST".to_owned(),
            path: "/api/links".to_owned(),
            body: "{\"url\":\"https://example.com/{row}\",\"code\":\"walk-{row}\"}".to_owned(),
            status: Some(201),
            ..HttpTemplate::default()
        },
        HttpTemplate { path: "/walk-{row}".to_owned(), status: Some(302), ..HttpTemplate::default() },
        HttpTemplate {
            path: "/nobodys-{row}".to_owned(),
            status: Some(404),
            answer_contains: Some("such a link".to_owned()),
            ..HttpTemplate::default()
        },
    ];
    let walker = Journey {
        name: "walker".to_owned(),
        weight: 1,
        think_time_ms: 1,
        steps: steps.iter().cloned().map(Step::Http).collect(),
    };
    let journeys = Journeys {
        journeys: vec![journey("tourist", 1, 1, &[Step::VisitHot]), walker],
        templates: templates(&steps),
        ..journeys(&shop)
    };
    let recording = drive_journeys(&drive(address, 4, 400), &journeys, &mut |_| ()).unwrap();
    let counted = |kind: &str| total(&recording, &format!("client.ok/{kind}"));

    assert!(counted("GET /walk-{row}") > 0, "{:?}", recording.samples);
    assert_eq!(counted("POST /api/links"), shop.seen("create"), "no code is asked for twice");
    assert_eq!(counted("GET /walk-{row}") + counted("visit-hot"), shop.seen("found"));
    assert_eq!(counted("GET /nobodys-{row}"), 0);
    assert_eq!(total(&recording, "client.wrong"), shop.seen("missing"), "the body is not as it should be");
    assert!(
        recording.samples.iter().all(|it| it.contains("GET /nobodys-{row}: ")),
        "{:?}",
        recording.samples
    );
    assert_eq!(total(&recording, "client.status/404"), shop.seen("missing"));
}

#[test]
fn a_wrong_location_is_counted_wrong() {
    let (shop, address, _end) = Shop::open();
    shop.lies.store(true, Relaxed);
    let recording = drive_journeys(&drive(address, 3, 200), &journeys(&shop), &mut |_| ()).unwrap();
    assert_eq!(total(&recording, "client.wrong"), shop.seen("found"));
    assert_eq!(recording.total("client.ok/visit-hot"), 0);
    assert!(recording.total("client.wrong") > 0);
    assert!(recording.samples.iter().any(|sample| sample.contains("instead of")), "{:?}", recording.samples);
}

#[test]
fn a_target_that_dies_ends_the_drive_early() {
    let (shop, address, _end) = Shop::open();
    let drive = Drive { patience: Duration::from_millis(300), ..drive(address, 4, 60_000) };
    let journeys = journeys(&shop);
    let killer = Arc::clone(&shop);
    let recording = std::thread::scope(|scope| {
        scope.spawn(|| {
            while killer.seen("found") < 10 {
                std::thread::sleep(Duration::from_millis(1));
            }
            killer.dead.store(true, Relaxed);
        });
        drive_journeys(&drive, &journeys, &mut |_| ()).unwrap()
    });
    assert!(recording.ended_early.as_deref().is_some_and(|reason| reason.contains("died")));
    assert!(recording.total("client.error") > 0);
}

#[test]
fn the_caller_can_stop_it_and_an_interrupt_stays_the_callers() {
    let disposition = || unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGINT, std::ptr::null(), &mut action);
        action.sa_sigaction
    };
    let before = disposition();
    let (shop, address, _end) = Shop::open();
    let drive = drive(address, 2, 60_000);
    let stop = Arc::clone(&drive.stop);
    let journeys = journeys(&shop);
    let watched = Arc::clone(&shop);
    let recording = std::thread::scope(|scope| {
        scope.spawn(move || {
            while watched.seen("found") < 10 {
                std::thread::sleep(Duration::from_millis(1));
            }
            stop.store(true, Relaxed);
        });
        drive_journeys(&drive, &journeys, &mut |_| ()).unwrap()
    });
    assert_eq!(recording.ended_early.as_deref(), Some("stopped before its time"));
    assert_eq!(disposition(), before);
}

/// More users than Goose launches at once: the stop comes while they are being launched.
#[test]
fn it_can_be_stopped_while_users_are_launched() {
    let (shop, address, _end) = Shop::open();
    let drive = drive(address, 500, 60_000);
    drive.stop.store(true, Relaxed);
    let began = std::time::Instant::now();
    let recording = drive_journeys(&drive, &journeys(&shop), &mut |_| ()).unwrap();
    assert_eq!(recording.ended_early.as_deref(), Some("stopped before its time"));
    assert_eq!(recording.total("client.sent"), 0);
    assert!(began.elapsed() < Duration::from_secs(50), "as long as launching may take, or the measurement");
}

/// A user has cookies of its own, as in a browser.
#[test]
fn a_user_keeps_its_cookies() {
    let (shop, address, _end) = Shop::open();
    let visit = HttpTemplate { path: "/cookie".to_owned(), status: Some(200), ..HttpTemplate::default() };
    let journeys = Journeys {
        journeys: vec![journey("wanderer", 1, 1, &[Step::Http(visit.clone())])],
        templates: templates(&[visit]),
        ..journeys(&shop)
    };
    let recording = drive_journeys(&drive(address, 3, 400), &journeys, &mut |_| ()).unwrap();
    assert!(recording.total("client.ok") > 3, "{:?}", recording.samples);
    assert_eq!(shop.seen("stranger"), 3, "each of three users was new once");
    assert!(shop.seen("known") > 0);
}

#[test]
fn what_cannot_be_driven_is_refused_at_once() {
    let (shop, address, _end) = Shop::open();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let good = journeys(&shop);
    let refused =
        |drive: Drive, journeys: &Journeys| drive_journeys(&drive, journeys, &mut |_| ()).unwrap_err();

    assert!(matches!(refused(drive(nobody, 1, 100), &good), DriveError::Unreachable { .. }));
    let no_links = Journeys { popularity: None, ..good.clone() };
    assert!(refused(drive(address, 1, 100), &no_links).to_string().contains("`wanderer` visits hot links"));
    let nothing = Journeys { journeys: Vec::new(), ..good.clone() };
    assert!(matches!(refused(drive(address, 1, 100), &nothing), DriveError::Misconfigured(_)));
    assert!(matches!(refused(drive(address, 1_000_000, 100), &good), DriveError::Misconfigured(_)));
}
