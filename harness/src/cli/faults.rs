//! `ferret faults`: every fault that a timeline can hold with its fields, and every way in which a step begins, with
//! one example each. What a field may be is what the schema says.

use std::io;

use clap::Args;
use serde_json::Value;

use super::{Streams, exit, terminal};
use crate::{
    faults::{BEGINNINGS, CATALOGUE, Listed},
    scenario::{HAPPENINGS, schema},
};

const EXAMPLES: &str = "\
Each example is a step of a scenario's timeline. A target is `leader:Q`, `followers:Q`, `one-follower:Q`,
`one-learner:Q`, `majority`, `minority`, `all`, `any`, `spare`, a node such as `n1`, or a list of them; times
may be ranges such as \"2s..5s\", drawn from the seed. A step begins in one way: `at`, `after` or `when`;
`every` goes alone or with `at`. A step that turns out to have done nothing fails the run, and so does one whose
trigger never comes, unless it says `may-miss = true`. A swarm (`ferret run --swarm`, or a section `[swarm]`)
draws any of them from the seed, but `heal` and `restart`.";

/// Keys that any step may have.
const OF_ANY_STEP: [&str; 5] = ["for", "may-miss", "delay", "count", "until"];

/// List every fault, and every way in which a step begins, with an example
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FaultsArgs {}

pub(super) fn faults(streams: &mut Streams<'_>) -> io::Result<u8> {
    let fields = Fields::of_schema();
    let width = streams.out_style.width;
    let all: Vec<&Listed> = CATALOGUE.iter().chain(BEGINNINGS).collect();
    for (position, listed) in all.iter().enumerate() {
        let before = position.checked_sub(1).map(|before| all[before]);
        if before.is_none_or(|before| before.part != listed.part) {
            let gap = if before.is_none() { "" } else { "\n" };
            writeln!(streams.out, "{gap}{}", listed.part)?;
        }
        writeln!(streams.out, "  {:<16} {}\n      {}", listed.kind, listed.what, listed.example)?;
        // Once for all examples of a kind.
        if all.get(position + 1).is_none_or(|next| next.kind != listed.kind)
            && let Some(told) = fields.told(listed.kind)
        {
            writeln!(streams.out, "{}", terminal::wrapped("      with ", &told, width))?;
        }
    }
    writeln!(streams.out, "\nin any step")?;
    for key in OF_ANY_STEP {
        let told = fields.key(key);
        writeln!(streams.out, "{}", terminal::wrapped(&format!("  {key:<16} "), &told, width))?;
    }
    writeln!(streams.out, "\nwhat `when` waits for, since the load began: the first time it happens")?;
    for (event, what) in HAPPENINGS {
        writeln!(streams.out, "  {event:<26} {what}")?;
    }
    writeln!(streams.out, "  NODE is a node such as n1, or any; QUEUE and CLIENTS are names of the scenario's own")?;
    Ok(exit::PASS)
}

/// What steps and their tables may hold, from the schema of scenarios.
struct Fields {
    schema: Value,
}

impl Fields {
    fn of_schema() -> Self {
        Self { schema: schema().to_value() }
    }

    fn resolve<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        pointer.and_then(|pointer| self.schema.pointer(pointer)).unwrap_or(schema)
    }

    fn property(&self, key: &str) -> &Value {
        &self.schema["$defs"]["StepTable"]["properties"][key]
    }

    /// The table that belongs to `kind`: what must be there first, then what may be. `None` if it is no table.
    fn told(&self, kind: &str) -> Option<String> {
        let table = self.resolve(self.property(kind));
        let properties = table.get("properties")?.as_object()?;
        let required: Vec<&str> =
            table.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let optional = properties.keys().map(String::as_str).filter(|name| !required.contains(name));
        let one = |name: &str| format!("`{name}`: {}", self.value(&properties[name]));
        let all: Vec<String> = required.iter().copied().chain(optional).map(one).collect();
        let exactly = table.get("description").and_then(Value::as_str).map(|text| format!(". {}", one_line(text)));
        Some(format!("{}{}", all.join("; "), exactly.unwrap_or_default().trim_end_matches('.')))
    }

    fn key(&self, key: &str) -> String {
        self.value(self.property(key))
    }

    /// What a value may be, and what it means.
    fn value(&self, schema: &Value) -> String {
        let resolved = self.resolve(schema);
        let number = |key: &str| resolved.get(key).map(ToString::to_string);
        let what = match (resolved.get("enum").and_then(Value::as_array), resolved.get("title"), &resolved["type"]) {
            (Some(names), ..) => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
            (_, Some(Value::String(title)), _) => title.clone(),
            (_, _, Value::String(kind)) => match (kind.as_str(), number("minimum"), number("maximum")) {
                ("array", ..) => format!("list of: {}", self.value(&resolved["items"])),
                ("string", ..) => "name".to_owned(),
                ("boolean", ..) => "true | false".to_owned(),
                (kind, Some(least), Some(most)) => format!("{kind} from {least} to {most}"),
                (kind, Some(least), None) => format!("{kind} from {least}"),
                (kind, ..) => kind.to_owned(),
            },
            _ => "value".to_owned(),
        };
        match schema.get("description").and_then(Value::as_str) {
            Some(meaning) => format!("{what} ({})", one_line(meaning.trim_end_matches('.'))),
            None => what,
        }
    }
}

/// A comment's lines as one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_with_their_values_and_defaults() {
        let fields = Fields::of_schema();
        let told = |kind| fields.told(kind).expect("a table");
        let error = "`node`: target or list of targets; `what`: \"sync\" | \"read\" | \"no-space\" (";
        assert!(told("disk-error").starts_with(error), "{}", told("disk-error"));
        assert!(told("bit-rot").ends_with("`bits`: integer from 1 to 1000 (How many. Default 1)"));
        assert!(told("clock-jump").ends_with("Exactly one of `forward` and `back`"), "{}", told("clock-jump"));
        assert!(told("after").contains("`confirmed`: integer from 1 (Publishes that were confirmed)"));
        assert_eq!(fields.told("when"), None);
        for listed in CATALOGUE.iter().filter(|listed| listed.kind != "heal") {
            assert!(!told(listed.kind).is_empty(), "{}", listed.kind);
        }
        for key in OF_ANY_STEP {
            assert_ne!(fields.key(key), "value", "{key}");
        }
    }
}
