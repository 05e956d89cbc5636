//! A keygen of the test's own, asked over HTTP.

use clap::Parser;
use proofload_server::keygen::{KeygenArgs, run_keygen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[derive(Parser)]
pub struct Line {
    #[command(flatten)]
    pub keygen: KeygenArgs,
}

pub struct Keygen {
    pub address: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Keygen {
    pub async fn start(database_url: &str, redis_url: Option<String>, listen: &str) -> Keygen {
        let redis = redis_url.iter().flat_map(|url| ["--redis-url", url]);
        Keygen::start_with(database_url, listen, &redis.collect::<Vec<_>>()).await
    }

    pub async fn start_with(database_url: &str, listen: &str, flags: &[&str]) -> Keygen {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let args = Line::parse_from([&["keygen", "--database-url", database_url], flags].concat()).keygen;
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            run_keygen(&args, listener, stopped, |address| ready.send(address).unwrap()).await
        });
        assert_eq!(is_ready.await.expect("it starts").to_string(), address);
        Keygen { address, stop, task }
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// Sends one request and returns the status, the content type and the body.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: keygen\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap();
        (status, kind.to_owned(), body.to_owned())
    }
}

pub async fn sqlite_url() -> (String, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (format!("sqlite:{}", directory.path().join("links.db").display()), directory)
}
