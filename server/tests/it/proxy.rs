//! A way to a server that can be made slow, cut, or garble what is said.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxy {
    pub address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    target: watch::Sender<SocketAddr>,
}

impl Proxy {
    /// Each way to `target` takes so long.
    pub async fn start(target: SocketAddr, delay: Duration) -> Proxy {
        Proxy::with(target, delay, |_| ()).await
    }

    /// `target` hears something else, of the same length, wherever a client says `said`.
    pub async fn garbling<const N: usize>(
        target: SocketAddr,
        said: &'static [u8; N],
        heard: &'static [u8; N],
    ) -> Proxy {
        let garble = move |bytes: &mut [u8]| {
            while let Some(at) = bytes.windows(N).position(|window| window == said) {
                bytes[at..at + N].copy_from_slice(heard);
            }
        };
        Proxy::with(target, Duration::ZERO, garble).await
    }

    async fn with(
        target: SocketAddr,
        delay: Duration,
        change: impl Fn(&mut [u8]) + Copy + Send + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let is_cut = Arc::<AtomicBool>::default();
        let cut = is_cut.clone();
        let (target, mut turned) = watch::channel(target);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let target = *turned.borrow_and_update();
                let Ok(server) = TcpStream::connect(target).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let there = carry(from_client, to_server, delay, cut.clone(), change);
                let back = carry(from_server, to_client, delay, cut.clone(), |_| ());
                tokio::spawn(until_turned(there, turned.clone()));
                tokio::spawn(until_turned(back, turned.clone()));
            }
        });
        Proxy { address, is_cut, target }
    }

    /// Leads to another server from now on, and ends what is open, as a failover does.
    pub fn turn_to(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }

    /// Nothing comes through from now on; what is under way arrives later.
    pub fn cut(&self) {
        self.is_cut.store(true, Relaxed);
    }

    pub fn mend(&self) {
        self.is_cut.store(false, Relaxed);
    }
}

/// Who has no proxy any more can turn nothing, and what is open stays so.
async fn until_turned(carrying: impl Future<Output = ()>, mut turned: watch::Receiver<SocketAddr>) {
    let turned = async {
        if turned.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = carrying => {}
        () = turned => {}
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
    is_cut: Arc<AtomicBool>,
    change: impl Fn(&mut [u8]),
) {
    let mut bytes = vec![0; 65_536];
    while let Ok(came @ 1..) = from.read(&mut bytes).await {
        change(&mut bytes[..came]);
        tokio::time::sleep(delay).await;
        while is_cut.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if to.write_all(&bytes[..came]).await.is_err() {
            return;
        }
    }
}
