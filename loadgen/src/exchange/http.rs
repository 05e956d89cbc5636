//! HTTP templates: requests to any service, and the answers that count as right.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use proofload_scenarios::Scenario;
use proofload_scenarios::scenario::{Action, HttpTemplate, Step};

use super::text::Text;
use super::values::{ValueError, Values};
use super::{Answer, Exchange, Judgement, KEPT_BODY, Operation, wire};
use crate::connect::Target;

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TemplateError {
    #[error("`{{{name}}}` in the {place} of template {template} is no value; known are {known}")]
    UnknownVariable { template: String, place: String, name: String, known: String },
    #[error("the {place} of template {template} is not valid in HTTP: {value}")]
    Invalid { template: String, place: String, value: String },
    #[error(transparent)]
    Values(#[from] ValueError),
}

/// Requests to any HTTP service.
pub struct Templates {
    kinds: Vec<String>,
    templates: Vec<Template>,
    values: Values,
}

struct Template {
    method: Method,
    path: Text,
    headers: Vec<(HeaderName, Text)>,
    body: Text,
    status: Option<StatusCode>,
    answer_headers: Vec<(HeaderName, String)>,
    answer_contains: Option<String>,
    /// The request itself, where no row changes it.
    fixed: Option<Fixed>,
}

struct Fixed {
    request: Request<Full<Bytes>>,
    /// The same in HTTP/1.1.
    bytes: Vec<u8>,
}

impl Templates {
    /// Prepares `templates` for the service at `host`.
    ///
    /// # Errors
    /// Names the template, the place and what is wrong there.
    pub fn new(host: &str, templates: &[HttpTemplate], values: Values) -> Result<Self, TemplateError> {
        Self::below("", host, templates, values)
    }

    /// The same for a service whose paths all begin with `base`. Their names do not: those of two services are alike.
    fn below(
        base: &str,
        host: &str,
        templates: &[HttpTemplate],
        values: Values,
    ) -> Result<Self, TemplateError> {
        let kinds = names(templates);
        let prepared = templates
            .iter()
            .map(|template| HttpTemplate { path: format!("{base}{}", template.path), ..template.clone() })
            .zip(&kinds)
            .map(|(template, kind)| Template::new(host, &template, kind, values.names()))
            .collect::<Result<_, _>>()?;
        let mut this = Self { kinds, templates: prepared, values };
        this.try_all()?;
        for index in 0..this.templates.len() {
            if this.templates[index].is_fixed() {
                this.templates[index].fixed = this.build(&this.templates[index], 0).ok().map(Fixed::of);
            }
        }
        Ok(this)
    }

    /// The HTTP templates of a scenario's operations, or of its journeys' steps, in their order; files of values are looked
    /// for in `directory`.
    ///
    /// # Errors
    /// As [`Templates::new`], and where a file of values cannot be used.
    pub fn of_scenario(
        target: &Target,
        scenario: &Scenario,
        directory: &Path,
    ) -> Result<Self, TemplateError> {
        let of_operations = scenario.operations.iter().filter_map(|operation| match &operation.action {
            Action::Http(template) => Some(template),
            _ => None,
        });
        let steps = scenario.journeys.iter().flat_map(|journey| &journey.steps);
        let of_steps = steps.filter_map(|step| match step {
            Step::Http(template) => Some(template),
            _ => None,
        });
        let templates: Vec<HttpTemplate> =
            of_operations.chain(of_steps).map(|template| authorized(template.clone(), target)).collect();
        let values = Values::new(&scenario.values, scenario.seed, directory)?;
        Self::below(&target.path, &target.host, &templates, values)
    }

    /// The first row that no template can use: a file of values ended that is not to be begun again.
    pub fn end(&self) -> Option<u64> {
        self.values.end()
    }

    /// What is said of a load that ended there.
    pub fn ended(&self) -> String {
        let rows = self.values.end().unwrap_or_default();
        format!("the load ended before its time: all {rows} rows of its values are used (at_end = \"stop\")")
    }

    /// Whatever a row can hold must make a valid request; better now than in the middle of a run.
    fn try_all(&self) -> Result<(), TemplateError> {
        for (template, kind) in self.templates.iter().zip(&self.kinds) {
            let rows = if template.is_fixed() { 1 } else { self.values.distinct_rows() as u64 };
            for row in 0..rows {
                self.build(template, row).map_err(|(place, value)| TemplateError::Invalid {
                    template: kind.clone(),
                    place,
                    value,
                })?;
            }
        }
        Ok(())
    }

    fn build(&self, template: &Template, row: u64) -> Result<Request<Full<Bytes>>, (String, String)> {
        let body = template.body.fill(&self.values, row).into_owned();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        let path = template.path.fill(&self.values, row).into_owned();
        *request.uri_mut() = Uri::from_maybe_shared(Bytes::from(path.clone()))
            .ok()
            .filter(|uri| uri.path().starts_with('/') && uri.authority().is_none())
            .ok_or_else(|| ("path".to_owned(), path))?;
        *request.method_mut() = template.method.clone();
        let mut headers = HeaderMap::with_capacity(template.headers.len());
        for (name, text) in &template.headers {
            let value = text.fill(&self.values, row);
            let value =
                HeaderValue::from_str(&value).map_err(|_| (format!("header {name}"), value.into_owned()))?;
            headers.append(name.clone(), value);
        }
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// The template with what the target's URL asks for, unless it says so itself.
pub fn authorized(mut template: HttpTemplate, target: &Target) -> HttpTemplate {
    let says = |name: &String| name.eq_ignore_ascii_case(AUTHORIZATION.as_str());
    if let Some(authorization) = &target.authorization
        && !template.headers.keys().any(says)
    {
        template.headers.insert(AUTHORIZATION.to_string(), authorization.clone());
    }
    template
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
    fn new(host: &str, spec: &HttpTemplate, kind: &str, values: &[String]) -> Result<Self, TemplateError> {
        let invalid = |place: &str, value: &str| TemplateError::Invalid {
            template: kind.to_owned(),
            place: place.to_owned(),
            value: value.to_owned(),
        };
        let parse = |place: &str, text: &str| Text::parse(text, kind, place, values);
        let mut headers = Vec::new();
        for (name, value) in &spec.headers {
            let parsed = name.parse().map_err(|_| invalid("header name", name))?;
            headers.push((parsed, parse(&format!("header {name}"), value)?));
        }
        if !headers.iter().any(|(name, _)| name == HOST) {
            headers.insert(0, (HOST, Text::literal(host)));
        }
        let mut answer_headers = Vec::new();
        for (name, value) in &spec.answer_headers {
            let parsed = name.parse().map_err(|_| invalid("answer header's name", name))?;
            answer_headers.push((parsed, value.clone()));
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
            answer_headers,
            answer_contains: spec.answer_contains.clone(),
            fixed: None,
        })
    }

    fn is_fixed(&self) -> bool {
        self.path.is_fixed() && self.body.is_fixed() && self.headers.iter().all(|(_, text)| text.is_fixed())
    }
}

impl Fixed {
    fn of(request: Request<Full<Bytes>>) -> Self {
        let mut bytes = Vec::new();
        wire::write(request.clone(), &mut bytes);
        Self { request, bytes }
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
            Some(fixed) => fixed.request.clone(),
            None => self.build(template, row).expect("every row was tried beforehand"),
        }
    }

    fn write(&self, operation: Operation, bytes: &mut Vec<u8>) {
        match &self.templates[self.kind(operation)].fixed {
            Some(fixed) => bytes.extend_from_slice(&fixed.bytes),
            None => wire::write(self.request(operation), bytes),
        }
    }

    fn check(&self, operation: Operation, answer: &Answer<'_>) -> Judgement {
        let template = &self.templates[self.kind(operation)];
        let status = answer.status;
        let right = match template.status {
            Some(expected) => status == expected,
            None => status.is_success() || status.is_redirection(),
        };
        if !right {
            return Judgement::Wrong(format!("status {status}"));
        }
        for (name, expected) in &template.answer_headers {
            let found = answer.headers.get(name.as_str());
            if found != Some(expected.as_bytes()) {
                return Judgement::Wrong(match found.map(String::from_utf8_lossy) {
                    Some(found) => format!("header {name} is {found:?}, not {expected:?}"),
                    None => format!("there is no header {name}, where {expected:?} was expected"),
                });
            }
        }
        match &template.answer_contains {
            Some(part) if !contains(answer.body, part.as_bytes()) => {
                let where_looked = match answer.body.len() < KEPT_BODY {
                    true => "the body does",
                    false => "the body's first MiB, which alone is looked at, does",
                };
                Judgement::Wrong(format!("{where_looked} not contain {part:?}"))
            }
            _ => Judgement::Right,
        }
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use proofload_scenarios::scenario::{AtEnd, ValueSource};

    use super::super::Headers;
    use super::*;

    fn template(path: &str) -> HttpTemplate {
        HttpTemplate { path: path.to_owned(), ..HttpTemplate::default() }
    }

    fn path_of(path: &str, row: u64) -> Result<String, TemplateError> {
        let templates = Templates::new("h", &[template(path)], Values::built_in(7))?;
        Ok(templates.request(Operation::Http { template: 0, row }).uri().to_string())
    }

    #[test]
    fn variables_are_filled_by_row() {
        assert_eq!(path_of("/u/{row}?n={row}", 3).unwrap(), "/u/3?n=3");
        assert_eq!(path_of("/plain", 9).unwrap(), "/plain");
        assert_eq!(path_of("/{random}", 1).unwrap(), path_of("/{random}", 1).unwrap());
        assert_ne!(path_of("/{random}", 1).unwrap(), path_of("/{random}", 2).unwrap());
    }

    /// Two services behind one address are told apart by it, and what they are asked has one name.
    #[test]
    fn paths_begin_with_the_targets_own() {
        let spec = [template("/u/{row}")];
        let templates = Templates::below("/v2", "h", &spec, Values::built_in(7)).unwrap();
        assert_eq!(templates.request(Operation::Http { template: 0, row: 3 }).uri(), "/v2/u/3");
        assert_eq!(templates.kinds(), ["GET /u/{row}"]);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |path| path_of(path, 0).unwrap_err().to_string();
        assert!(message("/{user}").contains("`{user}` in the path of template GET /{user} is no value"));
        assert!(message("/with space").contains("not valid in HTTP: /with space"));
        assert!(message("no-slash").contains("not valid"));
    }

    /// One row of very many that makes no request is found beforehand, and not by a worker that panics.
    #[test]
    fn every_row_of_a_long_file_is_tried() {
        let directory = tempfile::tempdir().unwrap();
        let rows = "a\n".repeat(150_000);
        std::fs::write(directory.path().join("v.csv"), format!("v\n{rows}not valid\n")).unwrap();
        let (file, column) = ("v.csv".to_owned(), "v".to_owned());
        let source = ValueSource::Csv { file, column, at_end: AtEnd::Cycle };
        let sources = BTreeMap::from([("v".to_owned(), source)]);
        let values = Values::new(&sources, 1, directory.path()).unwrap();
        let error = Templates::new("h", &[template("/{v}")], values).err().unwrap().to_string();
        assert!(error.contains("not valid in HTTP: /not valid"), "{error}");
    }

    #[test]
    fn a_template_bears_the_targets_authorization_unless_it_has_its_own() {
        let mut target = Target::at(([127, 0, 0, 1], 1).into());
        let header = |target: &Target, own: &[(&str, &str)]| {
            let headers = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let template = authorized(HttpTemplate { headers, ..template("/") }, target);
            let templates = Templates::new("h", &[template], Values::built_in(1)).unwrap();
            let request = templates.request(Operation::Http { template: 0, row: 0 });
            request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header(&target, &[]), None);
        target.authorization = Some("Basic x".to_owned());
        assert_eq!(header(&target, &[]).as_deref(), Some("Basic x"));
        assert_eq!(header(&target, &[("Authorization", "Bearer y")]).as_deref(), Some("Bearer y"));
    }

    #[test]
    fn status_headers_and_body_are_checked() {
        let spec = HttpTemplate {
            answer_headers: BTreeMap::from([("x-mark".to_owned(), "yes".to_owned())]),
            answer_contains: Some("needle".to_owned()),
            ..template("/")
        };
        let templates = Templates::new("h", &[spec], Values::built_in(1)).unwrap();
        let judge = |status: u16, mark: &'static str, body: &[u8]| {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static("x-mark"), HeaderValue::from_static(mark))]);
            let status = StatusCode::from_u16(status).unwrap();
            templates.check(
                Operation::Http { template: 0, row: 0 },
                &Answer { status, headers: Headers::Map(&headers), body },
            )
        };
        assert_eq!(judge(200, "yes", b"a needle here"), Judgement::Right);
        assert!(matches!(judge(500, "yes", b"needle"), Judgement::Wrong(how) if how.contains("500")));
        assert!(matches!(judge(200, "no", b"needle"), Judgement::Wrong(how) if how.contains("x-mark")));
        assert!(matches!(judge(200, "yes", b"hay"), Judgement::Wrong(how) if how.contains("needle")));
        let bare = Answer { status: StatusCode::OK, headers: Headers::Lines(&[]), body: b"needle" };
        let missing = "there is no header x-mark, where \"yes\" was expected";
        let found = templates.check(Operation::Http { template: 0, row: 0 }, &bare);
        assert_eq!(found, Judgement::Wrong(missing.to_owned()));
    }
}
