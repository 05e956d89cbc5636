//! Single flight: of all look-ups that miss one code at the same time, one reads and the others wait for it.

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The reads under way.
pub struct Flights<T> {
    open: Mutex<Open<T>>,
}

struct Open<T> {
    /// Of one link each, by code.
    reads: HashMap<Box<str>, Arc<Flight<T>>>,
    /// Of many links each.
    surveys: Vec<Arc<Mutex<Overtaken>>>,
}

/// What was changed since a survey began.
#[derive(Default)]
struct Overtaken {
    codes: HashSet<Box<str>>,
    all: bool,
}

/// A read of many links at once, as warming makes, that nobody waits for. It takes far longer than a read of one, so
/// changes are noted while it lasts: what it saw of a link that was changed meanwhile may be out of date.
pub struct Survey<T> {
    flights: Arc<Flights<T>>,
    overtaken: Arc<Mutex<Overtaken>>,
}

/// Changes that are noted by code; after more than these, nothing that the survey still brings is kept.
const MOST_NOTED: usize = 65_536;

/// One read and those who wait for it.
struct Flight<T> {
    waiters: Mutex<Waiters<T>>,
}

/// Those who wait, and how many more did until they hung up.
struct Waiters<T> {
    here: Vec<oneshot::Sender<T>>,
    gone: u64,
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
        Arc::new(Self { open: Mutex::new(Open { reads: HashMap::new(), surveys: Vec::new() }) })
    }

    /// Waits for the read of `code` that is under way, or takes on to do it.
    pub fn join(self: &Arc<Self>, code: &str) -> Joined<T> {
        let (sender, receiver) = oneshot::channel();
        let mut open = self.open.lock();
        if let Some(flight) = open.reads.get(code) {
            flight.waiters.lock().add(sender);
            return Joined::Waiter(receiver);
        }
        let flight = Arc::new(Flight { waiters: Mutex::new(Waiters { here: vec![sender], gone: 0 }) });
        open.reads.insert(code.into(), flight.clone());
        Joined::First(Ticket { flights: self.clone(), flight, code: code.into() }, receiver)
    }

    /// Hands the answer to all who wait, and returns how many did beside the first. `keep` stores the answer; it is
    /// left out when the link was changed since the read began, because the answer may then be out of date.
    pub fn land(ticket: Ticket<T>, answer: T, keep: impl FnOnce()) -> u64 {
        let mut open = ticket.flights.open.lock();
        if ticket.is_current(&open) {
            open.reads.remove(&ticket.code);
            keep();
        }
        drop(open);
        let mut waiters = ticket.flight.waiters.lock();
        let here = std::mem::take(&mut waiters.here);
        let beside_the_first = waiters.gone + here.len() as u64 - 1;
        drop(waiters);
        here.into_iter().for_each(|waiter| drop(waiter.send(answer.clone())));
        beside_the_first
    }

    /// Keeps reads that began before a change from storing what they saw, while `forget` drops what is stored.
    pub fn overtake(&self, code: &str, forget: impl FnOnce()) {
        let mut open = self.open.lock();
        open.reads.remove(code);
        open.surveys.iter().for_each(|survey| survey.lock().note(code));
        forget();
    }

    /// As [`Flights::overtake`], for all codes.
    pub fn overtake_all(&self, forget: impl FnOnce()) {
        let mut open = self.open.lock();
        open.reads.clear();
        open.surveys.iter().for_each(|survey| survey.lock().note_all());
        forget();
    }

    /// Begins a survey; to be called before the store is asked.
    pub fn survey(self: &Arc<Self>) -> Survey<T> {
        let overtaken = Arc::<Mutex<Overtaken>>::default();
        self.open.lock().surveys.push(overtaken.clone());
        Survey { flights: self.clone(), overtaken }
    }
}

