//! The contract: a running server, held against the OpenAPI document that was published.

mod changes;
mod schema;
mod session;

use anyhow::{Context, Result};
use serde_json::Value;

/// The document as it was published. It is kept, never edited: the server's own copy may change, this one may not.
const PUBLISHED: &str = include_str!("openapi-1.0.0.json");

/// What became of asking.
#[derive(Debug, Default)]
pub struct Findings {
    /// Answers that were held against the document.
    pub answers: u64,
    /// What breaks the contract, one line each.
    pub violations: Vec<String>,
}

/// Asks the server at `base` for every operation of the published document, rightly and wrongly, and compares the document
/// that it serves itself. What was created for that is deleted again.
///
/// # Errors
/// When the server gives no answer at all.
pub fn examine(base: &str) -> Result<Findings> {
    let published: Value = serde_json::from_str(PUBLISHED).context("the published document is no JSON")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(session::examine(base, &published))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever changes the server's document breaks this on purpose or not at all.
    #[test]
    fn the_servers_own_document_breaks_nothing_that_was_published() {
        let own = include_str!("../../../server/src/http/openapi.json");
        let (published, own) = (serde_json::from_str(PUBLISHED).unwrap(), serde_json::from_str(own).unwrap());
        assert_eq!(changes::breaking(&published, &own), Vec::<String>::new());
    }
}
