//! Breaking changes from one OpenAPI document to the next: what clients of the first could no longer do.

use serde_json::{Map, Value};

use super::schema::{required, resolved, types};

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "head", "patch", "options"];

/// Every operation of a document: its path, its method and itself.
pub fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    members(&document["paths"]).flat_map(|(path, operations)| {
        members(operations)
            .filter(|(method, _)| METHODS.contains(method))
            .map(move |(method, operation)| (path, method, operation))
    })
}

/// What of `published` is no longer so in `now`, one line each. What was added without being asked of anyone breaks nothing.
pub fn breaking(published: &Value, now: &Value) -> Vec<String> {
    let mut breaks = Vec::new();
    for (path, method, was) in operations(published) {
        let name = format!("{} {path}", method.to_uppercase());
        let is = &now["paths"][path][method];
        if is.is_null() {
            breaks.push(format!("{name} is gone"));
            continue;
        }
        let mut pair = Pair { published, now, at: name, breaks: &mut breaks };
        pair.request(was, is, &published["paths"][path], &now["paths"][path]);
        pair.responses(&was["responses"], &is["responses"]);
    }
    breaks
}

/// Two documents at the same place.
struct Pair<'a> {
    published: &'a Value,
    now: &'a Value,
    at: String,
    breaks: &'a mut Vec<String>,
}

impl Pair<'_> {
    fn note(&mut self, change: String) {
        self.breaks.push(format!("{}: {change}", self.at));
    }

    fn request(&mut self, was: &Value, is: &Value, was_path: &Value, is_path: &Value) {
        let before = parameters(was, was_path);
        for (name, needed) in parameters(is, is_path) {
            let known = before.iter().find(|(known, _)| *known == name);
            if needed && known.is_none_or(|(_, needed)| !needed) {
                self.note(format!("the parameter `{name}` must now be given"));
            }
        }
        let (was, is) = (&was["requestBody"], &is["requestBody"]);
        if is["required"] == true && was["required"] != true {
            self.note("a body must now be given".to_owned());
        }
        for (kind, body) in members(&was["content"]) {
            match is["content"].get(kind) {
                Some(other) => self.taken(&body["schema"], &other["schema"], "the body", 0),
                None => self.note(format!("a body of {kind} is no longer taken")),
            }
        }
    }

    /// What clients send must still be taken.
    fn taken(&mut self, was: &Value, is: &Value, field: &str, depth: usize) {
        let (was, is) = (resolved(self.published, was), resolved(self.now, is));
        if depth > DEEPEST {
            return;
        }
        let (before, after) = (types(was), types(is));
        if !after.is_empty() && before.iter().any(|kind| !after.contains(kind)) {
            self.note(format!("{field} may no longer be {}", before.join(" or ")));
        }
        let known = required(was);
        for name in required(is).into_iter().filter(|name| !known.contains(name)) {
            self.note(format!("{field} must now have the field `{name}`"));
        }
        for (name, property) in members(&was["properties"]) {
            match is["properties"].get(name) {
                Some(other) => self.taken(property, other, &format!("{field}'s `{name}`"), depth + 1),
                None if is["additionalProperties"] == false => {
                    self.note(format!("{field} may no longer have the field `{name}`"));
                }
                None => {}
            }
        }
        if was["items"].is_object() && is["items"].is_object() {
            self.taken(&was["items"], &is["items"], &format!("each of {field}"), depth + 1);
        }
    }

    fn responses(&mut self, was: &Value, is: &Value) {
        for (status, response) in members(was) {
            let Some(other) = is.get(status) else {
                self.note(format!("the answer {status} is gone"));
                continue;
            };
            for (name, header) in members(&response["headers"]) {
                if header["required"] == true && other["headers"][name]["required"] != true {
                    self.note(format!("the answer {status} no longer promises the header {name}"));
                }
            }
            for (kind, content) in members(&response["content"]) {
                match other["content"].get(kind) {
                    Some(now) => {
                        self.given(&content["schema"], &now["schema"], &format!("the answer {status}"), 0);
                    }
                    None => self.note(format!("the answer {status} is no longer {kind}")),
                }
            }
        }
    }

    /// What clients read must still be there, and of no other type.
    fn given(&mut self, was: &Value, is: &Value, field: &str, depth: usize) {
        let (was, is) = (resolved(self.published, was), resolved(self.now, is));
        if depth > DEEPEST {
            return;
        }
        let (before, after) = (types(was), types(is));
        let widened = after.is_empty() || after.iter().any(|kind| !before.contains(kind));
        if !before.is_empty() && widened {
            self.note(format!("{field} was {}, and may now be something else", before.join(" or ")));
        }
        let known = required(is);
        for name in required(was).into_iter().filter(|name| !known.contains(name)) {
            self.note(format!("{field} may now lack the field `{name}`"));
        }
        for (name, property) in members(&was["properties"]) {
            match is["properties"].get(name) {
                Some(other) => self.given(property, other, &format!("{field}'s `{name}`"), depth + 1),
                None => self.note(format!("{field} has lost the field `{name}`")),
            }
        }
        if was["items"].is_object() {
            self.given(&was["items"], &is["items"], &format!("each of {field}"), depth + 1);
        }
    }
}

