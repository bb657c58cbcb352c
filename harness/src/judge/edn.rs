//! A reader of EDN (<https://github.com/edn-format/edn>), as far as histories need it.
//!
//! Values become JSON: keywords and symbols become text without their colon, characters become text, sets and lists
//! become arrays, keys of maps become text, tags are dropped (`#jepsen.history.Op{…}` is a map like any other). So
//! `:a`, `a` and `"a"` are one value here, as `(1 2)` and `[1 2]` are.

use std::ops::Range;

use serde_json::{Map, Number, Value};

use super::numbers;

/// How deeply collections may lie in each other.
const DEPTH_MAX: usize = 64;

/// Why a text is not EDN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub span: Range<usize>,
    pub message: String,
}

/// Reads one value after the other.
pub struct Reader<'t> {
    text: &'t str,
    at: usize,
}

/// A map with the bytes in which its values stand.
pub type Entries = Vec<(String, Value, Range<usize>)>;

impl<'t> Reader<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// The bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Skips blanks, commas, comments and discarded values; the character that comes then.
    ///
    /// # Errors
    /// When a discarded value is not EDN.
    pub fn peek(&mut self) -> Result<Option<char>, Wrong> {
        self.peek_within(0)
    }

    fn peek_within(&mut self, depth: usize) -> Result<Option<char>, Wrong> {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with(';') {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("#_") {
                let begin = self.at;
                self.at += 2;
                self.value_within(depth + 1)?.ok_or_else(|| self.wrong(begin, "nothing follows this `#_`"))?;
            } else {
                return Ok(trimmed.chars().next());
            }
        }
    }

    /// Takes the character that [`Self::peek`] has shown.
    pub fn skip(&mut self, character: char) {
        self.at += character.len_utf8();
    }

    /// The next value; `None` at the end of the text.
    ///
    /// # Errors
    /// When what comes is not EDN.
    pub fn value(&mut self) -> Result<Option<Value>, Wrong> {
        self.value_within(0)
    }

    /// The entries of the next value, which must be a map, with or without a tag; `None` at the end of the text.
    ///
    /// # Errors
    /// When what comes is not EDN, or no map.
    pub fn map(&mut self) -> Result<Option<Entries>, Wrong> {
        self.drop_tag(0)?;
        let begin = self.at;
        match self.peek()? {
            None => Ok(None),
            Some('{') => self.entries(begin, 1).map(Some),
            Some(_) => {
                self.value()?;
                Err(self.wrong(begin, "this is no map"))
            }
        }
    }

    fn wrong(&self, begin: usize, message: &str) -> Wrong {
        Wrong { span: begin..self.at.max(begin), message: message.to_owned() }
    }

    fn value_within(&mut self, depth: usize) -> Result<Option<Value>, Wrong> {
        if depth > DEPTH_MAX {
            return Err(self.wrong(self.at, "too many collections within each other"));
        }
        self.drop_tag(depth)?;
        let Some(first) = self.peek_within(depth)? else { return Ok(None) };
        let begin = self.at;
        match first {
            '[' => self.items(begin, ']', depth + 1).map(|items| Some(Value::Array(items))),
            '(' => self.items(begin, ')', depth + 1).map(|items| Some(Value::Array(items))),
            '{' => {
                let entries = self.entries(begin, depth + 1)?;
                Ok(Some(Value::Object(entries.into_iter().map(|(key, value, _)| (key, value)).collect::<Map<_, _>>())))
            }
            '#' => {
                // A set, since a tag has been dropped: the order of its members means nothing.
                self.skip('#');
                let mut items = self.items(begin, '}', depth + 1)?;
                items.sort_by_cached_key(Value::to_string);
                Ok(Some(Value::Array(items)))
            }
            '"' => self.string(begin).map(|text| Some(Value::String(text))),
            '\\' => self.character(begin).map(|text| Some(Value::String(text))),
            ']' | ')' | '}' => {
                self.skip(first);
                Err(self.wrong(begin, &format!("this `{first}` closes nothing")))
            }
            _ => self.atom(begin).map(Some),
        }
    }

    /// Skips `#tag`, and stays before anything else.
    fn drop_tag(&mut self, depth: usize) -> Result<(), Wrong> {
        while self.peek_within(depth)? == Some('#') && !self.text[self.at..].starts_with("#{") {
            let begin = self.at;
            self.skip('#');
            if self.word().is_empty() {
                return Err(self.wrong(begin, "a tag has no name"));
            }
        }
        Ok(())
    }

    fn items(&mut self, begin: usize, close: char, depth: usize) -> Result<Vec<Value>, Wrong> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            match self.peek_within(depth)? {
                Some(next) if next == close => {
                    self.skip(next);
                    return Ok(items);
                }
                Some(_) => items.extend(self.value_within(depth)?),
                None => return Err(self.unclosed(begin)),
            }
        }
    }

    fn entries(&mut self, begin: usize, depth: usize) -> Result<Entries, Wrong> {
        let mut entries = Entries::new();
        self.at += 1;
        loop {
            match self.peek_within(depth)? {
                None => return Err(self.unclosed(begin)),
                Some('}') => {
                    self.skip('}');
                    return Ok(entries);
                }
                Some(_) => {}
            }
            let key_begin = self.at;
            let Some(key) = self.value_within(depth)? else { return Err(self.unclosed(begin)) };
            match self.peek_within(depth)? {
                None => return Err(self.unclosed(begin)),
                Some('}') => return Err(self.wrong(key_begin, "this key has no value")),
                Some(_) => {}
            }
            let value_begin = self.at;
            let Some(value) = self.value_within(depth)? else { return Err(self.unclosed(begin)) };
            let key = match key {
                Value::String(text) => text,
                other => other.to_string(),
            };
            entries.push((key, value, value_begin..self.at));
        }
    }

    fn unclosed(&self, begin: usize) -> Wrong {
        Wrong { span: begin..begin + 1, message: "this is never closed".to_owned() }
    }

    fn string(&mut self, begin: usize) -> Result<String, Wrong> {
        let mut text = String::new();
        self.skip('"');
        let mut characters = self.text[self.at..].char_indices();
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += offset + 1;
                    return Ok(text);
                }
                '\\' => {
                    let escape = characters.next().map(|(_, escape)| escape);
                    let plain = match escape {
                        Some('n') => Some('\n'),
                        Some('t') => Some('\t'),
                        Some('r') => Some('\r'),
                        Some('b') => Some('\u{8}'),
                        Some('f') => Some('\u{c}'),
                        Some('\\') => Some('\\'),
                        Some('"') => Some('"'),
                        Some('u') => {
                            let digits: String = characters.by_ref().take(4).map(|(_, digit)| digit).collect();
                            // Half of a pair stands for nothing on its own.
                            hexadecimal(&digits).map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
                        }
                        _ => None,
                    };
                    let Some(plain) = plain else {
                        let span = self.at + offset..self.at + offset + 1;
                        return Err(Wrong { span, message: "no such escape".to_owned() });
                    };
                    text.push(plain);
                }
                other => text.push(other),
            }
        }
        self.at = self.text.len();
        Err(Wrong { span: begin..begin + 1, message: "this text is never closed".to_owned() })
    }

    fn character(&mut self, begin: usize) -> Result<String, Wrong> {
        self.skip('\\');
        // The first is the character itself, even if it would end a word.
        let Some(first) = self.text[self.at..].chars().next() else {
            return Err(self.wrong(begin, "a backslash alone is no character"));
        };
        let name_begin = self.at;
        self.skip(first);
        self.word();
        let name = &self.text[name_begin..self.at];
        let named = match name {
            "newline" => Some('\n'),
            "return" => Some('\r'),
            "space" => Some(' '),
            "tab" => Some('\t'),
            _ if name.chars().count() == 1 => Some(first),
            _ => name.strip_prefix('u').and_then(hexadecimal).and_then(char::from_u32),
        };
        named.map(String::from).ok_or_else(|| self.wrong(begin, "no such character"))
    }

    /// Up to what cannot be part of a number, keyword or symbol.
    fn word(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| c.is_whitespace() || ",;\"()[]{}\\".contains(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn atom(&mut self, begin: usize) -> Result<Value, Wrong> {
        let word = self.word();
        let plain = match word {
            "nil" => return Ok(Value::Null),
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            _ => word.strip_prefix(':').unwrap_or(word),
        };
        if plain.is_empty() {
            return Err(self.wrong(begin, "a keyword has no name"));
        }
        let numeric = word.strip_prefix(['-', '+']).unwrap_or(word).starts_with(|c: char| c.is_ascii_digit());
        if !numeric {
            return Ok(Value::String(plain.to_owned()));
        }
        let digits = word.strip_prefix('+').unwrap_or(word);
        if let Ok(number) = digits.strip_suffix('N').unwrap_or(digits).parse::<i64>() {
            return Ok(number.into());
        }
        let float = digits.strip_suffix('M').unwrap_or(digits).parse::<f64>().ok();
        // Ratios and integers beyond 64 bits keep their digits, as text.
        let beyond = word.chars().all(|c| c.is_ascii_digit() || "+-/N".contains(c));
        if !beyond && !numbers::is_exact(digits.strip_suffix('M').unwrap_or(digits)) {
            return Err(self.wrong(begin, numbers::INEXACT));
        }
        match float.filter(|_| !beyond).and_then(Number::from_f64) {
            Some(number) => Ok(Value::Number(number)),
            None if beyond => Ok(Value::String(word.to_owned())),
            None => Err(self.wrong(begin, "this is no number")),
        }
    }
}

fn hexadecimal(digits: &str) -> Option<u32> {
    let proper = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    proper.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// Where the value of a key stands in the text of a map.
pub(super) fn field(map: &str, key: &str) -> Option<Range<usize>> {
    let entries = Reader::new(map).map().ok().flatten()?;
    entries.into_iter().find(|(name, ..)| name == key).map(|(.., span)| span)
}
