//! Blocks of leased ids, the next one fetched before it is needed.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::codes::{Codec, Slot, split};
use crate::keygen::{Lease, LeaseSource, Leases, MOST_IDS, Stack};
use crate::store::{Store, StoreError};

/// A block that lasts less than this is followed by one twice its size.
const SHORT: Duration = Duration::from_secs(10);
/// A block that lasts more than this is followed by one half its size.
const LONG: Duration = Duration::from_secs(120);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A number of losses that no store comes to.
const NEVER: u64 = u64::MAX;

/// What the blocks did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlockCounters {
    /// Leases by who granted them.
    pub leases_keygen: u64,
    pub leases_redis: u64,
    pub leases_store: u64,
    pub lease_failures: u64,
    /// Ids that a create had to wait for.
    pub waits: u64,
    /// Ids taken.
    pub ids: u64,
    /// Size of the next block to be leased.
    pub size: u64,
}

impl BlockCounters {
    pub fn leases(&self) -> u64 {
        self.leases_keygen + self.leases_redis + self.leases_store
    }
}

/// No ids came in time; the text is the last lease's error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NoIds(pub String);

/// Hands out ids from two blocks at a time. The next is leased when a tenth of the current one is used.
#[derive(Clone)]
pub struct Blocks(Arc<Shared>);

struct Shared {
    codec: Codec,
    /// Whose ids these are; nobody's where none are leased.
    stack: Option<Stack>,
    state: Mutex<State>,
    /// Wakes the task that leases.
    wanted: Notify,
    /// Wakes who waits for ids.
    arrived: Notify,
    counters: Counters,
    /// How often the store had lost a connection when it was last made sure that it knows of the leases.
    held_at: AtomicU64,
    /// Taken by who makes sure of that.
    holding: tokio::sync::Mutex<()>,
    /// Slots that the database has given to others, and whether there are any.
    lost: Mutex<Vec<Slot>>,
    has_lost: AtomicBool,
}

#[derive(Default)]
struct State {
    current: Block,
    next: Option<Block>,
    /// The slot, and where its furthest lease ends. A database that lost leases grants nearer ones again.
    furthest: Option<(Slot, u64)>,
    last_error: Option<String>,
}

/// What is left of a lease, and how large it was.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    slot: u8,
    next: u64,
    end: u64,
    size: u64,
}

#[derive(Default)]
struct Counters {
    by_source: [AtomicU64; 3],
    failures: AtomicU64,
    waits: AtomicU64,
    ids: AtomicU64,
    size: AtomicU64,
}

impl Blocks {
    /// Starts to lease on `handle`; the first block has as many ids as the least may have.
    pub fn start(leases: Leases, codec: Codec, sizes: RangeInclusive<u64>, handle: &Handle) -> Blocks {
        let blocks = Blocks::of(Some(leases.stack().clone()), codec);
        let sizing = Sizing::new(sizes);
        blocks.0.counters.size.store(sizing.size, Relaxed);
        handle.spawn(fetch(Arc::downgrade(&blocks.0), leases, sizing));
        blocks
    }

    /// No blocks at all, for designs that lease none.
    pub fn none(codec: Codec) -> Blocks {
        Blocks::of(None, codec)
    }

    fn of(stack: Option<Stack>, codec: Codec) -> Blocks {
        Blocks(Arc::new(Shared {
            codec,
            stack,
            state: Mutex::default(),
            wanted: Notify::new(),
            arrived: Notify::new(),
            counters: Counters::default(),
            held_at: AtomicU64::new(0),
            holding: tokio::sync::Mutex::default(),
            lost: Mutex::default(),
            has_lost: AtomicBool::new(false),
        }))
    }

    /// To be called before links with these ids are stored, and again before that is told: the connection may be another by
    /// then. After the store has lost a connection, it may be a database to which the last leases never came, failed over to
    /// or restored: it is told of them once more, so that links with ids of these are found, and nobody else gets the ids from
    /// then on.
    ///
    /// # Errors
    /// [`StoreError::SlotLost`] where one of the ids lies in a slot that is another stack's by now: it is for no link.
    pub async fn hold(&self, store: &Store, ids: impl IntoIterator<Item = u64>) -> Result<(), StoreError> {
        let Some(stack) = &self.0.stack else { return Ok(()) };
        if self.0.held_at.load(Relaxed) != store.losses() {
            let _alone = store.wait_for(self.0.holding.lock()).await?;
            self.hold_anew(stack, store).await?;
        }
        match self.0.has_lost.load(Relaxed) && ids.into_iter().any(|id| self.is_lost(id)) {
            true => Err(StoreError::SlotLost),
            false => Ok(()),
        }
    }

