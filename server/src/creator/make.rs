//! The steps of a create, one for each design.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::drawing::Drawing;
use super::{CodeDesign, CreateError, Created, CreatorOptions, Idempotency, InsertDesign, NewLink, stopping};
use crate::blocks::Blocks;
use crate::codes::{CODES_PER_SLOT, Codec, check_custom};
use crate::inserter::{Inserted, Inserter, Outcome, Row, RowId};
use crate::pool::Pool;
use crate::store::{Claim, Claimed, Key, Link, NewRow, Store, StoreError, entropy, unix_now};

/// The longest URL that is stored; the front may be stricter.
const LONGEST_URL: usize = 65_536;
/// Codes that are drawn for one link before it is given up.
const MOST_DRAWS: u32 = 100;

/// What creating is made of.
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) codec: Codec,
    pub(super) drawing: Drawing,
    pub(super) options: CreatorOptions,
    pub(super) handle: Handle,
    pub(super) blocks: Blocks,
    pub(super) pool: Pool,
    pub(super) inserter: Inserter,
}

pub(super) struct Maker {
    parts: Parts,
    rng: Mutex<Pcg64>,
    pub(super) counts: Counts,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) replayed: AtomicU64,
    /// Drawn codes that the uniqueness check found taken.
    pub(super) conflicts: AtomicU64,
}

impl std::ops::Deref for Maker {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Maker {
    pub(super) fn new(parts: Parts) -> Maker {
        let rng = Mutex::new(Pcg64::seed_from_u64(entropy()));
        Maker { parts, rng, counts: Counts::default() }
    }

    /// Whether a create needs nothing but its turn in the queue.
    pub(super) fn takes_from_queue(&self, new: &NewLink) -> bool {
        let is_plain = new.custom.is_none() && new.idempotency.is_none();
        is_plain
            && self.options.codes != CodeDesign::Checked
            && self.options.insert == InsertDesign::Coalesced
    }

    /// Creates a link by `deadline`.
    pub(super) async fn create(&self, new: NewLink, deadline: Instant) -> Result<Created, CreateError> {
        Making { maker: self, store: self.store.by(deadline), deadline }.create(new).await
    }
}

/// A create under way.
struct Making<'a> {
    maker: &'a Maker,
    /// Which takes no longer than there is time.
    store: Store,
    deadline: Instant,
}

