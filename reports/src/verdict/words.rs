//! Words for counters: what a sum of them counts, and what it is divided by.

/// What a sum of counters counts, in a word: `database statements`. Its names where there is none.
pub(super) fn noun(names: &[String]) -> String {
    const NOUNS: [(&str, &str); 18] = [
        ("uniqueness", "uniqueness queries"),
        ("statement", "database statements"),
        ("create_retries", "retries"),
        ("block_waits", "waits for a block"),
        ("pool_served", "codes from the pool"),
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
        ("client.created", "durable creates"),
        ("client.ok", "right answers"),
    ];
    one_word(names, &NOUNS)
}

/// What a denominator counts, one of them: `create`.
pub(super) fn unit_of(names: &[String]) -> String {
    const NOUNS: [(&str, &str); 7] = [
        ("create", "create"),
        ("redirect", "redirect"),
        ("visit", "redirect"),
        ("lookup", "redirect"),
        ("client.ok", "request"),
        ("client.sent", "request"),
        ("elapsed", "second"),
    ];
    one_word(names, &NOUNS)
}

/// Whether it counts what the cache answered: look-ups by their level, or hits by name.
pub(super) fn is_of_hits(sum: &[String]) -> bool {
    const LEVELS: [&str; 3] = ["lookups_process", "lookups_redis", "hit"];
    sum.iter().all(|name| LEVELS.iter().any(|level| name.contains(level)))
}

/// Each word once; a name that has none is told without its witness and its underscores.
fn one_word(names: &[String], words: &[(&str, &str)]) -> String {
    let word = |name: &String| match words.iter().find(|(part, _)| name.contains(part)) {
        Some((_, word)) => (*word).to_owned(),
        None => name.rsplit('.').next().unwrap_or(name).replace('_', " "),
    };
    let mut told: Vec<String> = Vec::new();
    for word in names.iter().map(word) {
        if !told.contains(&word) {
            told.push(word);
        }
    }
    told.join(" or ")
}