    async fn hold_anew(&self, stack: &Stack, store: &Store) -> Result<(), StoreError> {
        let losses = store.losses();
        if self.0.held_at.load(Relaxed) == losses {
            return Ok(());
        }
        let furthest = self.0.state.lock().furthest;
        if let Some((slot, end)) = furthest
            && !store.hold_lease(stack.as_str(), slot, end).await?
        {
            self.lose(slot);
            self.0.has_lost.store(true, Relaxed);
            *self.0.state.lock() = State::default();
            self.0.wanted.notify_one();
        }
        let state = self.0.state.lock();
        // What was leased meanwhile may have been lost as well.
        if state.furthest.is_none_or(|now| Some(now) == furthest) {
            self.0.held_at.store(losses, Relaxed);
        }
        Ok(())
    }

    /// A stack may lose the same slot more than once.
    fn lose(&self, slot: Slot) {
        let mut lost = self.0.lost.lock();
        if !lost.contains(&slot) {
            lost.push(slot);
        }
    }

    /// Whether the id lies in a slot that is another stack's by now.
    pub fn is_lost(&self, id: u64) -> bool {
        self.0.codec.is_partitioned() && self.0.lost.lock().contains(&split(id).1)
    }

    /// Appends `count` ids to `ids`, one for each create; they wait for a block if they must, until `deadline`.
    pub async fn take(
        &self,
        count: usize,
        ids: &mut Vec<u64>,
        deadline: tokio::time::Instant,
    ) -> Result<(), NoIds> {
        let left = count - self.take_ready(count, ids);
        self.0.counters.waits.fetch_add(left as u64, Relaxed);
        self.take_ahead(left, ids, deadline).await
    }

    /// As [`Blocks::take`], while no create needs them yet.
    pub async fn take_ahead(
        &self,
        mut left: usize,
        ids: &mut Vec<u64>,
        deadline: tokio::time::Instant,
    ) -> Result<(), NoIds> {
        loop {
            let mut arrived = std::pin::pin!(self.0.arrived.notified());
            arrived.as_mut().enable();
            left -= self.take_ready(left, ids);
            if left == 0 {
                return Ok(());
            }
            self.0.wanted.notify_one();
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                let last_error = self.0.state.lock().last_error.clone();
                return Err(NoIds(last_error.unwrap_or_else(|| "no block came in time".into())));
            }
        }
    }

    /// Appends up to `count` ids that are at hand, without waiting; returns how many.
    pub fn take_ready(&self, count: usize, ids: &mut Vec<u64>) -> usize {
        let mut taken = 0;
        let wants_next = {
            let mut state = self.0.state.lock();
            while taken < count && state.has_ids() {
                let block = &mut state.current;
                let end = block.end.min(block.next + (count - taken) as u64);
                ids.extend((block.next..end).map(|n| self.0.codec.id(n, Slot(block.slot))));
                taken += (end - block.next) as usize;
                block.next = end;
            }
            state.wants_next()
        };
        if wants_next {
            self.0.wanted.notify_one();
        }
        self.0.counters.ids.fetch_add(taken as u64, Relaxed);
        taken
    }

    pub fn counters(&self) -> BlockCounters {
        let counters = &self.0.counters;
        let [leases_keygen, leases_redis, leases_store] =
            std::array::from_fn(|i| counters.by_source[i].load(Relaxed));
        BlockCounters {
            leases_keygen,
            leases_redis,
            leases_store,
            lease_failures: counters.failures.load(Relaxed),
            waits: counters.waits.load(Relaxed),
            ids: counters.ids.load(Relaxed),
            size: counters.size.load(Relaxed),
        }
    }
}

impl State {
    /// Whether the current block has ids, after the next one moved up if it had none.
    fn has_ids(&mut self) -> bool {
        if self.current.next == self.current.end
            && let Some(next) = self.next.take()
        {
            self.current = next;
        }
        self.current.next < self.current.end
    }

    fn wants_next(&self) -> bool {
        let left = self.current.end - self.current.next;
        self.next.is_none() && left * 10 <= self.current.size * 9
    }

    fn add(&mut self, lease: &Lease) {
        let size = lease.end - lease.start;
        let block = Block { slot: lease.slot.0, next: lease.start, end: lease.end, size };
        self.next = Some(block);
        let before = self.furthest.filter(|(slot, _)| *slot == lease.slot).map_or(0, |(_, end)| end);
        self.furthest = Some((lease.slot, before.max(lease.end)));
        self.last_error = None;
        self.has_ids();
    }
}