impl<T> Survey<T> {
    /// Stores what the survey saw of a link by `keep`, which says whether it did; not if the link was changed since.
    pub fn keep(&self, code: &str, keep: impl FnOnce() -> bool) -> bool {
        // Held throughout, so that no change comes between the question and the answer.
        let _open = self.flights.open.lock();
        !self.overtaken.lock().has(code) && keep()
    }

    /// Whether all was forgotten since it began, so that most of what it brought is not kept.
    pub fn is_void(&self) -> bool {
        self.overtaken.lock().all
    }
}

impl<T> Drop for Survey<T> {
    fn drop(&mut self) {
        self.flights.open.lock().surveys.retain(|survey| !Arc::ptr_eq(survey, &self.overtaken));
    }
}

impl Overtaken {
    fn note(&mut self, code: &str) {
        if self.codes.len() >= MOST_NOTED {
            self.note_all();
        }
        if !self.all {
            self.codes.insert(code.into());
        }
    }

    fn note_all(&mut self) {
        self.all = true;
        self.codes = HashSet::new();
    }

    fn has(&self, code: &str) -> bool {
        self.all || self.codes.contains(code)
    }
}

impl<T: Clone> Ticket<T> {
    fn is_current(&self, open: &Open<T>) -> bool {
        open.reads.get(&self.code).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight))
    }
}

impl<T: Clone> Drop for Ticket<T> {
    fn drop(&mut self) {
        let mut open = self.flights.open.lock();
        if self.is_current(&open) {
            open.reads.remove(&self.code);
        }
        drop(open);
        self.flight.waiters.lock().here.clear();
    }
}

impl<T> Waiters<T> {
    /// Makes room by letting go of those who hung up, so that it grows with those who are there, and not with those who come.
    fn add(&mut self, waiter: oneshot::Sender<T>) {
        if self.here.len() == self.here.capacity() {
            let all = self.here.len();
            self.here.retain(|waiter| !waiter.is_closed());
            self.gone += (all - self.here.len()) as u64;
            // As many are to come before all are looked at again: each costs a look or two, however many there are.
            self.here.reserve(self.here.len() + 1);
        }
        self.here.push(waiter);
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
    fn who_hung_up_is_counted_and_takes_no_room() {
        let flights = Flights::new();
        let (ticket, mine) = first(flights.join("a"));
        drop(mine);
        let mut here = Vec::new();
        for n in 0..1_000 {
            let waiting = waiter(flights.join("a"));
            here.extend((n % 100 == 0).then_some(waiting));
        }
        let room = ticket.flight.waiters.lock().here.capacity();
        assert!(room <= 4 * here.len(), "room for {room}");
        assert_eq!(Flights::land(ticket, 7, || {}), 1_000);
        assert!(here.iter_mut().all(|waiter| waiter.try_recv() == Ok(7)));
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
    fn a_change_overtakes_what_a_survey_saw_before_it() {
        let flights = Flights::<u32>::new();
        flights.overtake("earlier", || {});
        let survey = flights.survey();
        flights.overtake("changed", || {});
        assert!(survey.keep("earlier", || true) && !survey.keep("changed", || panic!("out of date")));
        assert!(!survey.keep("full", || false) && !survey.is_void());
        flights.overtake_all(|| {});
        assert!(!survey.keep("earlier", || panic!("out of date")) && survey.is_void());
        drop(survey);
        assert!(flights.survey().keep("changed", || true));
        assert_eq!(flights.open.lock().surveys.len(), 0);
    }

    #[test]
    fn more_changes_than_are_noted_void_a_survey() {
        let flights = Flights::<u32>::new();
        let survey = flights.survey();
        (0..MOST_NOTED).for_each(|n| flights.overtake(&n.to_string(), || {}));
        assert!(survey.keep("other", || true) && !survey.keep("0", || true));
        flights.overtake("one more", || {});
        assert!(!survey.keep("other", || true));
        assert_eq!(survey.overtaken.lock().codes.len(), 0);
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
