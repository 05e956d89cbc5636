//! A table of values as CSV: fields parted by commas, quoted where they hold commas, quotes or newlines.

use thiserror::Error;

/// A parsed file; its first line names the columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    names: Vec<String>,
    /// Row after row.
    cells: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CsvError {
    #[error("there is no row after the names; add one")]
    NoRows,
    #[error(
        "line {line} has {found} fields where the first line names {expected}; a field with a comma needs quotes"
    )]
    Ragged { line: usize, found: usize, expected: usize },
    #[error("the quote opened in line {line} is not closed; close it, or write \"\" for a quote within")]
    Unclosed { line: usize },
}

impl Table {
    /// Reads CSV text; empty lines are passed over.
    pub fn parse(text: &str) -> Result<Self, CsvError> {
        let mut records = Records { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
        let names = records.next().transpose()?.map_or_else(Vec::new, |(_, names)| names);
        let mut cells = Vec::new();
        for record in records {
            let (line, record) = record?;
            if record.len() != names.len() {
                return Err(CsvError::Ragged { line, found: record.len(), expected: names.len() });
            }
            cells.extend(record);
        }
        if cells.is_empty() { Err(CsvError::NoRows) } else { Ok(Self { names, cells }) }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn rows(&self) -> usize {
        self.cells.len() / self.names.len()
    }

    pub fn cell(&self, row: usize, column: usize) -> &str {
        &self.cells[row * self.names.len() + column]
    }
}

/// The records of the text that is left.
struct Records<'a> {
    rest: &'a str,
    line: usize,
}

impl Iterator for Records<'_> {
    type Item = Result<(usize, Vec<String>), CsvError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.rest.starts_with(['\n', '\r']) {
            self.skip_line_end();
        }
        if self.rest.is_empty() { None } else { Some(self.record()) }
    }
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Result<(usize, Vec<String>), CsvError> {
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            fields.push(self.field()?);
            match self.rest.strip_prefix(',') {
                Some(rest) => self.rest = rest,
                None => {
                    self.skip_line_end();
                    return Ok((line, fields));
                }
            }
        }
    }

    fn field(&mut self) -> Result<String, CsvError> {
        match self.rest.trim_start_matches(' ').strip_prefix('"') {
            Some(quoted) => self.quoted(quoted),
            None => {
                let end = self.rest.find([',', '\n', '\r']).unwrap_or(self.rest.len());
                let (field, rest) = self.rest.split_at(end);
                self.rest = rest;
                Ok(field.trim().to_owned())
            }
        }
    }

    fn quoted(&mut self, mut rest: &'a str) -> Result<String, CsvError> {
        let mut field = String::new();
        let opened = self.line;
        loop {
            let Some((before, after)) = rest.split_once('"') else {
                return Err(CsvError::Unclosed { line: opened });
            };
            field.push_str(before);
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    rest = after;
                }
                None => {
                    self.line += field.matches('\n').count();
                    let end = after.find([',', '\n', '\r']).unwrap_or(after.len());
                    field.push_str(after[..end].trim_end());
                    self.rest = &after[end..];
                    return Ok(field);
                }
            }
        }
    }

    fn skip_line_end(&mut self) {
        let newline = self.rest.starts_with('\n') || self.rest.starts_with("\r\n");
        self.line += usize::from(newline);
        self.rest =
            self.rest.strip_prefix("\r\n").or(self.rest.strip_prefix(['\n', '\r'])).unwrap_or(self.rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_commas_and_newlines_are_read() {
        let table =
            Table::parse("\u{feff}id, text\r\n1,\"a, \"\"b\"\"\"\n\n2, \"two\nlines\" \n3,\n").unwrap();
        assert_eq!(table.names(), ["id", "text"]);
        assert_eq!(table.rows(), 3);
        assert_eq!([table.cell(0, 1), table.cell(1, 1), table.cell(2, 1)], ["a, \"b\"", "two\nlines", ""]);
    }

    #[test]
    fn what_is_broken_says_in_which_line() {
        assert_eq!(Table::parse(""), Err(CsvError::NoRows));
        assert_eq!(Table::parse("a,b\n"), Err(CsvError::NoRows));
        let ragged = CsvError::Ragged { line: 4, found: 1, expected: 2 };
        assert_eq!(Table::parse("a,b\n\"x\ny\",2\n3\n"), Err(ragged));
        assert_eq!(Table::parse("a\n1\n\"2\n"), Err(CsvError::Unclosed { line: 3 }));
    }
}