/// Leases blocks whenever one is wanted, until the [`Blocks`] are gone.
async fn fetch(shared: std::sync::Weak<Shared>, leases: Leases, mut sizing: Sizing) {
    let mut pause = Duration::ZERO;
    loop {
        let Some(blocks) = shared.upgrade() else { return };
        if !blocks.state.lock().wants_next() {
            // A bounded wait, so that the task notices when the blocks are dropped.
            let _ = tokio::time::timeout(LONGEST_PAUSE, blocks.wanted.notified()).await;
            continue;
        }
        let losses = leases.losses();
        match leases.lease(sizing.next(Instant::now())).await {
            Ok(lease) => {
                pause = Duration::ZERO;
                blocks.counters.by_source[source_index(lease.source)].fetch_add(1, Relaxed);
                blocks.counters.size.store(sizing.size, Relaxed);
                let mut state = blocks.state.lock();
                state.add(&lease);
                if leases.losses() != losses {
                    blocks.held_at.store(NEVER, Relaxed);
                }
                drop(state);
                blocks.arrived.notify_waiters();
            }
            Err(error) => {
                blocks.counters.failures.fetch_add(1, Relaxed);
                blocks.state.lock().last_error = Some(error.to_string());
                pause = (pause * 2).clamp(Duration::from_millis(20), LONGEST_PAUSE);
                drop(blocks);
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn source_index(source: LeaseSource) -> usize {
    match source {
        LeaseSource::Keygen => 0,
        LeaseSource::Redis => 1,
        LeaseSource::Store => 2,
    }
}

/// How large the next block is: it follows the rate at which ids are used, as Meituan's Leaf does.
#[derive(Debug)]
struct Sizing {
    size: u64,
    least: u64,
    most: u64,
    last: Option<Instant>,
    leases: u32,
}

impl Sizing {
    fn new(sizes: RangeInclusive<u64>) -> Sizing {
        let most = (*sizes.end()).clamp(1, MOST_IDS);
        let least = (*sizes.start()).clamp(1, most);
        Sizing { size: least, least, most, last: None, leases: 0 }
    }

    /// The size of a block leased at `now`. The first two are leased at once, which says nothing about the rate.
    fn next(&mut self, now: Instant) -> u64 {
        if let Some(last) = self.last
            && self.leases >= 2
        {
            let lasted = now - last;
            if lasted < SHORT {
                self.size = (self.size * 2).min(self.most);
            } else if lasted > LONG {
                self.size = (self.size / 2).max(self.least);
            }
        }
        self.last = Some(now);
        self.leases += 1;
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_rate_within_bounds() {
        let mut now = Instant::now();
        let mut sizing = Sizing::new(1_000..=MOST_IDS);
        assert_eq!([sizing.next(now), sizing.next(now)], [1_000, 1_000]);
        let mut sizes = vec![];
        for _ in 0..12 {
            now += SHORT / 2;
            sizes.push(sizing.next(now));
        }
        assert_eq!(sizes[..3], [2_000, 4_000, 8_000]);
        assert_eq!(sizes[11], MOST_IDS);
        now += SHORT * 2;
        assert_eq!(sizing.next(now), MOST_IDS);
        for _ in 0..12 {
            now += LONG * 2;
            sizes.push(sizing.next(now));
        }
        assert_eq!(sizes.last(), Some(&1_000));
    }

    #[test]
    fn no_block_is_larger_than_asked_for() {
        let now = Instant::now();
        let mut sizing = Sizing::new(1_000..=3_000);
        assert_eq!([(); 5].map(|()| sizing.next(now)), [1_000, 1_000, 2_000, 3_000, 3_000]);
    }

    #[test]
    fn the_next_block_is_wanted_at_a_tenth() {
        let lease = |start, end| Lease { slot: Slot(0), start, end, source: LeaseSource::Store };
        let mut state = State::default();
        assert!(state.wants_next() && !state.has_ids());
        state.add(&lease(0, 100));
        assert!(state.has_ids() && !state.wants_next());
        state.current.next = 9;
        assert!(!state.wants_next());
        state.current.next = 10;
        assert!(state.wants_next());
        state.add(&lease(100, 200));
        assert!(!state.wants_next());
        state.current.next = 100;
        assert!(state.has_ids());
        assert_eq!((state.current.next, state.current.end), (100, 200));
    }
}
