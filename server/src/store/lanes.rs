//! A bounded set of connections, lent out one statement at a time.
//!
//! sqlx's own pool pings a connection whenever it comes back, a round trip for each statement. Here a connection
//! comes back only if the database has answered on it, and one that failed or was left half way is closed.

use std::time::Duration;

use parking_lot::Mutex;
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

/// By how much a thread that gives way is nicer than the others: of a core it gets about a tenth while they want it, and
/// all while they do not.
const HUMBLE: libc::c_int = 10;

/// SQLite waits for no lock while a file is made ready for readers beside its writer, as several may do who open a new one.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Lanes<C: Connection> {
    options: C::Options,
    /// With what a connection is opened that was refused like this.
    instead: Option<Instead<C::Options>>,
    opening: Opening,
    size: usize,
    permits: Semaphore,
    idle: Mutex<Vec<C>>,
    acquire_timeout: Duration,
}

struct Instead<O> {
    options: O,
    applies: fn(&sqlx::Error) -> bool,
}

/// From what kind of thread a connection is opened. SQLite runs in threads of its own, which take after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    AsWeAre,
    /// From a thread that gives way to the rest of the process.
    Humbly,
}

/// A connection on loan. It is closed when dropped, unless [`Loan::keep`] gives it back.
pub(super) struct Loan<'a, C: Connection> {
    pub(super) connection: C,
    lanes: &'a Lanes<C>,
    _permit: SemaphorePermit<'a>,
}

/// Why no connection could be lent.
pub(super) enum LoanError {
    /// All connections were out for all of the time.
    Busy,
    Connect(String),
}

impl<O, C> Lanes<C>
where
    C: Connection<Options = O> + 'static,
    O: ConnectOptions<Connection = C>,
{
    pub(super) fn new(options: O, size: usize, acquire_timeout: Duration, opening: Opening) -> Lanes<C> {
        let idle = Mutex::new(Vec::with_capacity(size));
        Lanes { options, instead: None, opening, size, permits: Semaphore::new(size), idle, acquire_timeout }
    }

    /// Opens with other options where the server refuses these for a reason that `applies`.
    pub(super) fn or_else(self, options: O, applies: fn(&sqlx::Error) -> bool) -> Lanes<C> {
        Lanes { instead: Some(Instead { options, applies }), ..self }
    }

    /// Lends an idle connection, or a new one while fewer than `size` are out; waits a bounded time for either, and not
    /// beyond the deadline.
    pub(super) async fn lend(&self, deadline: Option<Instant>) -> Result<Loan<'_, C>, LoanError> {
        let limit = Instant::now() + self.acquire_timeout;
        let until = deadline.map_or(limit, |deadline| deadline.min(limit));
        let permit = timeout_at(until, self.permits.acquire()).await.map_err(|_| LoanError::Busy)?;
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            // A server that takes connections and says nothing is as good as away.
            None => match timeout_at(until, self.open()).await {
                Ok(opened) => opened.map_err(|error| LoanError::Connect(error.to_string()))?,
                Err(_) => return Err(LoanError::Connect("no connection in time".into())),
            },
        };
        let permit = permit.expect("the semaphore is never closed");
        Ok(Loan { connection, lanes: self, _permit: permit })
    }

    async fn open(&self) -> sqlx::Result<C> {
        loop {
            let opened = match (self.open_with(&self.options).await, &self.instead) {
                (Err(error), Some(instead)) if (instead.applies)(&error) => {
                    self.open_with(&instead.options).await
                }
                (opened, _) => opened,
            };
            match opened {
                Err(error) if is_locked(&error) => tokio::time::sleep(LOCK_PAUSE).await,
                opened => return opened,
            }
        }
    }

    async fn open_with(&self, options: &O) -> sqlx::Result<C> {
        match self.opening {
            Opening::AsWeAre => options.connect().await,
            Opening::Humbly => open_humbly(options.clone()).await,
        }
    }

    /// Closes all idle connections: after one of them failed, the rest are likely as dead.
    pub(super) fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }
}

impl<C: Connection> Loan<'_, C> {
    /// Gives the connection back, to be lent again.
    pub(super) fn keep(self) {
        self.lanes.idle.lock().push(self.connection);
    }
}

fn is_locked(error: &sqlx::Error) -> bool {
    const SQLITE_BUSY: &str = "5";
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == SQLITE_BUSY)
}

async fn open_humbly<C, O>(options: O) -> sqlx::Result<C>
where
    C: Connection<Options = O> + 'static,
    O: ConnectOptions<Connection = C>,
{
    let (answer, opened) = oneshot::channel();
    std::thread::spawn(move || {
        // SAFETY: the call takes a number only; on Linux it concerns the calling thread and those that it starts.
        unsafe { libc::nice(HUMBLE) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        answer.send(runtime.map_err(sqlx::Error::Io).and_then(|runtime| runtime.block_on(options.connect())))
    });
    opened.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}
