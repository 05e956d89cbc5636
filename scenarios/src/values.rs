//! What stands for `{name}` in an HTTP template: a CSV file's columns and seeded generators.

use std::collections::BTreeMap;
use std::fmt::Write;

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use thiserror::Error;

use crate::csv::{CsvError, Table};
use crate::file::suggestion;
use crate::random::mix;
use crate::scenario::{AtEnd, ValueSource};
use crate::template::{Piece, pieces};
use crate::zipf::Zipf;

/// Values by name and row. The same seed, name and row give the same value, in whatever order they
/// are asked for: so workers need not share a generator.
#[derive(Debug, Clone)]
pub struct Values {
    named: BTreeMap<String, Source>,
    files: Vec<Table>,
    seed: u64,
}

/// A template whose names were found: cheap to fill in for each request.
#[derive(Debug, Clone)]
pub struct Text(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ValueError {
    #[error("value `{name}`: {file} cannot be read: {why}; give a path relative to the scenario file")]
    Unreadable { name: String, file: String, why: String },
    #[error("value `{name}`: {file} has no column `{column}`; {suggestion}")]
    NoColumn { name: String, file: String, column: String, suggestion: String },
    #[error("value `{name}`: {file}: {source}")]
    Csv { name: String, file: String, source: CsvError },
    #[error("`{{{name}}}` is no value of this scenario; {suggestion}")]
    Unknown { name: String, suggestion: String },
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Value(Source),
}

#[derive(Debug, Clone)]
enum Source {
    Column { file: usize, column: usize, at_end: AtEnd },
    Integer { from: i64, span: u64, salt: u64 },
    Zipf { zipf: Box<Zipf>, salt: u64 },
    Uuid { salt: u64 },
    Sequence { from: u64 },
    Random { salt: u64 },
}

impl Values {
    /// Prepares `sources`; `read` gives a file's text by the name that the scenario calls it.
    ///
    /// # Errors
    /// A file that cannot be read, is no CSV, has no row or not that column: by name, with the remedy.
    pub fn new(
        sources: &BTreeMap<String, ValueSource>,
        seed: u64,
        mut read: impl FnMut(&str) -> std::io::Result<String>,
    ) -> Result<Self, ValueError> {
        let mut values = Self { named: BTreeMap::new(), files: Vec::new(), seed };
        let mut opened: BTreeMap<&str, usize> = BTreeMap::new();
        values.add("row", Source::Sequence { from: 0 });
        values.add("random", Source::Random { salt: salt(seed, "random") });
        for (name, source) in sources {
            if let ValueSource::Csv { file, .. } = source
                && !opened.contains_key(file.as_str())
            {
                opened.insert(file, values.files.len());
                values.files.push(table(name, file, &mut read)?);
            }
            let source = values.source(name, source, &opened)?;
            values.add(name, source);
        }
        Ok(values)
    }

    /// Finds the names of a template.
    ///
    /// # Errors
    /// An unknown name, with the nearest that is known.
    pub fn text(&self, template: &str) -> Result<Text, ValueError> {
        let part = |piece| match piece {
            Piece::Literal(text) => Ok(Part::Literal(text)),
            Piece::Variable(name) => self.named.get(&name).cloned().map(Part::Value).ok_or_else(|| {
                let known: Vec<&str> = self.named.keys().map(String::as_str).collect();
                ValueError::Unknown { suggestion: suggestion(&name, &known), name }
            }),
        };
        pieces(template).into_iter().map(part).collect::<Result<_, _>>().map(Text)
    }

    /// The number of requests after which a CSV file that says `stop` has ended; `None` where none does.
    pub fn rows(&self) -> Option<u64> {
        let ends = self.named.values().filter_map(|source| match source {
            Source::Column { file, at_end: AtEnd::Stop, .. } => Some(self.files[*file].rows() as u64),
            _ => None,
        });
        ends.min()
    }

    /// The text for one request.
    pub fn fill(&self, text: &Text, row: u64) -> String {
        let mut filled = String::with_capacity(64);
        for part in &text.0 {
            match part {
                Part::Literal(literal) => filled.push_str(literal),
                Part::Value(source) => self.write(source, row, &mut filled),
            }
        }
        filled
    }

    fn write(&self, source: &Source, row: u64, text: &mut String) {
        let written = match source {
            Source::Column { file, column, .. } => {
                let table = &self.files[*file];
                text.write_str(table.cell((row % table.rows() as u64) as usize, *column))
            }
            Source::Integer { from, span, salt } => {
                let offset = (u128::from(mix(salt ^ mix(row))) * (u128::from(*span) + 1)) >> 64;
                write!(text, "{}", i128::from(*from) + offset as i128)
            }
            Source::Zipf { zipf, salt } => {
                write!(text, "{}", zipf.sample(&mut Pcg64Mcg::seed_from_u64(salt ^ mix(row))))
            }
            Source::Uuid { salt } => write_uuid(text, mix(salt ^ mix(row)), mix(!salt ^ mix(row))),
            Source::Sequence { from } => write!(text, "{}", from.wrapping_add(row)),
            Source::Random { salt } => write!(text, "{:016x}", mix(salt ^ mix(row))),
        };
        debug_assert!(written.is_ok(), "a string takes whatever is written to it");
    }

    fn source(
        &self,
        name: &str,
        source: &ValueSource,
        opened: &BTreeMap<&str, usize>,
    ) -> Result<Source, ValueError> {
        let salt = salt(self.seed, name);
        Ok(match source {
            ValueSource::Csv { file, column, at_end } => {
                let index = opened[file.as_str()];
                let column = self.column(name, file, index, column)?;
                Source::Column { file: index, column, at_end: *at_end }
            }
            ValueSource::Integer { from, to } => {
                Source::Integer { from: *from, span: to.abs_diff(*from), salt }
            }
            ValueSource::Zipf { count, exponent } => {
                Source::Zipf { zipf: Box::new(Zipf::new(*count, *exponent)), salt }
            }
            ValueSource::Uuid => Source::Uuid { salt },
            ValueSource::Sequence { from } => Source::Sequence { from: *from },
        })
    }

    fn column(&self, name: &str, file: &str, index: usize, column: &str) -> Result<usize, ValueError> {
        let names = self.files[index].names();
        names.iter().position(|known| known == column).ok_or_else(|| {
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let (name, file, column) = (name.to_owned(), file.to_owned(), column.to_owned());
            ValueError::NoColumn { suggestion: suggestion(&column, &known), name, file, column }
        })
    }

    fn add(&mut self, name: &str, source: Source) {
        self.named.insert(name.to_owned(), source);
    }
}

impl Text {
    /// The text itself, where no request changes it.
    pub fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

fn table(
    name: &str,
    file: &str,
    read: &mut impl FnMut(&str) -> std::io::Result<String>,
) -> Result<Table, ValueError> {
    let text = read(file).map_err(|error| ValueError::Unreadable {
        name: name.to_owned(),
        file: file.to_owned(),
        why: error.to_string(),
    })?;
    let broken = |source| ValueError::Csv { name: name.to_owned(), file: file.to_owned(), source };
    Table::parse(&text).map_err(broken)
}

/// Keeps the values of two names apart.
fn salt(seed: u64, name: &str) -> u64 {
    name.bytes().fold(mix(seed), |salt, byte| mix(salt ^ u64::from(byte)))
}

fn write_uuid(text: &mut String, high: u64, low: u64) -> std::fmt::Result {
    let version = high & !0xf000 | 0x4000;
    let variant = low & !(3 << 62) | 2 << 62;
    let (a, b, c) = (version >> 32, version >> 16 & 0xffff, version & 0xffff);
    write!(text, "{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", variant >> 48, variant & 0xffff_ffff_ffff)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io;

    use super::*;

    const USERS: &str = "id,name\n1,Ada\n2,\"Grace, H.\"\n";

    fn values(toml: &str) -> Result<Values, ValueError> {
        let sources = toml::from_str(toml).unwrap();
        Values::new(&sources, 7, |file| match file {
            "users.csv" => Ok(USERS.to_owned()),
            "empty.csv" => Ok("id\n".to_owned()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        })
    }

    fn filled(values: &Values, template: &str, row: u64) -> String {
        values.fill(&values.text(template).unwrap(), row)
    }

    #[test]
    fn one_request_takes_all_its_columns_from_one_line() {
        let toml = "id.csv = { file = \"users.csv\", column = \"id\" }\nname.csv = { file = \"users.csv\", column = \"name\" }";
        let values = values(toml).unwrap();
        let names: Vec<_> = (0..3).map(|row| filled(&values, "/{id}?n={name}&r={row}", row)).collect();
        assert_eq!(names, ["/1?n=Ada&r=0", "/2?n=Grace, H.&r=1", "/1?n=Ada&r=2"]);
        assert_eq!(values.rows(), None);
    }

    #[test]
    fn a_file_that_says_stop_tells_when() {
        let values = values("id.csv = { file = \"users.csv\", column = \"id\", at_end = \"stop\" }").unwrap();
        assert_eq!(values.rows(), Some(2));
    }

    #[test]
    fn generators_keep_their_range_and_follow_the_seed() {
        let toml = "n.integer = { from = -2, to = 2 }\nk.zipf = { count = 10, exponent = 1.0 }\nu = \"uuid\"\ns.sequence.from = 5\nall.integer = { from = -9223372036854775808, to = 9223372036854775807 }";
        let (one, two) = (values(toml).unwrap(), values(toml).unwrap());
        let seen = |template| (0..1_000).map(|row| filled(&one, template, row)).collect::<HashSet<_>>();
        assert_eq!(seen("{n}"), ["-2", "-1", "0", "1", "2"].map(str::to_owned).into());
        assert_eq!(seen("{k}").len(), 10);
        assert_eq!(seen("{u}").len(), 1_000);
        assert_eq!(seen("{random}").len(), 1_000);
        assert_eq!(seen("{all}").len(), 1_000);
        assert_eq!(filled(&one, "{s}", 3), "8");
        assert_eq!(filled(&one, "{n}{k}{u}{random}", 9), filled(&two, "{n}{k}{u}{random}", 9));
        let uuid = filled(&one, "{u}", 1);
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert!("89ab".contains(&uuid[19..20]));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_remedy() {
        let told = |toml: &str| values(toml).unwrap_err().to_string();
        let csv =
            |file: &str, column: &str| format!("x.csv = {{ file = \"{file}\", column = \"{column}\" }}");
        assert_eq!(
            told(&csv("none.csv", "id")),
            "value `x`: none.csv cannot be read: entity not found; give a path relative to the scenario file"
        );
        assert_eq!(
            told(&csv("users.csv", "nam")),
            "value `x`: users.csv has no column `nam`; did you mean `name`?"
        );
        assert_eq!(
            told(&csv("empty.csv", "id")),
            "value `x`: empty.csv: there is no row after the names; add one"
        );
        let unknown = values("user = \"uuid\"").unwrap().text("/{usr}").unwrap_err();
        assert_eq!(unknown.to_string(), "`{usr}` is no value of this scenario; did you mean `user`?");
    }

    #[test]
    fn a_text_without_names_is_fixed() {
        let values = values("").unwrap();
        assert_eq!(values.text("/plain").unwrap().fixed(), Some("/plain"));
        assert_eq!(values.text("").unwrap().fixed(), Some(""));
        assert_eq!(values.text("/{row}").unwrap().fixed(), None);
    }
}
