//! Values as numbers: equal values have equal numbers.

use std::collections::BTreeMap;

use serde_json::Value;

#[derive(Default)]
pub(super) struct Values {
    integers: BTreeMap<i64, u32>,
    /// By their canonical text: the keys of objects are sorted.
    others: BTreeMap<String, u32>,
    values: Vec<Value>,
    appended: BTreeMap<(u32, u32), u32>,
}

impl Values {
    pub fn number(&mut self, value: &Value) -> u32 {
        let next = self.values.len() as u32;
        let number = match value.as_i64() {
            Some(integer) => *self.integers.entry(integer).or_insert(next),
            None => *self.others.entry(value.to_string()).or_insert(next),
        };
        if number == next {
            self.values.push(value.clone());
        }
        number
    }

    pub fn value(&self, number: u32) -> &Value {
        &self.values[number as usize]
    }

    /// The text of one value followed by that of another. Nothing is an empty text.
    pub fn append(&mut self, to: u32, what: u32) -> u32 {
        if let Some(&known) = self.appended.get(&(to, what)) {
            return known;
        }
        let text = |number: u32| match self.value(number) {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let both = Value::String(text(to) + &text(what));
        let number = self.number(&both);
        self.appended.insert((to, what), number);
        number
    }
}
