//! A planted server: it hands everything on to an honest one, but for one thing, which a check must catch.
//!
//! One of its tests is the server's process.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use proofload::services::Child;

/// The arguments that the planted server was started with, and what it does wrong.
const ARGUMENTS: &str = "PROOFLOAD_TEST_PLANTED";
const FAULT: &str = "PROOFLOAD_TEST_FAULT";

/// Every so many creates, one goes wrong.
const EVERY: u64 = 200;

/// What the planted server does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each test plants what it is about")]
pub enum Fault {
    /// Tells a tenth of its statements.
    TellsTenth,
    /// Tells misses as hits, and not the statements that read them.
    TellsHits,
    /// Warms whenever it is looked at, or says so.
    WarmsForEver,
    /// Refuses creates while keygen is away.
    NeedsKeygen,
    /// Takes a while over each create while keygen is away.
    WaitsForKeygen,
    /// Stands still for most of a second when keygen goes away.
    StandsStill,
    /// Tells of no collision.
    HidesCollisions,
    /// Has its database acknowledge what is not on disk yet.
    CommitsLater,
    /// Hands out the code of its first create again and again.
    IssuesTwice,
    /// Acknowledges links under codes that it has not stored.
    Forgets,
    /// Is always well.
    AlwaysWell,
    /// Calls a field by another name than its published document.
    RenamesClicks,
}

const ALL: [Fault; 12] = [
    Fault::TellsTenth,
    Fault::TellsHits,
    Fault::WarmsForEver,
    Fault::NeedsKeygen,
    Fault::WaitsForKeygen,
    Fault::StandsStill,
    Fault::HidesCollisions,
    Fault::CommitsLater,
    Fault::IssuesTwice,
    Fault::Forgets,
    Fault::AlwaysWell,
    Fault::RenamesClicks,
];

/// A program in the shape of a proofload, for `--server`: it is this test, started anew.
pub fn plant(directory: &Path, fault: Fault) -> PathBuf {
    let path = directory.join(format!("{fault:?}.sh"));
    let test = std::env::current_exe().unwrap();
    let script = format!(
        "#!/bin/sh\n{FAULT}={fault:?} {ARGUMENTS}=\"$*\" exec '{}' --exact planted::serve --nocapture\n",
        test.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// No test where nobody asks for it: else the planted server.
#[test]
fn serve() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let told = std::env::var(FAULT).expect("it is told what to do wrong");
    let fault = ALL.into_iter().find(|fault| format!("{fault:?}") == told).expect("a known fault");
    let mut words: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    let after = |flag: &str, words: &[String]| Some(words.iter().position(|word| word == flag)? + 1);
    let place = after("--listen", &words).expect("it is told where to listen");
    let address = std::mem::replace(&mut words[place], "127.0.0.1:0".to_owned());
    let keygen = after("--keygen-url", &words).map(|place| words[place].clone());
    if let Some(place) = after("--database-url", &words).filter(|_| fault == Fault::CommitsLater) {
        let separator = if words[place].contains('?') { '&' } else { '?' };
        words[place] += &format!("{separator}options[synchronous_commit]=off");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofload"));
    command.args(&words);
    let (_honest, behind) =
        Child::spawn(command, &[], |line| line.strip_prefix("listening on http://").map(str::to_owned))
            .unwrap();
    let planted = Arc::new(Planted {
        fault,
        behind,
        keygen: keygen.map(|url| url.trim_start_matches("http://").to_owned()),
        creates: AtomicU64::new(0),
        slowest_ms: AtomicU64::new(0),
        first_code: Mutex::default(),
        well: Mutex::default(),
        looks: AtomicU64::new(0),
        stood_still: OnceLock::new(),
    });
    let listener = TcpListener::bind(&address).unwrap();
    // A line of its own, whatever the test's harness has begun.
    println!("\nlistening on http://{address}");
    for client in listener.incoming().flatten() {
        let planted = planted.clone();
        thread::spawn(move || planted.serve(&client));
    }
}

struct Planted {
    fault: Fault,
    behind: String,
    keygen: Option<String>,
    creates: AtomicU64,
    /// How long the honest server took at most over a create, while keygen was there.
    slowest_ms: AtomicU64,
    first_code: Mutex<Option<Vec<u8>>>,
    well: Mutex<Option<Message>>,
    looks: AtomicU64,
    stood_still: OnceLock<Instant>,
}

/// A request or an answer: its head, ended by an empty line, and its body.
#[derive(Clone)]
struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    /// None at the end of the connection. `bodiless` answers have a length and no body.
    fn read(from: &mut impl BufRead, bodiless: bool) -> Option<Self> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let mut body = vec![0; if bodiless { 0 } else { length.unwrap_or(0) }];
        from.read_exact(&mut body).ok()?;
        Some(Self { head, body })
    }

    fn is(&self, start: &str) -> bool {
        self.head.starts_with(start)
    }

    fn write(&self, to: &mut impl Write) -> Option<()> {
        to.write_all(&[self.head.as_bytes(), &self.body].concat()).ok()
    }

    /// The same answer with another body.
    fn with(&self, body: Vec<u8>) -> Self {
        let kept = self.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-length"));
        let kept: String = kept.filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
        Self { head: format!("{kept}content-length: {}\r\n\r\n", body.len()), body }
    }
}

