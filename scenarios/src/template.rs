//! Text with `{variables}`: what is literal in it, and what is filled in for each request.

use crate::file::suggestion;

/// A stretch of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Literal(String),
    /// The name between braces.
    Variable(String),
}

/// Names that need no `[value.…]` table: how often the template was used before, and sixteen
/// hexadecimal digits that follow from seed and row.
pub const BUILT_IN: [&str; 2] = ["row", "random"];

/// Takes a template apart. `{{name}}` stands for `{name}` itself; a brace that encloses no name stands for itself, too,
/// such as those of JSON.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let from = &rest[at..];
        if let Some(name) = escaped(from) {
            literal.push_str(&from[1..name.len() + 3]);
            rest = &from[name.len() + 4..];
        } else if let Some(name) = variable(from) {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Variable(name.to_owned()));
            rest = &from[name.len() + 2..];
        } else {
            literal.push_str(&from[..1]);
            rest = &from[1..];
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    pieces
}

/// Refuses a variable that is neither built in nor among `known`, and says what would do.
pub(crate) fn check(text: &str, known: &[&str]) -> Result<(), String> {
    let names: Vec<&str> = BUILT_IN.iter().chain(known).copied().collect();
    for piece in pieces(text) {
        match piece {
            Piece::Variable(name) if !names.contains(&name.as_str()) => {
                let suggestion = suggestion(&name, &names);
                return Err(format!("`{{{name}}}` is no value of this scenario; {suggestion}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The name that `{{name}}…` begins with.
fn escaped(text: &str) -> Option<&str> {
    let name = variable(text.strip_prefix('{')?)?;
    text[name.len() + 3..].starts_with('}').then_some(name)
}

/// The name that `{name}…` begins with: letters, digits, `_` and `-`.
fn variable(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let fits = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '-';
    (!name.is_empty() && name.chars().all(fits)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let show = |piece| match piece {
            Piece::Literal(text) => text,
            Piece::Variable(name) => format!("<{name}>"),
        };
        pieces(text).into_iter().map(show).collect()
    }

    #[test]
    fn names_are_variables_and_all_else_is_literal() {
        let cases = [
            ("/u/{id}/x{n}", "/u/<id>/x<n>"),
            ("{a}{b}", "<a><b>"),
            ("{\"id\": {id}}", "{\"id\": <id>}"),
            ("{\"id\": \"{{id}}\"}", "{\"id\": \"{id}\"}"),
            ("{\"a\":{\"b\":{\"c\":{id}}}}", "{\"a\":{\"b\":{\"c\":<id>}}}"),
            ("{{id}", "{<id>"),
            ("{}", "{}"),
            ("{{}}", "{{}}"),
            ("{", "{"),
            ("}{", "}{"),
            ("", ""),
            ("{größe}", "<größe>"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        assert_eq!(check("/{user}/{row}", &["user"]), Ok(()));
        assert_eq!(
            check("/{usr}", &["user"]).unwrap_err(),
            "`{usr}` is no value of this scenario; did you mean `user`?"
        );
    }
}