impl Making<'_> {
    async fn create(&self, mut new: NewLink) -> Result<Created, CreateError> {
        if let Some(idempotency) = new.idempotency.take() {
            let created = self.once(new, idempotency).await;
            if created.as_ref().is_ok_and(|created| created.replayed) {
                self.maker.counts.replayed.fetch_add(1, Relaxed);
            }
            return created;
        }
        match new.custom.take() {
            Some(code) => self.custom(&code, new).await,
            None if self.maker.options.codes == CodeDesign::Checked => self.drawn(new).await,
            None => created(self.insert(self.row(new, RowId::Next)).await?),
        }
    }

    /// A custom code: the only kind that is checked first in the `blocks` design.
    async fn custom(&self, code: &str, new: NewLink) -> Result<Created, CreateError> {
        let key = Key::Custom(code.into());
        if self.store.is_taken(&key).await.map_err(nothing_stored)? {
            return Err(CreateError::Taken);
        }
        let now = unix_now();
        let inserted = self.store.insert_custom(code, &new.url, now, new.expires, new.clicks).await;
        self.maker.inserter.count_one(&inserted);
        if !inserted.map_err(refusal)? {
            return Err(CreateError::Taken);
        }
        let link = Link { key, url: new.url, created: now, expires: new.expires, clicks: new.clicks };
        Ok(Created { code: code.to_owned(), link, replayed: false })
    }

    /// The `checked` design: draw, ask, insert, and again where the code was taken.
    async fn drawn(&self, new: NewLink) -> Result<Created, CreateError> {
        let mut row = self.row(new, RowId::Next);
        for _ in 0..MOST_DRAWS {
            row.id = RowId::Drawn(self.draw().await?);
            match self.insert(row).await? {
                Inserted::Taken(again) => row = again,
                Inserted::Stored(row, code) => {
                    self.hold(Some(row.id)).await.map_err(indeterminate)?;
                    return created(Inserted::Stored(row, code));
                }
            }
        }
        Err(CreateError::Collisions(MOST_DRAWS))
    }

    /// Draws ids in the slot of its own until the database says that one is free.
    async fn draw(&self) -> Result<u64, CreateError> {
        let slot = self.maker.drawing.slot(&self.store).await.map_err(nothing_stored)?;
        for _ in 0..MOST_DRAWS {
            let n = self.maker.rng.lock().random_range(0..CODES_PER_SLOT);
            let id = self.maker.codec.id(n, slot);
            if !self.store.is_taken(&Key::Generated(id)).await.map_err(nothing_stored)? {
                return Ok(id);
            }
            self.maker.counts.conflicts.fetch_add(1, Relaxed);
        }
        Err(CreateError::Collisions(MOST_DRAWS))
    }

    /// A create that a client may repeat. The code is set aside under the client's key before anything is stored, so
    /// that a retry, even after a crash in between, makes the very same link or finds it made. The link is stored and noted as
    /// made at once, and none is stored for a claim that is noted so: no retry, and none of several requests side by side,
    /// brings back what the client deleted since.
    async fn once(&self, new: NewLink, idempotency: Idempotency) -> Result<Created, CreateError> {
        let Idempotency { key: idempotency_key, fingerprint } = idempotency;
        for _ in 0..MOST_DRAWS {
            let known = self.store.claimed(&idempotency_key).await.map_err(nothing_stored)?;
            let standing = match known {
                Some(before) => before,
                None => self.claim(&new, &idempotency_key, fingerprint).await?,
            };
            let key = match standing {
                Claimed::Open(claim) | Claimed::Made(claim, _) if claim.fingerprint != fingerprint => {
                    return Err(CreateError::IdempotencyMismatch);
                }
                Claimed::Made(claim, made) => return self.made_before(&claim.key, made).await,
                Claimed::Open(claim) => claim.key,
            };
            if let Some(created) = self.claimed(&idempotency_key, key, &new).await? {
                return Ok(created);
            }
        }
        Err(CreateError::Collisions(MOST_DRAWS))
    }

    /// Sets a code aside under a key that nobody had claimed a moment ago. Drawn only then, so that no retry uses a code up.
    async fn claim(
        &self,
        new: &NewLink,
        idempotency_key: &str,
        fingerprint: u64,
    ) -> Result<Claimed, CreateError> {
        let key = match &new.custom {
            Some(code) => Key::Custom(code.as_str().into()),
            None => Key::Generated(self.an_id().await?),
        };
        if new.custom.is_some() && self.store.is_taken(&key).await.map_err(nothing_stored)? {
            // Not by another request with this key, which would have claimed it before it took the code.
            let claim = self.store.claimed(idempotency_key).await.map_err(nothing_stored)?;
            return claim.ok_or(CreateError::Taken);
        }
        let claim = Claim { fingerprint, key };
        let before = self.store.claim(idempotency_key, &claim).await.map_err(nothing_stored)?;
        Ok(before.unwrap_or(Claimed::Open(claim)))
    }

    /// Makes the link of an open claim; `None` where the claim is to be looked at again.
    async fn claimed(
        &self,
        idempotency_key: &str,
        key: Key,
        new: &NewLink,
    ) -> Result<Option<Created>, CreateError> {
        let id = match key {
            Key::Generated(id) => Some(id),
            Key::Custom(_) => None,
        };
        match self.hold(id).await {
            Ok(()) => {}
            Err(StoreError::SlotLost) => return self.claim_another(idempotency_key, id).await,
            Err(error) => return Err(nothing_stored(error)),
        }
        let NewLink { url, expires, clicks, .. } = new.clone();
        let link = Link { key, url, created: unix_now(), expires, clicks };
        let inserted = self.store.insert_claimed(idempotency_key, &link).await;
        self.maker.inserter.count_one(&inserted);
        if inserted.map_err(refusal)? {
            self.hold(id).await.map_err(indeterminate)?;
            let code = self.maker.codec.text(&link.key);
            return Ok(Some(Created { code, link, replayed: false }));
        }
        let claim = self.store.claimed(idempotency_key).await.map_err(nothing_stored)?;
        match (claim, &link.key) {
            // The code is someone else's, since what was made of this claim would be noted.
            (Some(Claimed::Open(claim)), Key::Custom(code)) if claim.key == link.key => {
                // If that fails, the key is of no use for another code for a day.
                drop(self.store.unclaim(idempotency_key, code).await);
                Err(CreateError::Taken)
            }
            // So is the id: the database had lost the lease that it is of.
            (Some(Claimed::Open(claim)), Key::Generated(_)) if claim.key == link.key => {
                self.claim_another(idempotency_key, id).await
            }
            _ => Ok(None),
        }
    }

    /// Makes sure that the database knows the lease of a generated id.
    async fn hold(&self, id: Option<u64>) -> Result<(), StoreError> {
        match id {
            Some(id) if self.maker.options.codes == CodeDesign::Checked => {
                self.maker.drawing.hold(&self.store, id).await
            }
            Some(id) => self.maker.pool.hold(&self.store, [id]).await,
            None => Ok(()),
        }
    }

    /// Claims another id in place of one that is someone else's.
    async fn claim_another<T>(&self, key: &str, old: Option<u64>) -> Result<Option<T>, CreateError> {
        if let Some(old) = old {
            let new = self.an_id().await?;
            self.store.reclaim(key, old, new).await.map_err(nothing_stored)?;
        }
        Ok(None)
    }

    /// The link of a claim that was made at `made`, as it is now. A link under the same custom code that was made at any
    /// other time is someone else's.
    async fn made_before(&self, key: &Key, made: i64) -> Result<Created, CreateError> {
        match self.store.find(key).await.map_err(nothing_stored)? {
            Some(link) if link.created == made => Ok(self.replay(link)),
            _ => Err(CreateError::Deleted),
        }
    }

    fn replay(&self, link: Link) -> Created {
        Created { code: self.maker.codec.text(&link.key), link, replayed: true }
    }

    async fn an_id(&self) -> Result<u64, CreateError> {
        if self.maker.options.codes == CodeDesign::Checked {
            return self.draw().await;
        }
        let ready =
            self.maker.pool.take(1, self.deadline).await.map_err(|error| CreateError::NoIds(error.0))?;
        Ok(ready[0].0)
    }

    async fn insert(&self, row: Row) -> Outcome {
        match self.maker.options.insert {
            InsertDesign::Single => self.maker.inserter.insert_alone(row).await,
            InsertDesign::Coalesced => {
                self.maker.inserter.submit(row, None).await.unwrap_or_else(|_| Err(stopping()))
            }
        }
    }

    fn row(&self, new: NewLink, id: RowId) -> Row {
        row(new, id, self.deadline)
    }
}

