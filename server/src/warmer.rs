//! Fills the cache with the links that are asked for most: at the start, then whenever the monitor says so.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::cache::monitor::Monitor;
use crate::cache::table::{Capacity, OVERHEAD};
use crate::config::Warmth;
use crate::shortener::{Shortener, Survey, now};
use crate::store::StoreError;

pub struct Warmer {
    shortener: Arc<Shortener>,
    warmth: Warmth,
    monitor: Mutex<Monitor>,
    last: Mutex<Option<Warming>>,
    warmings: AtomicU64,
    micros: AtomicU64,
    /// The last warming did not come about.
    owed: AtomicBool,
}

/// A warming that was done.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Warming {
    /// Links that the cache took in.
    pub links: usize,
    pub seconds: f64,
    /// Unix seconds.
    pub at: i64,
}

impl Warmer {
    pub fn new(shortener: Arc<Shortener>, warmth: Warmth) -> Arc<Self> {
        Arc::new(Self {
            shortener,
            warmth,
            monitor: Mutex::default(),
            last: Mutex::new(None),
            warmings: AtomicU64::new(0),
            micros: AtomicU64::new(0),
            owed: AtomicBool::new(false),
        })
    }

    /// Warms with the hottest links, then with random ones. Says whether that stands: it does not where the cache was
    /// emptied meanwhile.
    pub async fn warm(&self) -> Result<bool, StoreError> {
        let start = Instant::now();
        // What empties the cache from now on undoes this warming, or a part of it.
        let was_lost = self.shortener.set_lost_track(false);
        let survey = self.shortener.survey();
        let filled = self.fill(&survey).await;
        let stands = filled.is_ok() && !survey.is_void();
        self.owed.store(filled.is_err(), Relaxed);
        if was_lost && !stands {
            self.shortener.set_lost_track(true);
        }
        let (links, taken) = (filled?, start.elapsed());
        if stands {
            *self.last.lock() = Some(Warming { links, seconds: taken.as_secs_f64(), at: now() });
            self.warmings.fetch_add(1, Relaxed);
            self.micros.fetch_add(taken.as_micros() as u64, Relaxed);
        }
        Ok(stands)
    }

    /// Returns how many links the cache took in.
    async fn fill(&self, survey: &Survey) -> Result<usize, StoreError> {
        let shortener = &self.shortener;
        let mut links = 0;
        let hot = self.warmth.hot.min(self.most_links());
        if hot > 0 {
            shortener.table().expect(hot);
            shortener
                .store
                .hottest(hot, |link| links += usize::from(shortener.keep_warm(survey, &link)))
                .await?;
        }
        if self.warmth.random > 0 {
            let random = shortener.store.random(self.warmth.random).await?;
            links += random.iter().filter(|link| shortener.keep_warm(survey, link)).count();
        }
        Ok(links)
    }

    /// Samples the hit rate each second, and warms again when it fell below what it can be, or when the cache had to be
    /// emptied because changes elsewhere may have been missed.
    pub async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = (0, 0);
        let mut not_before = Instant::now();
        loop {
            ticks.tick().await;
            let totals = self.shortener.totals().hits_of_lookups();
            let wants_warming = self.monitor.lock().observe(totals.0 - before.0, totals.1 - before.1);
            before = totals;
            let hears = self.shortener.hears_changes() != Some(false);
            let owed = self.owed.load(Relaxed) || (hears && self.shortener.lost_track());
            if (wants_warming || (owed && Instant::now() >= not_before)) && !self.warmth.is_none() {
                let begun = Instant::now();
                // A store that is away is seen by /health, and is left alone for as long as it was kept busy to no use.
                let has_warmed = self.warm().await.unwrap_or(false);
                not_before = Instant::now() + if has_warmed { Duration::ZERO } else { begun.elapsed() };
                if wants_warming && !has_warmed {
                    self.monitor.lock().undone();
                }
            }
        }
    }

    pub fn last(&self) -> Option<Warming> {
        *self.last.lock()
    }

    pub fn warmings(&self) -> u64 {
        self.warmings.load(Relaxed)
    }

    /// Seconds spent on all warmings.
    pub fn seconds(&self) -> f64 {
        self.micros.load(Relaxed) as f64 / 1e6
    }

    /// The sampled hit rate and the attainable one, once there were enough look-ups.
    pub fn rates(&self) -> (Option<f64>, Option<f64>) {
        let monitor = self.monitor.lock();
        (monitor.rate(), monitor.attainable())
    }

    fn most_links(&self) -> usize {
        match self.shortener.table().capacity() {
            Capacity::Entries(entries) => entries,
            Capacity::Bytes(bytes) => bytes / OVERHEAD,
        }
    }
}
