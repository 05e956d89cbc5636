//! HTTP templates: requests to any service, and the answers that count as right.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use proofload_scenarios::random::mix;
use proofload_scenarios::scenario::HttpTemplate;

use super::{Answer, Exchange, Judgement, Operation};

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TemplateError {
    #[error("`{{{name}}}` in the {place} of template {template} is unknown; known are {known}")]
    UnknownVariable { template: String, place: String, name: String, known: String },
    #[error("the {place} of template {template} opens a `{{` that is not closed; write `{{{{` for a brace")]
    Unclosed { template: String, place: String },
    #[error("the {place} of template {template} is not valid in HTTP: {value}")]
    Invalid { template: String, place: String, value: String },
    #[error("the values have no rows")]
    NoRows,
    #[error("line {line} of the values has {found} fields where the first line names {expected}")]
    Ragged { line: usize, found: usize, expected: usize },
}

/// Values by column name; each use of a template takes the next row, and after the last the first again.
#[derive(Debug, Clone, Default)]
pub struct Values {
    names: Vec<String>,
    /// Row after row.
    cells: Vec<String>,
}

impl Values {
    /// Reads CSV text: the first line names the columns; fields may be quoted.
    ///
    /// # Errors
    /// Where a line has more or fewer fields than the first, or nothing follows it.
    pub fn from_csv(text: &str) -> Result<Self, TemplateError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let names = lines.next().map_or_else(Vec::new, |(_, line)| fields(line));
        let mut cells = Vec::new();
        for (index, line) in lines {
            let row = fields(line);
            if row.len() != names.len() {
                let (found, expected) = (row.len(), names.len());
                return Err(TemplateError::Ragged { line: index + 1, found, expected });
            }
            cells.extend(row);
        }
        if cells.is_empty() { Err(TemplateError::NoRows) } else { Ok(Self { names, cells }) }
    }

    pub fn rows(&self) -> usize {
        self.cells.len().checked_div(self.names.len()).unwrap_or(0)
    }

    fn get(&self, column: usize, row: u64) -> &str {
        let row = (row % self.rows() as u64) as usize;
        &self.cells[row * self.names.len() + column]
    }
}

fn fields(line: &str) -> Vec<String> {
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
    fields
}

/// Requests to any HTTP service.
pub struct Templates {
    kinds: Vec<String>,
    templates: Vec<Template>,
    values: Values,
    seed: u64,
}

struct Template {
    method: Method,
    path: Text,
    headers: Vec<(HeaderName, Text)>,
    body: Text,
    status: Option<StatusCode>,
    /// The request itself, where no row changes it.
    fixed: Option<Request<Full<Bytes>>>,
}

/// A text with variables.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Column(usize),
    /// `{row}`: how often the template was used before.
    Row,
    /// `{random}`: sixteen hexadecimal digits that follow from seed and row.
    Random,
}

impl Templates {
    /// Prepares `templates` for the service at `host`.
    ///
    /// # Errors
    /// Names the template, the place and the variable that is wrong.
    pub fn new(
        host: &str,
        templates: &[HttpTemplate],
        values: Values,
        seed: u64,
    ) -> Result<Self, TemplateError> {
        let kinds: Vec<String> = names(templates);
        let mut this = Self { templates: Vec::new(), values, seed, kinds };
        for (template, kind) in templates.iter().zip(this.kinds.clone()) {
            let template = Template::new(host, template, &kind, &this.values.names)?;
            this.templates.push(template);
        }
        // Whatever a row can hold must make a valid request; better now than in the middle of a run.
        for (index, kind) in this.kinds.iter().enumerate() {
            for row in 0..this.values.rows().clamp(1, 10_000) as u64 {
                this.build(&this.templates[index], row).map_err(|(place, value)| TemplateError::Invalid {
                    template: kind.clone(),
                    place,
                    value,
                })?;
            }
        }
        for index in 0..this.templates.len() {
            if this.templates[index].is_fixed() {
                this.templates[index].fixed = this.build(&this.templates[index], 0).ok();
            }
        }
        Ok(this)
    }

