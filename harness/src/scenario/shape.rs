//! Whether a file has the right shape: known keys, right types, known names, numbers in range, nothing missing.
//!
//! The JSON schema decides, so that what editors check and what `ferret check` checks cannot differ. Whatever is
//! wrong is reported and cut out, so that the rest of the file is still looked at.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::problem::{NOT_TOML, Problems, suggestion};

/// Reads a file, a `what` ("scenario"), as `schema` describes it. `None` if nothing could be made of it; whatever is
/// wrong is among the `problems`. Only mistakes of TOML's own syntax keep the rest from being looked at.
pub(crate) fn read<T: DeserializeOwned>(
    what: &str,
    example: &str,
    schema: &Value,
    text: &str,
    problems: &mut Problems,
) -> Option<T> {
    let (mut document, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let span = error.span().unwrap_or(0..0);
        problems.add(&span, NOT_TOML, error.message().replace('\n', "; "), None);
    }
    if !problems.is_empty() {
        return None;
    }
    if document.get_ref().is_empty() {
        problems.add(&(0..0), format!("the {what} is empty"), "nothing here", Some(example.to_owned()));
        return None;
    }
    check(schema, document.get_mut(), problems);
    match T::deserialize(toml::de::Deserializer::from(document)) {
        Ok(file) => Some(file),
        Err(error) => {
            let error: toml::de::Error = error;
            problems.add(&error.span().unwrap_or(0..0), error.message(), "here", None);
            None
        }
    }
}

/// Checks `table` against the root `schema`, and removes from it whatever does not fit.
fn check(schema: &Value, table: &mut DeTable<'_>, problems: &mut Problems) {
    let shape = Shape { root: schema };
    shape.table(schema, table, &(0..0), "the file", problems);
}

struct Shape<'s> {
    root: &'s Value,
}

impl<'s> Shape<'s> {
    /// Follows `$ref`.
    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let mut schema = schema;
        while let Some(pointer) = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
            schema = self.root.pointer(pointer).expect("the schema's references lead somewhere");
        }
        schema
    }

    fn table(
        &self,
        schema: &'s Value,
        table: &mut DeTable<'_>,
        span: &Range<usize>,
        what: &str,
        problems: &mut Problems,
    ) {
        let empty = serde_json::Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let known: Vec<&str> = properties.keys().map(String::as_str).collect();
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let required = required.as_str().expect("required keys are strings");
            if !table.contains_key(required) {
                let help = match type_name(self.resolve(&properties[required])) {
                    "table" => format!("add a table `[{required}]`"),
                    _ => format!("add `{required} = {}`", self.example(&properties[required])),
                };
                problems.add(
                    span,
                    format!("{what} lacks `{required}`"),
                    format!("`{required}` is missing"),
                    Some(help),
                );
            }
        }
        for key in table.keys().filter(|key| !properties.contains_key::<str>(key.get_ref())) {
            let name: &str = key.get_ref();
            let help = suggestion(name, &known);
            problems.add(&key.span(), format!("unknown key `{name}`"), format!("not a key of {what}"), Some(help));
        }
        let all = std::mem::take(table);
        let fitting = all.into_iter().filter_map(|(key, mut value)| {
            let name: &str = key.get_ref();
            let fits = properties.get(name).is_some_and(|schema| self.value(schema, &mut value, name, problems));
            fits.then_some((key, value))
        });
        *table = fitting.collect();
    }

    /// Returns whether the value may stay.
    fn value(&self, schema: &'s Value, value: &mut Spanned<DeValue<'_>>, name: &str, problems: &mut Problems) -> bool {
        let span = value.span();
        let mut resolved = self.resolve(schema);
        if let Some(alternatives) = resolved.get("anyOf").and_then(Value::as_array) {
            let fits = alternatives.iter().map(|one| self.resolve(one)).find(|one| type_fits(one, value.get_ref()));
            let Some(fit) = fits else {
                self.wrong_type(resolved, value.get_ref(), &span, name, problems);
                return false;
            };
            resolved = fit;
        }
        if !type_fits(resolved, value.get_ref()) {
            self.wrong_type(resolved, value.get_ref(), &span, name, problems);
            return false;
        }
        match value.get_mut() {
            DeValue::Table(table) => {
                let what = format!("`{name}`");
                self.table(resolved, table, &span, &what, problems);
                true
            }
            DeValue::Array(items) => {
                self.array(resolved, items, &span, name, problems);
                true
            }
            DeValue::String(text) => one_of(resolved, text, &span, problems),
            // A range may stand beside a `$ref` or in its target.
            DeValue::Integer(number) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64);
                in_range(schema, number, &span, name, problems)
            }
            DeValue::Float(number) => in_range(schema, number.as_str().parse().ok(), &span, name, problems),
            DeValue::Boolean(_) | DeValue::Datetime(_) => true,
        }
    }

    fn array(
        &self,
        schema: &'s Value,
        items: &mut DeArray<'_>,
        span: &Range<usize>,
        name: &str,
        problems: &mut Problems,
    ) {
        if items.is_empty() && schema.get("minItems").is_some() {
            problems.add(span, format!("`{name}` is empty"), "at least one is needed", None);
        }
        let Some(schema) = schema.get("items") else { return };
        let all = std::mem::replace(items, std::iter::empty().collect());
        let fitting =
            all.into_iter().filter_map(|mut item| self.value(schema, &mut item, name, problems).then_some(item));
        *items = fitting.collect();
    }

    fn wrong_type(
        &self,
        schema: &Value,
        value: &DeValue<'_>,
        span: &Range<usize>,
        name: &str,
        problems: &mut Problems,
    ) {
        let wanted = match schema.get("title").and_then(Value::as_str) {
            Some(title) => title,
            None => type_name(schema),
        };
        let found = match value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let help = match (wanted, value) {
            (_, DeValue::Integer(number)) if number.as_str().starts_with('-') => {
                format!("write `{name} = {}`", self.example(schema))
            }
            ("duration" | "duration or range", DeValue::Integer(number)) => {
                format!("a duration is a string with a unit: write `{name} = \"{number}s\"` or `\"{number}ms\"`")
            }
            ("size" | "size or range", DeValue::Integer(number))
                if number.as_str().bytes().any(|digit| digit != b'0') =>
            {
                format!("a size is a string with a unit: write `{name} = \"{number}B\"` or `\"{number}KiB\"`")
            }
            _ => format!("write `{name} = {}`", self.example(schema)),
        };
        problems.add(
            span,
            format!("`{name}` has the wrong type"),
            format!("expected {}, found {found}", article(wanted)),
            Some(help),
        );
    }

    /// A value that would fit, for error messages.
    fn example(&self, schema: &Value) -> String {
        let resolved = match schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
            Some(pointer) => self.root.pointer(pointer).unwrap_or(schema),
            None => schema,
        };
        if let Some(example) = resolved.pointer("/examples/0").or_else(|| resolved.pointer("/enum/0")) {
            return example.to_string();
        }
        if let Some(first) = resolved.pointer("/anyOf/0") {
            return self.example(first);
        }
        match type_name(resolved) {
            "integer" | "number" => schema.get("minimum").map_or("1".to_owned(), |least| least.to_string()),
            "boolean" => "true".to_owned(),
            "list" => "[…]".to_owned(),
            "table" => "{ … }".to_owned(),
            _ => "\"…\"".to_owned(),
        }
    }
}

