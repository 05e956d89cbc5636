//! Values: what stands for `{name}` in the row-th use of a template.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use proofload_scenarios::random::{self, Purpose, mix};
use proofload_scenarios::scenario::{AtEnd, ValueSource};
use proofload_scenarios::zipf::Zipf;

/// Why there are no values.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ValueError {
    #[error("value `{name}`: {file} cannot be read: {reason}")]
    Unreadable { name: String, file: String, reason: String },
    #[error("value `{name}`: {file} has no column `{column}`; it has {columns}")]
    NoColumn { name: String, file: String, column: String, columns: String },
    #[error("{file} has no line after the one that names its columns")]
    NoRows { file: String },
    #[error("{file}, line {line}: {found} fields where the first line names {expected}")]
    Ragged { file: String, line: usize, found: usize, expected: usize },
    #[error("{file}, line {line}: a quote is opened and not closed")]
    OpenQuote { file: String, line: usize },
}

/// Values by name. All but those from a file follow from the seed, the name and the row.
#[derive(Debug, Clone)]
pub struct Values {
    names: Vec<String>,
    makers: Vec<Maker>,
    end: Option<u64>,
}

#[derive(Debug, Clone)]
enum Maker {
    Row,
    Random { seed: u64 },
    Cell { table: Arc<Table>, column: usize },
    Integer { from: i64, span: u128, seed: u64 },
    Rank { zipf: Zipf, seed: u64 },
    Uuid { seed: u64 },
    Sequence { from: u64 },
}

impl Values {
    /// Only `{row}` and `{random}`.
    pub fn built_in(seed: u64) -> Self {
        let names = ["row", "random"].map(str::to_owned).to_vec();
        Self { names, makers: vec![Maker::Row, Maker::Random { seed: mix(seed) }], end: None }
    }

    /// The values of a scenario; files are looked for in `directory`.
    ///
    /// # Errors
    /// When a file cannot be read, is no table, or lacks the column.
    pub fn new(
        sources: &BTreeMap<String, ValueSource>,
        seed: u64,
        directory: &Path,
    ) -> Result<Self, ValueError> {
        let mut values = Self::built_in(seed);
        let mut tables = BTreeMap::new();
        for (name, source) in sources {
            let seed = name.bytes().fold(mix(seed), |seed, byte| mix(seed ^ u64::from(byte)));
            let maker = match source {
                ValueSource::Csv { file, column, at_end } => {
                    let table = table(name, file, directory, &mut tables)?;
                    if *at_end == AtEnd::Stop {
                        let rows = table.rows() as u64;
                        values.end = Some(values.end.map_or(rows, |end| end.min(rows)));
                    }
                    let column = table.column(name, file, column)?;
                    Maker::Cell { table, column }
                }
                ValueSource::Integer { from, to } => {
                    let span = (i128::from(*to) - i128::from(*from) + 1).max(1) as u128;
                    Maker::Integer { from: *from, span, seed }
                }
                ValueSource::Zipf { count, exponent } => {
                    Maker::Rank { zipf: Zipf::new(*count, *exponent), seed }
                }
                ValueSource::Uuid => Maker::Uuid { seed },
                ValueSource::Sequence { from } => Maker::Sequence { from: *from },
            };
            values.names.push(name.clone());
            values.makers.push(maker);
        }
        Ok(values)
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The first row that has no values: a file ended that is not to be begun again.
    pub fn end(&self) -> Option<u64> {
        self.end
    }

    /// How many rows must be looked at to have seen every cell of every file.
    pub fn distinct_rows(&self) -> usize {
        let rows = |maker: &Maker| match maker {
            Maker::Cell { table, .. } => table.rows(),
            _ => 1,
        };
        self.makers.iter().map(rows).max().unwrap_or(1)
    }

    pub(super) fn write(&self, value: usize, row: u64, text: &mut String) {
        let result = match &self.makers[value] {
            Maker::Row => write!(text, "{row}"),
            Maker::Random { seed } => write!(text, "{:016x}", mix(seed ^ row)),
            Maker::Cell { table, column } => text.write_str(table.cell(*column, row)),
            Maker::Integer { from, span, seed } => {
                let offset = (u128::from(mix(seed ^ mix(row))) * span) >> 64;
                write!(text, "{}", i128::from(*from) + offset as i128)
            }
            Maker::Rank { zipf, seed } => {
                write!(text, "{}", zipf.sample(&mut random::stream(seed ^ mix(row), Purpose::Values)))
            }
            Maker::Uuid { seed } => write_uuid(text, mix(seed ^ mix(row)), mix(!seed ^ mix(row))),
            Maker::Sequence { from } => write!(text, "{}", from.wrapping_add(row)),
        };
        result.expect("text takes all that is written");
    }
}

/// Version 4, variant 1, as RFC 9562 lays them out.
fn write_uuid(text: &mut String, high: u64, low: u64) -> std::fmt::Result {
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    write!(text, "{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
}

/// A CSV file in memory.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    columns: Vec<String>,
    /// Row after row.
    cells: Vec<String>,
}

fn table(
    name: &str,
    file: &str,
    directory: &Path,
    tables: &mut BTreeMap<String, Arc<Table>>,
) -> Result<Arc<Table>, ValueError> {
    if let Some(table) = tables.get(file) {
        return Ok(table.clone());
    }
    let text = fs::read_to_string(directory.join(file)).map_err(|error| ValueError::Unreadable {
        name: name.to_owned(),
        file: file.to_owned(),
        reason: error.to_string(),
    })?;
    let table = Arc::new(Table::parse(&text, file)?);
    tables.insert(file.to_owned(), table.clone());
    Ok(table)
}

impl Table {
    /// The first line names the columns; fields may be quoted, but not span lines.
    fn parse(text: &str, file: &str) -> Result<Self, ValueError> {
        let file = || file.to_owned();
        // Spreadsheets put a byte order mark before the first column's name.
        let mut lines = text
            .trim_start_matches('\u{feff}')
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        let mut read = || {
            let (index, line) = lines.next()?;
            let line_number = index + 1;
            let fields = fields(line).ok_or(ValueError::OpenQuote { file: file(), line: line_number });
            Some(fields.map(|fields| (line_number, fields)))
        };
        let (_, columns) = read().transpose()?.unwrap_or_default();
        let mut cells = Vec::new();
        while let Some((line, row)) = read().transpose()? {
            if row.len() != columns.len() {
                let (found, expected) = (row.len(), columns.len());
                return Err(ValueError::Ragged { file: file(), line, found, expected });
            }
            cells.extend(row);
        }
        if cells.is_empty() { Err(ValueError::NoRows { file: file() }) } else { Ok(Self { columns, cells }) }
    }

