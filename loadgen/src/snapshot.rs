//! A snapshot: a database as it stood once its links were made, for others that want the same links.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::deployment::Database;
use crate::exchange::Links;
use crate::lab::Lab;
use crate::services::Scratch;

/// A copy that no server uses, and the links in it.
pub struct Snapshot {
    pub links: Arc<Links>,
    copy: Copy,
}

enum Copy {
    Sqlite(Scratch),
    /// The name of a database beside the original.
    Postgres(String),
}

impl Snapshot {
    /// Copies a database that nobody uses at the moment.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn take(database: &Database, links: Arc<Links>, lab: &Lab) -> Result<Self> {
        let copy = match database {
            Database::Sqlite { directory } => {
                let copy = Scratch::new("links")?;
                copy_files(directory, &copy)?;
                Copy::Sqlite(copy)
            }
            Database::Postgres { url } => {
                let postgres = lab.postgres().context("there is no PostgreSQL to copy in")?.borrow();
                Copy::Postgres(postgres.copy_database(name_of(url)?)?)
            }
        };
        Ok(Self { links, copy })
    }

    /// The name of PostgreSQL's copy.
    pub fn template(&self) -> Option<&str> {
        match &self.copy {
            Copy::Postgres(name) => Some(name),
            Copy::Sqlite(_) => None,
        }
    }

    /// Copies SQLite's files into the directory of another database.
    ///
    /// # Errors
    /// When they cannot be copied.
    pub fn copy_into(&self, directory: &Scratch) -> Result<()> {
        match &self.copy {
            Copy::Sqlite(copy) => copy_files(copy, directory),
            Copy::Postgres(_) => bail!("a snapshot of PostgreSQL cannot become one of SQLite"),
        }
    }
}

/// All files of the database: with the log of a server that was killed, if there is one.
fn copy_files(from: &Scratch, to: &Scratch) -> Result<()> {
    let names = ["", "-wal", "-shm"].map(|suffix| format!("links.db{suffix}"));
    for name in names {
        let (from, to) = (from.path().join(&name), to.path().join(&name));
        if from.exists() {
            fs::copy(&from, &to).context("the links could not be copied")?;
        }
    }
    Ok(())
}

fn name_of(url: &str) -> Result<&str> {
    let name = url.rsplit('/').next().unwrap_or_default();
    Ok(name.split('?').next().unwrap_or(name)).and_then(|name| match name {
        "" => bail!("{url} names no database"),
        name => Ok(name),
    })
}
