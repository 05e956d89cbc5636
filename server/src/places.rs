//! Places for those who wait for the database: what a client began goes on when it hangs up, so connections bound nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::shortener::Unavailable;

/// The right to wait; it is free again when this is dropped.
pub type Place = OwnedSemaphorePermit;

#[derive(Debug, Clone)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    free: Arc<Semaphore>,
    most: usize,
    refused: AtomicU64,
}

impl Places {
    pub fn new(most: usize) -> Places {
        let shared = Shared { free: Arc::new(Semaphore::new(most)), most, refused: AtomicU64::new(0) };
        Places(Arc::new(shared))
    }

    /// Takes a place if one is free.
    pub fn take(&self) -> Result<Place, Unavailable> {
        self.take_for(1)
    }

    /// Takes the places of something as large as so many reads; all of them where it is larger still.
    pub fn take_for(&self, reads: usize) -> Result<Place, Unavailable> {
        let places = reads.clamp(1, self.0.most) as u32;
        self.0.free.clone().try_acquire_many_owned(places).map_err(|_| {
            self.0.refused.fetch_add(1, Relaxed);
            Unavailable::Busy
        })
    }

    /// Places taken now.
    pub fn taken(&self) -> usize {
        self.0.most - self.0.free.available_permits()
    }

    /// Who found no place free.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_free_again() {
        let places = Places::new(3);
        let (one, two) = (places.take().unwrap(), places.take_for(2).unwrap());
        assert!(places.take().is_err());
        drop(one);
        assert!(places.take_for(2).is_err());
        assert_eq!((places.taken(), places.refused()), (2, 2));
        drop(two);
        assert_eq!(places.take_for(1_000).unwrap().num_permits(), 3);
        assert_eq!(places.take_for(0).unwrap().num_permits(), 1);
    }
}
