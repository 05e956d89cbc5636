//! A server killed while it creates: what it acknowledged is in the database.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use proofload_server::codes::{Codec, PUBLIC_DEFAULT_KEY};
use proofload_server::creator::{Creator, CreatorOptions, NewLink};
use proofload_server::keygen::Leases;
use support::connect;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Where the child finds its database. Without it, the child's part is no test and passes.
const DATABASE: &str = "PROOFLOAD_CRASH_TEST_DATABASE";
const CHILD: &str = "the_child_that_is_killed";

#[tokio::test]
async fn the_child_that_is_killed() {
    let Ok(url) = std::env::var(DATABASE) else { return };
    let store = connect(&url).await;
    let leases = Leases::new(store.clone(), "rust".parse().unwrap(), None, None).unwrap();
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let creator = Creator::start(store, codec, leases, CreatorOptions::default(), &Handle::current());
    let mut clients = JoinSet::new();
    for client in 0..32 {
        let creator = creator.clone();
        clients.spawn(async move {
            for n in 0.. {
                let url = format!("https://example.com/{client}/{n}");
                let created = creator.create(NewLink { url, ..NewLink::default() }).await.unwrap();
                println!("\nacknowledged {} {}", created.code, created.link.url);
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("links.db").display());
    let mut acknowledged = vec![];
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--nocapture"])
            .env(DATABASE, &url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut note = |lines: &mut dyn Iterator<Item = String>| {
            for line in lines {
                // The kill may cut the last line short.
                if let [_, code, url] = line.split(' ').collect::<Vec<_>>()[..]
                    && line.starts_with("acknowledged ")
                {
                    acknowledged.push((code.to_owned(), url.to_owned()));
                }
            }
        };
        note(&mut lines.by_ref().take(1_000));
        child.kill().unwrap();
        child.wait().unwrap();
        note(&mut lines);
    }
    let store = connect(&url).await;
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    assert!(acknowledged.len() > 1_000, "{}", acknowledged.len());
    for (code, url) in acknowledged {
        let link = store.find(&codec.key(&code).unwrap()).await.unwrap();
        assert!(link.is_some_and(|link| link.url.starts_with(&url)), "{code} was acknowledged and is lost");
    }
}