    fn rows(&self) -> usize {
        self.cells.len() / self.columns.len()
    }

    fn column(&self, name: &str, file: &str, column: &str) -> Result<usize, ValueError> {
        let found = self.columns.iter().position(|known| known == column);
        found.ok_or_else(|| ValueError::NoColumn {
            name: name.to_owned(),
            file: file.to_owned(),
            column: column.to_owned(),
            columns: self.columns.join(", "),
        })
    }

    fn cell(&self, column: usize, row: u64) -> &str {
        let row = (row % self.rows() as u64) as usize;
        &self.cells[row * self.columns.len() + column]
    }
}

fn fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => field.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field).trim().to_owned()),
            _ => field.push(letter),
        }
    }
    fields.push(field.trim().to_owned());
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(source: ValueSource, row: u64) -> String {
        let sources = BTreeMap::from([("v".to_owned(), source)]);
        let values = Values::new(&sources, 7, Path::new("")).unwrap();
        let mut text = String::new();
        values.write(2, row, &mut text);
        text
    }

    #[test]
    fn generated_values_follow_from_seed_and_row() {
        for row in 0..200 {
            let number: i64 = made(ValueSource::Integer { from: -3, to: 3 }, row).parse().unwrap();
            assert!((-3..=3).contains(&number));
            assert_eq!(made(ValueSource::Integer { from: -3, to: 3 }, row), number.to_string());
            assert!(made(ValueSource::Zipf { count: 9, exponent: 1.0 }, row).parse::<u32>().unwrap() < 9);
        }
        assert_eq!(made(ValueSource::Sequence { from: 40 }, 2), "42");
        let uuid = made(ValueSource::Uuid, 1);
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert_ne!(made(ValueSource::Uuid, 2), uuid);
    }

    #[test]
    fn a_table_is_read_and_begun_again() {
        let table = Table::parse("\u{feff}id,name\n7,\"x, \"\"y\"\"\"\n\n8, b \n", "f").unwrap();
        assert_eq!((table.cell(0, 3), table.cell(1, 2), table.rows()), ("8", "x, \"y\"", 2));
        assert_eq!(table.column("v", "f", "id"), Ok(0), "a byte order mark is no part of a name");
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said() {
        let message = |text| Table::parse(text, "users.csv").unwrap_err().to_string();
        assert_eq!(message("id\n"), "users.csv has no line after the one that names its columns");
        assert!(message("id,name\n1,a\n2\n").contains("users.csv, line 3: 1 fields"));
        assert!(message("id\n\"1\n").contains("line 2: a quote is opened"));
        let table = Table::parse("id\n1\n", "f").unwrap();
        assert!(table.column("v", "f", "user").unwrap_err().to_string().contains("it has id"));
    }
}
