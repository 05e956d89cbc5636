//! A server of the test's own, and a client that can be as rude as it likes.

use clap::Parser;
use proofload_server::config::ServeArgs;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{LazyLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// No answer takes this long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    serve: ServeArgs,
}

/// A server on a free port and on SQLite in a directory of its own.
pub struct App {
    pub address: SocketAddr,
    directory: Option<TempDir>,
    shutdown: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

impl App {
    pub fn start(flags: &[&str]) -> App {
        App::start_in(tempfile::tempdir().expect("a temporary directory"), flags)
    }

    /// Starts on what an earlier server left in this directory.
    pub fn start_in(directory: TempDir, flags: &[&str]) -> App {
        let mut app = App::start_on(&sqlite(directory.path()), flags);
        app.directory = Some(directory);
        app
    }

    pub fn start_on(database_url: &str, flags: &[&str]) -> App {
        let fixed = ["serve", "--database-url", database_url, "--threads", "2"];
        let config = Line::parse_from([&fixed, flags].concat()).serve.check().expect("good settings");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (shutdown, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let running = std::thread::spawn(move || {
            let stopped = async { drop(stopped.await) };
            proofload_server::serve::run(config, listener, stopped, |address| ready.send(address).unwrap())
        });
        let address = is_ready.recv_timeout(PATIENCE).expect("the server starts");
        App { address, directory: None, shutdown: Some(shutdown), running: Some(running) }
    }

    /// Tells the server to drain, and does not wait.
    pub fn begin_to_stop(&mut self) {
        drop(self.shutdown.take());
    }

    /// Drains the server and gives its directory back.
    pub fn stop(mut self) -> Option<TempDir> {
        self.begin_to_stop();
        self.running.take().unwrap().join().expect("no panic").expect("a clean end");
        self.directory.take()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], "")
    }

    pub fn post(&self, path: &str, body: &str) -> Reply {
        self.ask("POST", path, &[], body)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.connect().ask(method, path, headers, body)
    }

    pub fn connect(&self) -> Client {
        self.try_connect().expect("the server accepts")
    }

    pub fn try_connect(&self) -> std::io::Result<Client> {
        Client::try_new(self.address)
    }

    /// Creates a link and returns its code.
    pub fn create(&self, url: &str) -> String {
        let reply = self.post("/api/links", &serde_json::json!({ "url": url }).to_string());
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["code"].as_str().unwrap().to_owned()
    }

    /// A line of /metrics.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.begin_to_stop();
        if let Some(running) = self.running.take() {
            drop(running.join());
        }
    }
}

fn sqlite(directory: &Path) -> String {
    format!("sqlite:{}", directory.join("links.db").display())
}

/// A connection that sends what it is told to.
pub struct Client {
    stream: BufReader<TcpStream>,
    /// Method and path of the last request that began.
    asked: (String, String),
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        Client::try_new(address).expect("the server accepts")
    }

    pub fn try_new(address: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // What is said to bytes that are no request may be said to any request.
        Ok(Client { stream: BufReader::new(stream), asked: ("GET".into(), "/health".into()) })
    }

    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.try_ask(method, path, headers, body).expect("an answer")
    }

    /// Asks, and finds an answer or the connection closed.
    pub fn try_ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Reply> {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.send(&format!("{head}\r\n{body}"));
        self.reply_to(method)
    }

    /// Sends bytes as they are. That the server may have hung up is for the answer to tell.
    pub fn send(&mut self, text: &str) {
        if let [method, path, "HTTP/1.1"] =
            text.lines().next().unwrap_or("").split(' ').collect::<Vec<_>>()[..]
        {
            self.asked = (method.into(), path.into());
        }
        drop(self.stream.get_mut().write_all(text.as_bytes()));
    }

    /// Has nothing more to say, as one who went away.
    pub fn hang_up(&mut self) {
        self.stream.get_mut().shutdown(Shutdown::Write).expect("the server is still there");
    }

    /// Reads an answer, or finds the connection closed.
    pub fn reply(&mut self) -> Option<Reply> {
        self.reply_to("GET")
    }

    fn reply_to(&mut self, method: &str) -> Option<Reply> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1)?.parse().ok()?;
        is_documented(&self.asked.0, &self.asked.1, status);
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, length)| length.parse().unwrap());
        let mut body = vec![0; if method == "HEAD" || status == 204 { 0 } else { length }];
        self.stream.read_exact(&mut body).ok()?;
        Some(Reply { status, headers, body: String::from_utf8(body).unwrap() })
    }

    /// A line as it comes, of whatever answer.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }
}

/// Fails the test where the API's description lacks the status for what was asked.
fn is_documented(method: &str, path: &str, status: u16) {
    static DOCUMENT: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(include_str!("../../src/http/openapi.json")).unwrap());
    let paths = &DOCUMENT["paths"];
    let path = path.split('?').next().unwrap();
    let template = match path.strip_prefix("/api/links/").or(path.strip_prefix('/')) {
        _ if paths[path].is_object() => path,
        Some(_) if path.starts_with("/api/links/") => "/api/links/{code}",
        Some(code) if !code.is_empty() && !code.contains('/') => "/{code}",
        _ => return assert_eq!(status, 404, "{path} is no page"),
    };
    let operation = &paths[template][method.to_ascii_lowercase()];
    let is_there = match operation.is_object() {
        true => operation["responses"][status.to_string()].is_object(),
        false => status == 405,
    };
    assert!(is_there, "openapi.json has no {status} for {method} {template}");
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that this is a problem with that status.
    pub fn is_problem(&self, status: u16) -> &Reply {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.json()["status"], status);
        self
    }
}
