//! Idempotency keys: which code was set aside for a request, so that its retry makes the very same link.

use super::links::int;
use super::statement::{Row, Statement, Value};
use super::{Key, Kind, Link, Result, Store, sql, unix_now};

/// What an idempotency key was first used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// A digest of the request that claimed the key.
    pub fingerprint: u64,
    /// The code set aside for it.
    pub key: Key,
}

/// What stands under an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The key was claimed before, for this, and no link is known to be made of it: the request is still under way, or
    /// was cut off.
    Open(Claim),
    /// The link of this claim was made, at this time (unix seconds, as in its row). It may have been changed since.
    Made(Claim, i64),
}

impl Store {
    /// Claims an idempotency key; or tells what it was claimed for before, where it was.
    pub async fn claim(&self, idempotency_key: &str, claim: &Claim) -> Result<Option<Claimed>> {
        loop {
            let (id, custom) = match &claim.key {
                Key::Generated(id) => (Some(id.cast_signed()), None),
                Key::Custom(code) => (None, Some(&**code)),
            };
            let values = vec![
                Value::Text(idempotency_key),
                int(claim.fingerprint),
                Value::MaybeInt(id),
                Value::MaybeText(custom),
                Value::Int(unix_now()),
            ];
            if self.execute(Statement::write(Kind::Idempotency, sql::CLAIM, values)).await? == 1 {
                return Ok(None);
            }
            // The claim may have been forgotten between the two statements; then it is free again.
            if let Some(before) = self.claimed(idempotency_key).await? {
                return Ok(Some(before));
            }
        }
    }

    /// What an idempotency key was claimed for.
    pub async fn claimed(&self, idempotency_key: &str) -> Result<Option<Claimed>> {
        let values = vec![Value::Text(idempotency_key)];
        self.first(Statement::write(Kind::Idempotency, sql::CLAIMED, values), decode).await
    }

    /// Inserts the link of a claim, and says whether it did: not if its code is taken, and not if the claim is noted as made,
    /// or gone. What was noted before the statement is over counts, so that a link whose maker was answered, and which may
    /// have been deleted since, is not inserted again.
    pub async fn insert_claimed(&self, idempotency_key: &str, link: &Link) -> Result<bool> {
        let (text, key) = match &link.key {
            Key::Generated(id) => (sql::INSERT_CLAIMED, int(*id)),
            Key::Custom(code) => (sql::INSERT_CUSTOM_CLAIMED, Value::Text(code)),
        };
        let values = vec![
            key,
            Value::Text(&link.url),
            Value::Int(link.created),
            Value::MaybeInt(link.expires),
            int(link.clicks),
            Value::Text(idempotency_key),
        ];
        Ok(self.execute(Statement::write(Kind::Insert, text, values)).await? == 1)
    }

    /// Notes that the link of a claim was made, so that it is never made again.
    pub async fn claim_made(&self, idempotency_key: &str, created: i64) -> Result<()> {
        let values = vec![Value::Text(idempotency_key), Value::Int(created)];
        self.execute(Statement::write(Kind::Idempotency, sql::CLAIM_MADE, values)).await.map(drop)
    }

    /// Forgets idempotency keys claimed before `before` (unix seconds); returns how many.
    pub async fn forget_claims(&self, before: i64) -> Result<u64> {
        let values = vec![Value::Int(before)];
        self.execute(Statement::write(Kind::Idempotency, sql::FORGET_CLAIMS, values)).await
    }
}

fn decode(row: &dyn Row) -> sqlx::Result<Claimed> {
    let key = match row.maybe_text(2)? {
        Some(code) => Key::Custom(code.into()),
        None => Key::Generated(row.int(1)?.cast_unsigned()),
    };
    let claim = Claim { fingerprint: row.int(0)?.cast_unsigned(), key };
    Ok(match row.maybe_int(3)? {
        Some(made) => Claimed::Made(claim, made),
        None => Claimed::Open(claim),
    })
}
