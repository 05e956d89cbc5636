//! A text with variables: the pieces of a template, and what stands in them for a request.

use std::borrow::Cow;

use proofload_scenarios::template::{Piece, pieces};

use super::http::TemplateError;
use super::values::Values;

/// A text with variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Vec<Filled>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filled {
    Literal(String),
    /// The index of a value.
    Value(usize),
}

impl Text {
    pub fn literal(text: &str) -> Self {
        Self(vec![Filled::Literal(text.to_owned())])
    }

    /// # Errors
    /// When a variable is none of `values`: names it, the template and the place.
    pub fn parse(text: &str, template: &str, place: &str, values: &[String]) -> Result<Self, TemplateError> {
        let mut filled = Vec::new();
        for piece in pieces(text) {
            filled.push(match piece {
                Piece::Literal(literal) => Filled::Literal(literal),
                Piece::Variable(name) => match values.iter().position(|known| *known == name) {
                    Some(value) => Filled::Value(value),
                    None => {
                        let known = values.iter().map(|name| format!("`{{{name}}}`"));
                        let known = known.collect::<Vec<_>>().join(", ");
                        let (template, place) = (template.to_owned(), place.to_owned());
                        return Err(TemplateError::UnknownVariable { template, place, name, known });
                    }
                },
            });
        }
        if filled.is_empty() {
            filled.push(Filled::Literal(String::new()));
        }
        Ok(Self(filled))
    }

    /// Whether it is the same in all requests.
    pub fn is_fixed(&self) -> bool {
        matches!(self.0.as_slice(), [Filled::Literal(_)])
    }

    /// The text of the request of that row.
    pub fn fill(&self, values: &Values, row: u64) -> Cow<'_, str> {
        if let [Filled::Literal(literal)] = self.0.as_slice() {
            return Cow::Borrowed(literal);
        }
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Filled::Literal(literal) => filled.push_str(literal),
                Filled::Value(value) => values.write(*value, row, &mut filled),
            }
        }
        Cow::Owned(filled)
    }
}
