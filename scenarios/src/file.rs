//! What is wrong with a scenario or claim file, in one line that names file, line, field and remedy.

use std::ops::Range;

use serde::de::DeserializeOwned;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A broken file, said to whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}, line {line}: {problem}")]
pub struct FileError {
    pub file: String,
    pub line: usize,
    /// The field and the remedy.
    pub problem: String,
}

/// A file's text, kept to say where in it a fault lies.
pub(crate) struct Source<'a> {
    file: &'a str,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Source<'a> {
    /// Reads TOML into `T`, and keeps where each field stands.
    pub fn read<T: DeserializeOwned>(text: &'a str, file: &'a str) -> Result<(T, Self), FileError> {
        let broken = |error: toml::de::Error| FileError {
            file: file.to_owned(),
            line: line_of(text, error.span()),
            problem: remedy(error.message()),
        };
        let value = toml::from_str(text).map_err(broken)?;
        let root = DeTable::parse(text).map_err(broken)?;
        Ok((value, Self { file, text, root }))
    }

    /// The error for the field at `path`, such as `check.0.bound`; its line is that of the deepest
    /// part that the file spells out.
    pub fn fault(&self, path: &str, problem: impl Into<String>) -> FileError {
        FileError {
            file: self.file.to_owned(),
            line: line_of(self.text, Some(self.span(path))),
            problem: problem.into(),
        }
    }

    fn span(&self, path: &str) -> Range<usize> {
        let mut keys = path.split('.');
        let first = keys.next().and_then(|key| self.root.get_ref().get_key_value(key));
        let Some((name, mut value)) = first else { return self.root.span() };
        let mut span = name.span();
        for key in keys {
            let inner = match value.get_ref() {
                DeValue::Table(table) => table.get_key_value(key).map(|(name, value)| (name.span(), value)),
                DeValue::Array(array) => key
                    .parse()
                    .ok()
                    .and_then(|index: usize| array.get(index))
                    .map(|value| (value.span(), value)),
                _ => None,
            };
            let Some((inner_span, inner_value)) = inner else { break };
            span = inner_span;
            value = inner_value;
        }
        span
    }
}

/// `; did you mean …?` where one of `known` is near, all of them where none is.
pub fn suggestion(wrong: &str, known: &[&str]) -> String {
    let nearest = known.iter().min_by_key(|name| distance(wrong, name));
    match nearest {
        Some(name) if distance(wrong, name) <= 1 + name.len().div_ceil(4) => {
            format!("did you mean `{name}`?")
        }
        Some(_) => format!("known are {}", quoted(known)),
        None => "none is known here".to_owned(),
    }
}

pub(crate) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn line_of(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start).min(text.len());
    1 + text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count()
}

/// The reader's own message, with the nearest of the names that it lists in place of the list.
fn remedy(message: &str) -> String {
    let message = message.replace('\n', " ");
    let mut names = message.split('`').skip(1).step_by(2);
    let wrong = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    for kind in ["unknown field", "unknown variant"] {
        if message.starts_with(kind) && !known.is_empty() {
            return format!("{kind} `{wrong}`; {}", suggestion(wrong, &known));
        }
    }
    match message.strip_prefix("missing field") {
        Some(field) => format!("the field{field} is missing; add it"),
        None => message,
    }
}

/// Levenshtein's distance: insertions, deletions and replacements of one byte.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn a_near_name_is_proposed_and_a_far_one_is_not() {
        assert_eq!(
            suggestion("mesurement_s", &["warm_up_s", "measurement_s"]),
            "did you mean `measurement_s`?"
        );
        assert_eq!(suggestion("colour", &["warm_up_s", "slice_s"]), "known are `warm_up_s`, `slice_s`");
    }
}