fn type_name(schema: &Value) -> &str {
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => "table",
        Some("array") => "list",
        Some(name) => name,
        None => "value",
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

fn type_fits(schema: &Value, value: &DeValue<'_>) -> bool {
    let wanted = schema.get("type").and_then(Value::as_str);
    match value {
        DeValue::String(_) => wanted == Some("string"),
        DeValue::Integer(_) => matches!(wanted, Some("integer" | "number")),
        DeValue::Float(_) => wanted == Some("number"),
        DeValue::Boolean(_) => wanted == Some("boolean"),
        DeValue::Datetime(_) => false,
        DeValue::Array(_) => wanted == Some("array"),
        DeValue::Table(_) => wanted == Some("object"),
    }
}

fn one_of(schema: &Value, text: &str, span: &Range<usize>, problems: &mut Problems) -> bool {
    let Some(names) = schema.get("enum").and_then(Value::as_array) else { return true };
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    if names.contains(&text) {
        return true;
    }
    let what = schema.get("title").and_then(Value::as_str).unwrap_or("name");
    let help = suggestion(text, &names);
    problems.add(span, format!("unknown {what} `{text}`"), format!("not {}", article(what)), Some(help));
    false
}

fn in_range(schema: &Value, number: Option<f64>, span: &Range<usize>, name: &str, problems: &mut Problems) -> bool {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let (least, most) = (bound("minimum"), bound("maximum"));
    let fits = number.is_some_and(|number| {
        number.is_finite() && least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most)
    });
    if !fits {
        let allowed = match (least, most) {
            (Some(least), Some(most)) => format!("must be between {least} and {most}"),
            (Some(least), None) => format!("must be at least {least}"),
            (None, Some(most)) => format!("must be at most {most}"),
            (None, None) => "is not a number that fits".to_owned(),
        };
        problems.add(span, format!("`{name}` is out of range"), allowed, None);
    }
    fits
}
