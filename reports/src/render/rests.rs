//! What a check rests on, in the few words that fit into a table: the details stand with its evidence.

use crate::verdict::CheckVerdict;

/// `self-reported, counted by the client; checked against client`: each once.
pub fn in_short(check: &CheckVerdict) -> String {
    let (mut standings, mut against): (Vec<&str>, Vec<&str>) = Default::default();
    let add = |list: &mut Vec<_>, word| {
        if !list.contains(&word) {
            list.push(word);
        }
    };
    for line in check.rests_on.iter().filter(|line| !line.contains(" was not checked against ")) {
        let (names, standing) = line.split_once(": ").unwrap_or(("", line));
        match names.split_once(" was checked against ") {
            Some((_, counter)) => add(&mut against, counter.split('.').next().unwrap_or(counter)),
            None => add(&mut standings, standing.split(" (").next().unwrap_or(standing)),
        }
    }
    let standings = standings.join(", ");
    if against.is_empty() {
        standings
    } else {
        format!("{standings}; checked against {}", against.join(", "))
    }
}
