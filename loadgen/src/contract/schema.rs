//! Whether a value is what a schema describes: the part of JSON Schema that OpenAPI documents of small services use.

use serde_json::Value;

/// Follows a `$ref` within its document.
pub fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => match document.pointer(reference.trim_start_matches('#')) {
            Some(target) => resolved(document, target),
            None => &Value::Null,
        },
        None => schema,
    }
}

/// What is wrong with `value`, if anything is.
pub fn fault(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let schema = resolved(document, schema);
    if schema.is_null() {
        return Some("its schema cannot be found".to_owned());
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().filter(|choice| fault(document, choice, value).is_none()).count();
        return (fitting != 1).then(|| format!("{} fits {fitting} of the shapes described", short(value)));
    }
    if let Some(choices) = schema["enum"].as_array() {
        return (!choices.contains(value))
            .then(|| format!("{} is none of the values described", short(value)));
    }
    let kinds = types(schema);
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_of(kind, value)) {
        return Some(format!("{} is no {}", short(value), kinds.join(" or ")));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        return Some(format!("{number} is below {least}"));
    }
    match value {
        Value::Array(items) => items.iter().find_map(|item| fault(document, &schema["items"], item)),
        Value::Object(members) => fault_of_members(document, schema, members),
        _ => None,
    }
}

fn fault_of_members(
    document: &Value,
    schema: &Value,
    members: &serde_json::Map<String, Value>,
) -> Option<String> {
    if let Some(missing) = required(schema).into_iter().find(|name| !members.contains_key(*name)) {
        return Some(format!("the field `{missing}` is missing"));
    }
    members.iter().find_map(|(name, member)| match schema["properties"].get(name) {
        Some(property) => fault(document, property, member).map(|fault| format!("{name}: {fault}")),
        None if schema["additionalProperties"] == false => {
            Some(format!("the field `{name}` is not described"))
        }
        None => None,
    })
}

/// The types that a schema names; none where any will do.
pub fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

pub fn required(schema: &Value) -> Vec<&str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_fault_is_found() {
        let document = json!({ "components": { "link": {
            "type": "object", "required": ["code"], "additionalProperties": false,
            "properties": {
                "code": { "type": "string" },
                "clicks": { "type": ["integer", "null"], "minimum": 0 },
                "state": { "enum": ["ok", "gone"] },
                "tags": { "type": "array", "items": { "type": "string" } },
            },
        } } });
        let schema = json!({ "$ref": "#/components/link" });
        let of = |value: Value| fault(&document, &schema, &value);
        assert_eq!(of(json!({ "code": "a", "clicks": null, "state": "ok", "tags": ["x"] })), None);
        for (value, words) in [
            (json!({}), "`code` is missing"),
            (json!({ "code": 7 }), "7 is no string"),
            (json!({ "code": "a", "clicks": -1 }), "below 0"),
            (json!({ "code": "a", "state": "odd" }), "none of the values"),
            (json!({ "code": "a", "tags": [1] }), "1 is no string"),
            (json!({ "code": "a", "more": 1 }), "`more` is not described"),
            (json!([]), "is no object"),
        ] {
            assert!(of(value.clone()).is_some_and(|fault| fault.contains(words)), "{value}");
        }
        assert!(fault(&document, &json!({ "$ref": "#/nowhere" }), &json!(1)).is_some());
    }
}
