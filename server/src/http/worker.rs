//! A thread's share of the connections.

use hyper::server::conn::http1;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::Site;
use super::connection::{Connection, Watch};
use super::roster::Roster;
use super::routes::Client;
use crate::config::Limits;
use crate::shortener::Desk;

/// Connections on their way to a worker; each of them was counted against the limit before.
type Dealt = (std::net::TcpStream, IpAddr);

/// The threads that answer HTTP, as the one that accepts connections sees them.
pub struct Crew {
    site: Arc<Site>,
    rosters: Vec<Arc<Roster>>,
    doors: Vec<mpsc::Sender<Dealt>>,
}

/// Serves the connections that are dealt to one thread.
pub struct Worker {
    site: Arc<Site>,
    desk: Arc<Desk>,
    roster: Arc<Roster>,
    dealt: mpsc::Receiver<Dealt>,
}

/// Said to a client for whom there is no room.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
    content-length: 93\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many clients\"}";

const HYPERS_OWN_MOST_HEADERS: usize = 100;

impl Crew {
    /// A crew and its workers, each to be run on a thread of its own.
    pub fn muster(site: Arc<Site>, threads: usize) -> (Self, Vec<Worker>) {
        let rosters: Vec<Arc<Roster>> = (0..threads).map(|_| Arc::new(Roster::new())).collect();
        let (doors, dealt): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::channel(1_024)).unzip();
        let workers = dealt.into_iter().enumerate().map(|(thread, dealt)| Worker {
            site: site.clone(),
            desk: site.shortener.desk(thread),
            roster: rosters[thread].clone(),
            dealt,
        });
        let workers = workers.collect();
        (Self { site, rosters, doors }, workers)
    }

    /// Hands a connection to the worker that has the fewest.
    pub async fn deal(&self, stream: TcpStream, address: SocketAddr) {
        if self.open() >= self.site.limits.connections {
            // Best effort: nobody waits for a client that is sent away.
            drop(stream.try_write(NO_ROOM));
            return;
        }
        let counted = self.rosters.iter().enumerate().min_by_key(|(_, roster)| roster.open.load(Relaxed));
        let (thread, roster) = counted.expect("there is at least one worker");
        // Answers are small and whole: holding them back for more only delays them.
        let Ok(stream) = stream.set_nodelay(true).and_then(|()| stream.into_std()) else { return };
        roster.open.fetch_add(1, Relaxed);
        if self.doors[thread].send((stream, address.ip())).await.is_err() {
            roster.open.fetch_sub(1, Relaxed);
        }
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.rosters.iter().map(|roster| roster.open.load(Relaxed)).sum()
    }

    /// Deals no more, and lets each connection end after the answer that is under way.
    pub fn close(&mut self) {
        self.doors.clear();
        self.rosters.iter().for_each(|roster| roster.each(Watch::close));
    }

    /// Ends all connections now.
    pub fn end(&self) {
        self.rosters.iter().for_each(|roster| roster.each(Watch::end));
    }
}

impl Worker {
    /// Serves until the crew closes and the last connection has ended.
    pub async fn work(mut self) {
        let limits = &self.site.limits;
        let http = http_of(limits);
        let sweeping = tokio::spawn(self.roster.clone().sweep(limits.head_timeout(), limits.idle_timeout()));
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        while let Some((stream, address)) = self.dealt.recv().await {
            let Ok(stream) = TcpStream::from_std(stream) else {
                self.roster.open.fetch_sub(1, Relaxed);
                continue;
            };
            let watch = self.roster.enlist();
            let client =
                Client { site: self.site.clone(), desk: self.desk.clone(), watch: watch.clone(), address };
            let connection = Connection::new(&http, stream, client, watch);
            let (roster, alive) = (self.roster.clone(), alive.clone());
            tokio::spawn(async move {
                connection.await;
                roster.open.fetch_sub(1, Relaxed);
                drop(alive);
            });
        }
        // Those that were dealt after the crew closed have not been told.
        self.roster.each(Watch::close);
        drop(alive);
        all_gone.recv().await;
        sweeping.abort();
    }
}

fn http_of(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // The sweep does what hyper's timer would, for less: that one is set and cancelled with every request. No
    // `pipeline_flush`: it keeps answers back while there is unread input, and loses them if that cannot be read.
    // Answers are small: to copy their bodies behind their heads costs less than to hand the kernel two pieces.
    http.header_read_timeout(None).max_buf_size(limits.head).writev(false);
    // hyper keeps its own number of headers on the stack, and any other on the heap.
    if limits.headers != HYPERS_OWN_MOST_HEADERS {
        http.max_headers(limits.headers);
    }
    http
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_answer_is_of_the_length_it_says() {
        let text = std::str::from_utf8(NO_ROOM).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(&format!("content-length: {}\r\n", body.len())));
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
