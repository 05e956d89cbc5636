//! Changing and deleting links, so that no cache serves what was.

use std::sync::Arc;
use std::time::Instant;

use super::{Shortener, Unavailable, told};
use crate::cache::redis::CHANGE_PATIENCE;
use crate::places::Place;
use crate::store::{Link, Patch, StoreError};

impl Shortener {
    pub async fn update(self: &Arc<Self>, code: &str, patch: Patch) -> Result<Option<Link>, Unavailable> {
        let Some(key) = self.codec.key(code) else { return Ok(None) };
        self.change(code, |shortener| async move { shortener.store.update(&key, &patch).await }).await
    }

    pub async fn delete(self: &Arc<Self>, code: &str) -> Result<bool, Unavailable> {
        let Some(key) = self.codec.key(code) else { return Ok(false) };
        self.change(code, |shortener| async move { shortener.store.delete(&key).await }).await
    }

    /// Changes a link in the store and tells all caches of it, before and after. It goes on when the client hangs up.
    async fn change<T, F>(
        self: &Arc<Self>,
        code: &str,
        work: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let place = self.places.take()?;
        let (shortener, code) = (self.clone(), Box::<str>::from(code));
        let task = self.home.spawn(async move {
            let start = Instant::now();
            let begun = match &shortener.redis {
                Some(redis) => redis.begin_change(&code).await,
                None => false,
            };
            let left = CHANGE_PATIENCE.saturating_sub(start.elapsed());
            let changed = shortener.in_time(work(shortener.clone())).await;
            shortener.reader.forget(&code);
            // Told in a task of its own, so that it is told even where the client has waited for Redis for long enough.
            let telling = shortener.clone().tell(code, begun, !may_be_under_way(&changed), place);
            drop(tokio::time::timeout(left, shortener.home.spawn(telling)).await);
            changed
        });
        told(task.await)
    }

    /// Tells all caches of a change that is over, or was given up, which keeps its place until all is told.
    async fn tell(self: Arc<Self>, code: Box<str>, begun: bool, is_over: bool, _place: Place) {
        self.announce(&code, begun && is_over).await;
        if !is_over {
            // The tombstone stays until the database has certainly given the statement up; then all is told once more.
            tokio::time::sleep(self.store_timeout * 2).await;
            self.reader.forget(&code);
            self.announce(&code, begun).await;
        }
    }

    async fn announce(&self, code: &str, begun: bool) {
        if let Some(changes) = &self.changes {
            changes.changed(code, begun, self.redis.as_deref()).await;
        }
    }
}

/// Whether a statement that was given up may still take effect.
fn may_be_under_way<T>(changed: &Result<T, StoreError>) -> bool {
    matches!(changed, Err(StoreError::Unavailable(_)))
}