    fn build(&self, template: &Template, row: u64) -> Result<Request<Full<Bytes>>, (String, String)> {
        let body = self.fill(&template.body, row).into_owned();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        let path = self.fill(&template.path, row).into_owned();
        *request.uri_mut() = Uri::from_maybe_shared(Bytes::from(path.clone()))
            .ok()
            .filter(|uri| uri.path().starts_with('/') && uri.authority().is_none())
            .ok_or_else(|| ("path".to_owned(), path))?;
        *request.method_mut() = template.method.clone();
        let mut headers = HeaderMap::with_capacity(template.headers.len());
        for (name, text) in &template.headers {
            let value = self.fill(text, row);
            let value =
                HeaderValue::from_str(&value).map_err(|_| (format!("header {name}"), value.into_owned()))?;
            headers.append(name.clone(), value);
        }
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn fill<'a>(&'a self, text: &'a Text, row: u64) -> Cow<'a, str> {
        if let [Piece::Literal(literal)] = text.0.as_slice() {
            return Cow::Borrowed(literal);
        }
        let mut filled = String::new();
        for piece in &text.0 {
            match piece {
                Piece::Literal(literal) => filled.push_str(literal),
                Piece::Column(column) => filled.push_str(self.values.get(*column, row)),
                Piece::Row => filled.push_str(&row.to_string()),
                Piece::Random => filled.push_str(&format!("{:016x}", mix(row ^ mix(self.seed)))),
            }
        }
        Cow::Owned(filled)
    }
}

/// `GET /path`, made distinct where two templates have the same.
fn names(templates: &[HttpTemplate]) -> Vec<String> {
    let mut seen = BTreeMap::new();
    templates
        .iter()
        .map(|template| {
            let name = format!("{} {}", template.method, template.path);
            let times = seen.entry(name.clone()).and_modify(|times| *times += 1).or_insert(1);
            if *times == 1 { name } else { format!("{name} #{times}") }
        })
        .collect()
}

impl Template {
    fn new(host: &str, spec: &HttpTemplate, kind: &str, columns: &[String]) -> Result<Self, TemplateError> {
        let invalid = |place: &str, value: &str| TemplateError::Invalid {
            template: kind.to_owned(),
            place: place.to_owned(),
            value: value.to_owned(),
        };
        let parse = |place: &str, text: &str| Text::parse(text, kind, place, columns);
        let mut headers = Vec::new();
        for (name, value) in &spec.headers {
            let parsed = name.parse().map_err(|_| invalid("header name", name))?;
            headers.push((parsed, parse(&format!("header {name}"), value)?));
        }
        if !headers.iter().any(|(name, _)| name == HOST) {
            headers.insert(0, (HOST, Text(vec![Piece::Literal(host.to_owned())])));
        }
        let status = spec
            .status
            .map(|code| StatusCode::from_u16(code).map_err(|_| invalid("status", &code.to_string())))
            .transpose()?;
        Ok(Self {
            method: spec.method.parse().map_err(|_| invalid("method", &spec.method))?,
            path: parse("path", &spec.path)?,
            body: parse("body", &spec.body)?,
            headers,
            status,
            fixed: None,
        })
    }