/// What the store could never hold is refused before it can spoil a batch.
pub(super) fn check(new: &NewLink) -> Result<(), CreateError> {
    if new.url.contains('\0') {
        return Err(CreateError::Url("it contains a NUL"));
    }
    if new.url.len() > LONGEST_URL {
        return Err(CreateError::Url("it is longer than 65,536 bytes"));
    }
    if i64::try_from(new.clicks).is_err() {
        return Err(CreateError::Url("its click count does not fit"));
    }
    if let Some(code) = &new.custom {
        check_custom(code)?;
    }
    Ok(())
}

pub(super) fn row(new: NewLink, id: RowId, deadline: Instant) -> Row {
    Row { url: new.url, created: unix_now(), expires: new.expires, clicks: new.clicks, id, deadline }
}

/// A row with a generated code, as its client is told of it.
pub(super) fn created(inserted: Inserted) -> Result<Created, CreateError> {
    match inserted {
        Inserted::Stored(row, code) => {
            let NewRow { id, url, created, expires, clicks } = row;
            let link = Link { key: Key::Generated(id), url, created, expires, clicks };
            Ok(Created { code: code.as_str().to_owned(), link, replayed: false })
        }
        Inserted::Taken(_) => Err(CreateError::Collisions(1)),
    }
}

/// The error of a statement that stores a link.
fn refusal(error: StoreError) -> CreateError {
    match error {
        StoreError::Unavailable(text) => CreateError::Indeterminate(text),
        error => nothing_stored(error),
    }
}

/// The error of what is left to do once the link is stored.
fn indeterminate(error: StoreError) -> CreateError {
    CreateError::Indeterminate(error.to_string())
}

/// The error of a statement before the one that stores a link.
fn nothing_stored(error: StoreError) -> CreateError {
    CreateError::Store(error.to_string())
}
