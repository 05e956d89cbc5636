//! Idempotency keys: which code was set aside for a request, so that its retry makes the very same link.

use super::backend::Backend;
use super::links::int;
use super::statement::{Lane, Row, Statement, Value};
use super::{Inner, Key, Kind, Link, Result, Store, sql, unix_now};

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
    /// The key was claimed before, for this, and no link was made of it: the request is still under way, or was cut off.
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

    /// Inserts the link of a claim and notes it as made, at once, and says whether it did: not if its code is taken, and not
    /// if the claim is noted as made, or gone. So where a claim is open, no link was made of it; and one that was made, and may
    /// have been deleted since, is not made again.
    pub async fn insert_claimed(&self, idempotency_key: &str, link: &Link) -> Result<bool> {
        let (at_once, here, key) = match &link.key {
            Key::Generated(id) => (sql::INSERT_CLAIMED, sql::INSERT_CLAIMED_HERE, int(*id)),
            Key::Custom(code) => {
                (sql::INSERT_CUSTOM_CLAIMED, sql::INSERT_CUSTOM_CLAIMED_HERE, Value::Text(code))
            }
        };
        let values = vec![
            key,
            Value::Text(&link.url),
            Value::Int(link.created),
            Value::MaybeInt(link.expires),
            int(link.clicks),
            Value::Text(idempotency_key),
        ];
        match self.inner.backend {
            Backend::Postgres(_) => {
                Ok(self.execute(Statement::write(Kind::Insert, at_once, values)).await? == 1)
            }
            Backend::Sqlite(_) => {
                let note = vec![Value::Text(idempotency_key), Value::Int(link.created)];
                let note = Statement::write(Kind::Idempotency, sql::NOTE_CLAIM, note);
                self.both(&Statement::write(Kind::Insert, here, values), &note).await
            }
        }
    }

    /// Runs the first statement and, if it changed a row, the second, in one transaction; whether it did.
    async fn both(&self, first: &Statement<'_>, second: &Statement<'_>) -> Result<bool> {
        let Inner { backend, statements, statement_timeout, .. } = &*self.inner;
        let mut session = backend.session(Lane::Write, self.deadline).await?;
        // An error drops the session, which rolls back.
        let mut run = async |statement: &Statement<'_>| {
            session.run(statement, statements, *statement_timeout, self.deadline, &mut |_| Ok(())).await
        };
        run(&Statement::write(Kind::Idempotency, sql::BEGIN_HERE, vec![])).await?;
        let changes = run(first).await? > 0;
        if changes {
            run(second).await?;
        }
        run(&Statement::write(Kind::Idempotency, sql::COMMIT, vec![])).await?;
        session.keep();
        Ok(changes)
    }

    /// Sets another id aside under an open claim, in place of one that turned out to be someone else's; not where another
    /// request with the same key was sooner.
    pub async fn reclaim(&self, idempotency_key: &str, old: u64, new: u64) -> Result<()> {
        let values = vec![Value::Text(idempotency_key), int(old), int(new)];
        self.execute(Statement::write(Kind::Idempotency, sql::RECLAIM, values)).await.map(drop)
    }

    /// Gives up an open claim of a custom code, which turned out to be someone else's.
    pub async fn unclaim(&self, idempotency_key: &str, code: &str) -> Result<()> {
        let values = vec![Value::Text(idempotency_key), Value::Text(code)];
        self.execute(Statement::write(Kind::Idempotency, sql::UNCLAIM, values)).await.map(drop)
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
