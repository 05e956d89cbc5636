//! Words for counters: what a sum of them counts, and what it is divided by.

/// What a sum of counters counts, in a word: `database statements`.
pub(super) fn noun(names: &[String]) -> String {
    const NOUNS: [(&str, &str); 9] = [
        ("statement", "database statements"),
        ("uniqueness", "uniqueness queries"),
        ("hit", "hits"),
        ("_us", "CPU µs"),
        ("collision", "collisions"),
        ("violation", "collisions"),
        ("duplicate", "duplicates"),
        ("missing", "lost links"),
        ("error", "failed requests"),
    ];
    let known = NOUNS.iter().find(|(part, _)| names.iter().all(|name| name.contains(part)));
    known.map_or_else(|| names.join(" + "), |(_, noun)| (*noun).to_owned())
}

/// What a denominator counts, one of them: `create`.
pub(super) fn unit_of(names: &[String]) -> String {
    const NOUNS: [(&str, &str); 6] = [
        ("create", "create"),
        ("redirect", "redirect"),
        ("visit", "redirect"),
        ("lookup", "redirect"),
        ("ok", "request"),
        ("sent", "request"),
    ];
    let known = NOUNS.iter().find(|(part, _)| names.iter().all(|name| name.contains(part)));
    known.map_or_else(|| names.join(" + "), |(_, noun)| (*noun).to_owned())
}
