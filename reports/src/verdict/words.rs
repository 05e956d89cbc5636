//! Words for counters and facts: what a sum of them counts, what it is divided by, what a number says.

/// What a sum of counters counts, in a word: `database statements`. Their names where there is none.
/// Several are joined by `and`, or by `or` after `no`.
pub(super) fn noun(names: &[String], joint: &str) -> String {
    const NOUNS: [(&str, &str); 22] = [
        ("uniqueness", "uniqueness queries"),
        ("statement", "database statements"),
        ("create_retries", "retries"),
        ("block_waits", "waits for a block"),
        ("pool_served", "codes from the pool"),
        ("hit", "hits"),
        ("collision", "collisions"),
        ("violation", "collisions"),
        ("rolled_back", "inserts that were rolled back"),
        ("duplicate", "duplicates"),
        ("missing", "lost links"),
        ("client.wrong", "failed requests"),
        ("client.timeout", "failed requests"),
        ("client.error", "failed requests"),
        ("client.dropped", "failed requests"),
        ("lookups_store", "database reads"),
        ("client.created", "durable creates"),
        ("client.ok", "right answers"),
        ("allocations", "leased blocks"),
        ("strangers", "links that nobody asked for"),
        ("unleased", "ids that nobody leased"),
        ("postgres.selects", "reads of the database"),
    ];
    match is_cpu(names) {
        true => format!("CPU time of {}", processes(names)),
        false => joined(each_once(names, &NOUNS), joint),
    }
}

/// Processor time is much, all else is many.
pub(super) fn is_cpu(names: &[String]) -> bool {
    names.iter().all(|name| name.starts_with("cpu."))
}

/// `server and postgres`.
fn processes(names: &[String]) -> String {
    let name = |name: &String| name.trim_start_matches("cpu.").trim_end_matches("_us").to_owned();
    joined(names.iter().map(name).collect(), "and")
}

/// What a share is one of.
pub(super) fn whole(names: &[String]) -> String {
    if is_cpu(names) { format!("that of {} together", processes(names)) } else { "all".to_owned() }
}

/// What a denominator counts, one of them: `create`.
pub(super) fn unit_of(names: &[String]) -> String {
    const NOUNS: [(&str, &str); 8] = [
        ("first_visits", "link that was visited anew"),
        ("create", "create"),
        ("redirect", "redirect"),
        ("visit", "redirect"),
        ("lookup", "redirect"),
        ("client.ok", "request"),
        ("client.sent", "request"),
        ("elapsed", "second"),
    ];
    match names {
        [one] if one.ends_with("lookups_store") => "look-up that missed".to_owned(),
        _ => joined(each_once(names, &NOUNS), "or"),
    }
}

/// What a fact says, with its value: `The hit rate was back after 1.2 s`.
pub(super) fn fact(name: &str, value: &str, end_was_seen: bool) -> String {
    const SAID: [(&str, &str); 7] = [
        ("codes-per-stack", "There are {} codes per stack"),
        ("codes-in-all", "There are {} codes in all"),
        ("codes-speedup", "Making codes alone was {} as fast"),
        ("creates-speedup", "Durable creates were {} as fast"),
        ("contract-violations", "There were {} answers that break the contract"),
        ("health-probes-failed", "There were {} failed health probes"),
        ("recovery-s", "The hit rate was back after {}"),
    ];
    let value = value.replace(" ×", " times");
    if !end_was_seen {
        return match name {
            "recovery-s" => format!("The hit rate was not back after {value}"),
            _ => format!("`{name}` came to {value} at least"),
        };
    }
    match SAID.iter().find(|(of, _)| *of == name) {
        Some((_, said)) => said.replace("{}", if value == "0" { "no" } else { &value }),
        None => format!("`{name}` came to {value}"),
    }
}

/// Whether it counts what the cache answered: look-ups by their level, or hits by name.
pub(super) fn is_of_hits(sum: &[String]) -> bool {
    const LEVELS: [&str; 3] = ["lookups_process", "lookups_redis", "hit"];
    sum.iter().all(|name| LEVELS.iter().any(|level| name.contains(level)))
}

/// Each word once; a name that has none is told without its witness and its underscores.
fn each_once(names: &[String], words: &[(&str, &str)]) -> Vec<String> {
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
    told
}

/// `a, b or c`.
fn joined(mut words: Vec<String>, joint: &str) -> String {
    match words.pop() {
        Some(last) if !words.is_empty() => format!("{} {joint} {last}", words.join(", ")),
        last => last.unwrap_or_default(),
    }
}
