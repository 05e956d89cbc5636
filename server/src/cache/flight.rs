//! Single flight: of all look-ups that miss one code at the same time, one reads and the others wait for it.

use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The reads under way, by code.
pub struct Flights<T> {
    open: Mutex<HashMap<Box<str>, Arc<Flight<T>>>>,
}

/// One read and those who wait for it.
struct Flight<T> {
    waiters: Mutex<Vec<oneshot::Sender<T>>>,
}

/// The duty to read. Dropped without [`Flights::land`], it leaves the waiters with an error, and the code to the next.
pub struct Ticket<T: Clone> {
    flights: Arc<Flights<T>>,
    flight: Arc<Flight<T>>,
    code: Box<str>,
}

/// What a look-up that missed is to do.
pub enum Joined<T: Clone> {
    /// Read, then land the ticket; the answer comes back here too.
    First(Ticket<T>, oneshot::Receiver<T>),
    Waiter(oneshot::Receiver<T>),
}

impl<T: Clone> Flights<T> {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { open: Mutex::new(HashMap::new()) })
    }

    /// Waits for the read of `code` that is under way, or takes on to do it.
    pub fn join(self: &Arc<Self>, code: &str) -> Joined<T> {
        let (sender, receiver) = oneshot::channel();
        let mut open = self.open.lock();
        if let Some(flight) = open.get(code) {
            flight.waiters.lock().push(sender);
            return Joined::Waiter(receiver);
        }
        let flight = Arc::new(Flight { waiters: Mutex::new(vec![sender]) });
        open.insert(code.into(), flight.clone());
        Joined::First(Ticket { flights: self.clone(), flight, code: code.into() }, receiver)
    }

    /// Hands the answer to all who wait, and returns how many did beside the first. `keep` stores the answer; it is
    /// left out when the link was changed since the read began, because the answer may then be out of date.
    pub fn land(ticket: Ticket<T>, answer: T, keep: impl FnOnce()) -> u64 {
        let mut open = ticket.flights.open.lock();
        if ticket.is_current(&open) {
            open.remove(&ticket.code);
            keep();
        }
        drop(open);
        let waiters = std::mem::take(&mut *ticket.flight.waiters.lock());
        let beside_the_first = waiters.len() as u64 - 1;
        waiters.into_iter().for_each(|waiter| drop(waiter.send(answer.clone())));
        beside_the_first
    }

    /// Keeps reads that began before a change from storing what they saw, while `forget` drops what is stored.
    pub fn overtake(&self, code: &str, forget: impl FnOnce()) {
        let mut open = self.open.lock();
        open.remove(code);
        forget();
    }

    /// As [`Flights::overtake`], for all codes.
    pub fn overtake_all(&self, forget: impl FnOnce()) {
        let mut open = self.open.lock();
        open.clear();
        forget();
    }
}

impl<T: Clone> Ticket<T> {
    fn is_current(&self, open: &HashMap<Box<str>, Arc<Flight<T>>>) -> bool {
        open.get(&self.code).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
    }
}

impl<T: Clone> Drop for Ticket<T> {
    fn drop(&mut self) {
        let mut open = self.flights.open.lock();
        if self.is_current(&open) {
            open.remove(&self.code);
        }
        drop(open);
        self.flight.waiters.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(joined: Joined<u32>) -> (Ticket<u32>, oneshot::Receiver<u32>) {
        match joined {
            Joined::First(ticket, receiver) => (ticket, receiver),
            Joined::Waiter(_) => panic!("someone else reads"),
        }
    }

    fn waiter(joined: Joined<u32>) -> oneshot::Receiver<u32> {
        match joined {
            Joined::Waiter(receiver) => receiver,
            Joined::First(..) => panic!("nobody reads"),
        }
    }

    #[test]
    fn one_reads_and_all_are_answered() {
        let flights = Flights::new();
        let (ticket, mut mine) = first(flights.join("a"));
        let mut other = waiter(flights.join("a"));
        let _apart = first(flights.join("b"));
        let mut kept = false;
        assert_eq!(Flights::land(ticket, 7, || kept = true), 1);
        assert_eq!((mine.try_recv(), other.try_recv(), kept), (Ok(7), Ok(7), true));
        first(flights.join("a"));
    }

    #[test]
    fn a_change_overtakes_a_read_that_began_before_it() {
        let flights = Flights::new();
        let (before, mut early) = first(flights.join("a"));
        flights.overtake("a", || {});
        let (after, mut late) = first(flights.join("a"));
        assert_eq!(Flights::land(before, 1, || panic!("out of date")), 0);
        assert_eq!(early.try_recv(), Ok(1));
        let mut kept = false;
        Flights::land(after, 2, || kept = true);
        assert_eq!((late.try_recv(), kept), (Ok(2), true));
    }

    #[test]
    fn a_read_that_is_given_up_frees_its_code_and_its_waiters() {
        let flights = Flights::new();
        let (ticket, mut mine) = first(flights.join("a"));
        drop(ticket);
        assert!(mine.try_recv().is_err());
        first(flights.join("a"));
    }
}