    fn is_fixed(&self) -> bool {
        self.path.is_fixed() && self.body.is_fixed() && self.headers.iter().all(|(_, text)| text.is_fixed())
    }
}

impl Text {
    fn parse(text: &str, template: &str, place: &str, columns: &[String]) -> Result<Self, TemplateError> {
        let (template, place) = (template.to_owned(), place.to_owned());
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if rest.starts_with(brace) {
                literal.push_str(brace);
                rest = &rest[1..];
                continue;
            }
            let closing = rest.find('}').filter(|_| brace == "{");
            let Some(end) = closing else { return Err(TemplateError::Unclosed { template, place }) };
            let name = &rest[..end];
            rest = &rest[end + 1..];
            let Some(piece) = variable(name, columns) else {
                let known = ["row", "random"].into_iter().chain(columns.iter().map(String::as_str));
                let known = known.map(|name| format!("`{{{name}}}`")).collect::<Vec<_>>().join(", ");
                let name = name.to_owned();
                return Err(TemplateError::UnknownVariable { template, place, name, known });
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
        }
        literal.push_str(rest);
        if !literal.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    fn is_fixed(&self) -> bool {
        matches!(self.0.as_slice(), [Piece::Literal(_)])
    }
}

fn variable(name: &str, columns: &[String]) -> Option<Piece> {
    match name {
        "row" => Some(Piece::Row),
        "random" => Some(Piece::Random),
        _ => columns.iter().position(|column| column == name).map(Piece::Column),
    }
}

impl Exchange for Templates {
    fn kinds(&self) -> &[String] {
        &self.kinds
    }

    fn kind(&self, operation: Operation) -> usize {
        match operation {
            Operation::Http { template, .. } => template as usize,
            _ => 0,
        }
    }

    fn request(&self, operation: Operation) -> Request<Full<Bytes>> {
        let row = match operation {
            Operation::Http { row, .. } => row,
            _ => 0,
        };
        let template = &self.templates[self.kind(operation)];
        match &template.fixed {
            Some(request) => request.clone(),
            None => self.build(template, row).expect("every row was tried beforehand"),
        }
    }

    fn check(&self, operation: Operation, answer: &Answer<'_>) -> Judgement {
        let status = answer.status;
        let right = match self.templates[self.kind(operation)].status {
            Some(expected) => status == expected,
            None => status.is_success() || status.is_redirection(),
        };
        if right { Judgement::Right } else { Judgement::Wrong(format!("status {status}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(path: &str) -> HttpTemplate {
        HttpTemplate { path: path.to_owned(), ..HttpTemplate::default() }
    }

    fn path_of(path: &str, csv: &str, row: u64) -> Result<String, TemplateError> {
        let values = if csv.is_empty() { Values::default() } else { Values::from_csv(csv)? };
        let templates = Templates::new("h", &[template(path)], values, 7)?;
        Ok(templates.request(Operation::Http { template: 0, row }).uri().to_string())
    }

    #[test]
    fn variables_are_filled_from_the_row() {
        assert_eq!(path_of("/u/{id}?n={row}", "id,x\n7,a\n8,b\n", 3).unwrap(), "/u/8?n=3");
        assert_eq!(path_of("/plain", "", 9).unwrap(), "/plain");
        assert_eq!(path_of("/{random}", "", 1).unwrap(), path_of("/{random}", "", 1).unwrap());
        assert_ne!(path_of("/{random}", "", 1).unwrap(), path_of("/{random}", "", 2).unwrap());
    }

    #[test]
    fn mistakes_are_named() {
        let message = |path, csv| path_of(path, csv, 0).unwrap_err().to_string();
        assert!(message("/{user}", "").contains("`{user}` in the path of template GET /{user} is unknown"));
        assert!(message("/{user", "").contains("not closed"));
        assert!(message("/{id}", "id\n").contains("no rows"));
        assert!(message("/{id}", "id,name\n1,a\n2\n").contains("line 3"));
        assert!(message("/{id}", "id\nwith space\n").contains("not valid in HTTP: /with space"));
        assert!(message("no-slash", "").contains("not valid"));
    }

    #[test]
    fn braces_and_quotes_can_be_written() {
        let values = Values::from_csv("a,b\n\"x, \"\"y\"\"\",2\n").unwrap();
        assert_eq!((values.get(0, 0), values.get(1, 5)), ("x, \"y\"", "2"));
        let text = Text::parse("{{\"id\": {row}}}", "t", "body", &[]).unwrap();
        assert_eq!(text.0.len(), 3);
    }
}
