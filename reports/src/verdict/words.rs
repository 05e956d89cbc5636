//! Words for counters: what a sum of them counts, and what it is divided by.

/// What a sum of counters counts, in a word: `database statements`. Its names where there is none.
pub(super) fn noun(names: &[String]) -> String {
    const NOUNS: [(&str, &str); 13] = [
        ("statement", "database statements"),
        ("uniqueness", "uniqueness queries"),
        ("hit", "hits"),
        ("collision", "collisions"),
        ("violation", "collisions"),
        ("duplicate", "duplicates"),
        ("missing", "lost links"),
        ("client.wrong", "failed requests"),
        ("client.timeout", "failed requests"),
        ("client.error", "failed requests"),
        ("client.dropped", "failed requests"),
        ("cpu.", "CPU µs"),
        ("lookups_store", "database reads"),
    ];
    one_word(names, &NOUNS)
}

/// What a denominator counts, one of them: `create`.
pub(super) fn unit_of(names: &[String]) -> String {
    const NOUNS: [(&str, &str); 6] = [
        ("create", "create"),
        ("redirect", "redirect"),
        ("visit", "redirect"),
        ("lookup", "redirect"),
        ("client.ok", "request"),
        ("client.sent", "request"),
    ];
    one_word(names, &NOUNS)
}

/// Whether it counts what the cache answered: look-ups by their level, or hits by name.
pub(super) fn is_of_hits(sum: &[String]) -> bool {
    const LEVELS: [&str; 3] = ["lookups_process", "lookups_redis", "hit"];
    sum.iter().all(|name| LEVELS.iter().any(|level| name.contains(level)))
}

/// The word that all names share, or else the names themselves.
fn one_word(names: &[String], words: &[(&str, &str)]) -> String {
    let word = |name: &String| words.iter().find(|(part, _)| name.contains(part)).map(|(_, word)| *word);
    match names.first().and_then(word) {
        Some(first) if names.iter().all(|name| word(name) == Some(first)) => first.to_owned(),
        _ => names.join(" + "),
    }
}