/// Schemas that hold themselves end here.
const DEEPEST: usize = 16;

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter).map(|(name, value)| (name.as_str(), value))
}

/// The parameters of an operation and of its path, and whether each must be given.
fn parameters<'a>(operation: &'a Value, path: &'a Value) -> Vec<(&'a str, bool)> {
    [operation, path]
        .into_iter()
        .flat_map(|of| of["parameters"].as_array().into_iter().flatten())
        .filter_map(|it| Some((it["name"].as_str()?, it["required"] == true)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "paths": { "/links": { "post": {
                "parameters": [{ "name": "Key", "in": "header", "required": false }],
                "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/new" } } } },
                "responses": {
                    "201": { "content": { "application/json": { "schema": { "$ref": "#/link" } } } },
                    "422": { "content": {} },
                },
            } } },
            "new": {
                "type": "object", "required": ["url"], "additionalProperties": false,
                "properties": { "url": { "type": "string" }, "code": { "type": ["string", "null"] } },
            },
            "link": {
                "type": "object", "required": ["code", "url"],
                "properties": { "code": { "type": "string" }, "url": { "type": "string" } },
            },
        })
    }

    /// Changes the document and tells what broke.
    fn changed(change: impl FnOnce(&mut Value)) -> String {
        let mut now = document();
        change(&mut now);
        breaking(&document(), &now).join("; ")
    }

    #[test]
    fn what_is_only_added_breaks_nothing() {
        assert_eq!(changed(|_| ()), "");
        let more = changed(|it| {
            it["paths"]["/more"] = json!({ "get": { "responses": {} } });
            it["paths"]["/links"]["post"]["responses"]["429"] = json!({});
            it["new"]["properties"]["note"] = json!({ "type": "string" });
            it["link"]["properties"]["clicks"] = json!({ "type": "integer" });
        });
        assert_eq!(more, "");
    }

    #[test]
    fn each_breaking_change_is_named() {
        let post = "/links";
        type Change = Box<dyn FnOnce(&mut Value)>;
        let cases: [(&str, Change); 9] = [
            ("POST /links is gone", Box::new(|it| it["paths"] = json!({}))),
            (
                "the answer 422 is gone",
                Box::new(move |it| {
                    it["paths"][post]["post"]["responses"].as_object_mut().unwrap().remove("422");
                }),
            ),
            (
                "the parameter `Key` must now be given",
                Box::new(move |it| it["paths"][post]["post"]["parameters"][0]["required"] = json!(true)),
            ),
            ("must now have the field `code`", Box::new(|it| it["new"]["required"] = json!(["url", "code"]))),
            (
                "may no longer be string or null",
                Box::new(|it| it["new"]["properties"]["code"]["type"] = json!("string")),
            ),
            (
                "may no longer have the field `code`",
                Box::new(|it| {
                    it["new"]["properties"].as_object_mut().unwrap().remove("code");
                }),
            ),
            (
                "has lost the field `url`",
                Box::new(|it| {
                    it["link"]["properties"].as_object_mut().unwrap().remove("url");
                }),
            ),
            ("may now lack the field `url`", Box::new(|it| it["link"]["required"] = json!(["code"]))),
            (
                "was string, and may now be something else",
                Box::new(|it| it["link"]["properties"]["url"]["type"] = json!(["string", "null"])),
            ),
        ];
        for (words, change) in cases {
            let told = changed(change);
            assert!(told.contains(words), "{words}: {told}");
        }
    }
}
