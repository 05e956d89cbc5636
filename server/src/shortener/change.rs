//! Changing and deleting links, so that no cache serves what was.

use std::sync::Arc;
use std::time::Instant;

use super::{Shortener, Unavailable, told};
use crate::cache::redis::CHANGE_PATIENCE;
use crate::changes::{Changes, Telling};
use crate::places::Place;
use crate::store::{Link, Patch, StoreError};

/// What a change holds until all caches were told of it.
struct UnderWay {
    _place: Place,
    _telling: Option<Telling>,
}

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
        let telling = self.changes.as_ref().map(Changes::telling);
        let under_way = UnderWay { _place: self.places.take()?, _telling: telling };
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
            let tell = shortener.clone().tell(code, begun, !may_be_under_way(&changed), under_way);
            drop(tokio::time::timeout(left, shortener.home.spawn(tell)).await);
            changed
        });
        told(task.await)
    }

    /// Tells all caches of a change that is over, or was given up.
    async fn tell(self: Arc<Self>, code: Box<str>, begun: bool, is_over: bool, _under_way: UnderWay) {
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