impl Planted {
    fn serve(&self, client: &TcpStream) -> Option<()> {
        let server = &TcpStream::connect(&self.behind).ok()?;
        client.set_nodelay(true).ok()?;
        server.set_nodelay(true).ok()?;
        // Two descriptors a client: clones would make them four, and many clients then take all that a process may have.
        let (mut requests, mut answers) = (BufReader::new(client), BufReader::new(server));
        let (mut client, mut server) = (client, server);
        while let Some(request) = Message::read(&mut requests, false) {
            if self.fault == Fault::NeedsKeygen && request.is("POST /api/links ") && self.lacks_keygen() {
                Message {
                    head: "HTTP/1.1 503 No ids\r\ncontent-length: 0\r\n\r\n".to_owned(),
                    body: Vec::new(),
                }
                .write(&mut client)?;
                continue;
            }
            let creates = request.is("POST /api/links ");
            let lacks_keygen = match self.fault {
                Fault::WaitsForKeygen if creates => self.lacks_keygen(),
                _ => false,
            };
            if lacks_keygen {
                // Longer than creates took before, on a disk however slow. Not all for as long, or clients that wait would come in
                // waves, with nothing to be timed between them.
                let (nth, slowest) = (self.creates.fetch_add(1, Relaxed), self.slowest_ms.load(Relaxed));
                thread::sleep(Duration::from_millis((2 * slowest).clamp(150, 600) + nth * 37 % 150));
            }
            if self.fault == Fault::StandsStill && (self.stood_still.get().is_some() || self.lacks_keygen()) {
                // Longer, and fewer slices would hold an answer than the check needs.
                const STILL: Duration = Duration::from_millis(700);
                thread::sleep(STILL.saturating_sub(self.stood_still.get_or_init(Instant::now).elapsed()));
            }
            let began = Instant::now();
            request.write(&mut server)?;
            let answer = Message::read(&mut answers, request.is("HEAD "))?;
            if creates && !lacks_keygen {
                self.slowest_ms.fetch_max(began.elapsed().as_millis() as u64, Relaxed);
            }
            self.bent(&request, answer).write(&mut client)?;
        }
        Some(())
    }

    fn lacks_keygen(&self) -> bool {
        let refused = |keygen| {
            TcpStream::connect(keygen).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
        };
        self.keygen.as_ref().is_some_and(refused)
    }

    fn bent(&self, request: &Message, answer: Message) -> Message {
        match self.fault {
            Fault::TellsTenth | Fault::TellsHits | Fault::WarmsForEver | Fault::HidesCollisions
                if request.is("GET /metrics") =>
            {
                let text = String::from_utf8_lossy(&answer.body);
                answer.with(self.bent_metrics(&text).into_bytes())
            }
            Fault::IssuesTwice | Fault::Forgets
                if request.is("POST /api/links ") && answer.is("HTTP/1.1 201") =>
            {
                self.bent_create(answer)
            }
            Fault::AlwaysWell if request.is("GET /health") => {
                self.well.lock().unwrap().get_or_insert(answer).clone()
            }
            Fault::RenamesClicks if request.is("GET /api/links/") => {
                let text = String::from_utf8_lossy(&answer.body).replace("\"clicks\"", "\"klicks\"");
                answer.with(text.into_bytes())
            }
            _ => answer,
        }
    }

    fn bent_metrics(&self, text: &str) -> String {
        let look = self.looks.fetch_add(1, Relaxed);
        let misses: u64 = (values(text, "shortener_lookups_total{level=\"store\"}").sum::<u64>()
            + values(text, "shortener_lookups_total{level=\"waiter\"}").sum::<u64>())
            * 9
            / 10;
        let lines = text.lines().map(|line| match line.rsplit_once(' ') {
            Some((series, value)) if !line.starts_with('#') => {
                let value: f64 = value.parse().expect("a value");
                let value = match self.fault {
                    Fault::TellsTenth if series.starts_with("shortener_statements_total") => {
                        (value / 10.0).floor()
                    }
                    Fault::TellsHits if series.contains("{level=\"process\"}") => value + misses as f64,
                    Fault::TellsHits
                        if ["\"store\"}", "\"waiter\"}", "\"select\"}"]
                            .iter()
                            .any(|end| series.ends_with(end)) =>
                    {
                        (value / 10.0).floor()
                    }
                    Fault::HidesCollisions
                        if ["shortener_unique_violations_total", "shortener_create_retries_total"]
                            .iter()
                            .any(|name| series.starts_with(name)) =>
                    {
                        0.0
                    }
                    Fault::WarmsForEver if series == "shortener_warmings_total" => value + look as f64,
                    _ => value,
                };
                format!("{series} {value}\n")
            }
            _ => format!("{line}\n"),
        });
        lines.collect()
    }

    fn bent_create(&self, answer: Message) -> Message {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let Some(code) = text.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next()) else {
            return answer;
        };
        let first = self.first_code.lock().unwrap().get_or_insert_with(|| code.as_bytes().to_vec()).clone();
        if self.creates.fetch_add(1, Relaxed) % EVERY != EVERY - 1 {
            return answer;
        }
        let other = match self.fault {
            Fault::IssuesTwice => String::from_utf8(first).expect("codes are text"),
            // No code that anybody has: another one of the same form would be a stranger's.
            _ => format!("{}0", &code[..code.len() - 1]).replace(code, &code.to_uppercase()),
        };
        answer.with(text.replace(code, &other).into_bytes())
    }
}

fn values<'a>(text: &'a str, series: &'a str) -> impl Iterator<Item = u64> + 'a {
    text.lines().filter_map(move |line| line.strip_prefix(series)?.trim().parse().ok())
}
