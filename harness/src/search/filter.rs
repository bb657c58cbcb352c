//! A small language that picks scenarios: `tag(gate) & !name(soak)`.
//!
//! ```text
//! filter  = all { "|" all }            the loosest
//! all     = one { "&" one }
//! one     = "!" one | "(" filter ")" | ( "tag" | "name" | "path" ) "(" text ")"
//! ```
//!
//! A text with `*` or `?` is a glob over the whole value. Any other text must be equal to a tag, or be part of a name
//! or of a path. A text may stand in quotes, `'…'` or `"…"`, and must if it holds a parenthesis.

use std::ops::Range;

use crate::scenario::{Problem, Problems, Scenario, suggestion};

/// Nesting beyond this is a mistake, and would cost stack.
const DEPTH_MAX: usize = 64;

/// Which scenarios are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Tag(Pattern),
    Name(Pattern),
    Path(Pattern),
    Not(Box<Filter>),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
}

/// How a value must look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `*` stands for any characters, `?` for one.
    Glob(String),
    Text(String),
}

/// What is wrong with a filter, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub span: Range<usize>,
    /// Stands under the caret.
    pub what: String,
    pub help: Option<String>,
}

impl Filter {
    /// # Errors
    /// The first mistake.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let filter = parser.filter()?;
        match parser.peek() {
            None => Ok(filter),
            Some(')') => Err(parser.wrong("no parenthesis is open here", Some("remove it"))),
            Some(_) => {
                let help = "join two conditions with `&` (and) or `|` (or)";
                Err(parser.wrong("an operator is missing before this", Some(help)))
            }
        }
    }

    pub fn picks(&self, scenario: &Scenario) -> bool {
        match self {
            Self::Tag(pattern) => scenario.tags.iter().any(|tag| pattern.equals(tag)),
            Self::Name(pattern) => pattern.is_in(&scenario.name),
            Self::Path(pattern) => pattern.is_in(&scenario.path),
            Self::Not(filter) => !filter.picks(scenario),
            Self::And(one, other) => one.picks(scenario) && other.picks(scenario),
            Self::Or(one, other) => one.picks(scenario) || other.picks(scenario),
        }
    }
}

impl Mistake {
    /// The mistake in a text that stands on its own, such as an option of the command line.
    pub fn problem(self, source: &str, text: &str) -> Problem {
        let mut problems = Problems::new(source, text);
        problems.add(&self.span, "this filter cannot be read", self.what, self.help);
        problems.into_sorted().remove(0)
    }
}

impl Pattern {
    fn new(text: String) -> Self {
        if text.contains(['*', '?']) { Self::Glob(text) } else { Self::Text(text) }
    }

    fn equals(&self, value: &str) -> bool {
        match self {
            Self::Glob(glob) => glob_fits(glob, value),
            Self::Text(text) => text == value,
        }
    }

    fn is_in(&self, value: &str) -> bool {
        match self {
            Self::Glob(glob) => glob_fits(glob, value),
            Self::Text(text) => value.contains(text.as_str()),
        }
    }
}

/// In time of the product of the lengths at most: after a mismatch, only the last star is tried further on.
fn glob_fits(glob: &str, value: &str) -> bool {
    let (glob, value): (Vec<char>, Vec<char>) = (glob.chars().collect(), value.chars().collect());
    let (mut g, mut v) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while v < value.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g + 1, v));
                g += 1;
            }
            Some(c) if *c == '?' || *c == value[v] => (g, v) = (g + 1, v + 1),
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (g, v) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}

const KINDS: [&str; 3] = ["tag", "name", "path"];

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn filter(&mut self) -> Result<Filter, Mistake> {
        let mut filter = self.all()?;
        while self.eat('|') {
            filter = Filter::Or(Box::new(filter), Box::new(self.all()?));
        }
        Ok(filter)
    }

    fn all(&mut self) -> Result<Filter, Mistake> {
        let mut filter = self.one()?;
        while self.eat('&') {
            filter = Filter::And(Box::new(filter), Box::new(self.one()?));
        }
        Ok(filter)
    }

    fn one(&mut self) -> Result<Filter, Mistake> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("nested too deeply", None));
        }
        let filter = match self.peek() {
            Some('!') => {
                self.at += 1;
                Filter::Not(Box::new(self.one()?))
            }
            Some('(') => {
                let open = self.at;
                self.at += 1;
                let filter = self.filter()?;
                self.close(open)?;
                filter
            }
            _ => self.condition()?,
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn condition(&mut self) -> Result<Filter, Mistake> {
        let start = self.at;
        let rest = &self.text[start..];
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).unwrap_or(rest.len());
        let kind = &rest[..length];
        if kind.is_empty() {
            let what = "a condition is missing here";
            return Err(self.wrong(what, Some("write tag(…), name(…) or path(…)")));
        }
        let span = start..start + length;
        if !KINDS.contains(&kind) {
            let help = suggestion(kind, &KINDS);
            return Err(Mistake { span, what: "no such condition".into(), help: Some(help) });
        }
        self.at += length;
        let open = self.at;
        if !self.eat('(') {
            return Err(Mistake { span, what: "of what?".into(), help: Some(format!("write {kind}(…)")) });
        }
        let pattern = Pattern::new(self.pattern(open)?);
        self.close(open)?;
        Ok(match kind {
            "tag" => Filter::Tag(pattern),
            "name" => Filter::Name(pattern),
            _ => Filter::Path(pattern),
        })
    }

    fn pattern(&mut self, open: usize) -> Result<String, Mistake> {
        let quote = self.peek().filter(|c| matches!(c, '\'' | '"'));
        if let Some(quote) = quote {
            let start = self.at;
            let Some(length) = self.text[start + 1..].find(quote) else {
                return Err(Mistake {
                    span: start..start + 1,
                    what: "this quote is never closed".into(),
                    help: Some(format!("add {quote} after the text")),
                });
            };
            self.at = start + 1 + length + 1;
            return Ok(self.text[start + 1..start + 1 + length].to_owned());
        }
        let start = self.at;
        let length = self.text[start..].find(['(', ')']).unwrap_or(self.text.len() - start);
        self.at += length;
        let text = self.text[start..self.at].trim();
        if text.is_empty() {
            let help = Some("write what to look for: tag(gate), name(leader-*)".into());
            return Err(Mistake { span: open..(self.at + 1).min(self.text.len()), what: "nothing in it".into(), help });
        }
        Ok(text.to_owned())
    }

    fn close(&mut self, open: usize) -> Result<(), Mistake> {
        if self.eat(')') {
            return Ok(());
        }
        let what = "this parenthesis is never closed";
        match self.peek() {
            None => {
                Err(Mistake { span: open..open + 1, what: what.into(), help: Some("add `)` where it ends".into()) })
            }
            Some(_) => Err(self.wrong("`)` is missing before this", None)),
        }
    }

    /// The next character that is not a space; moves up to it.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// A mistake at the next character, or at the end.
    fn wrong(&mut self, what: &str, help: Option<&str>) -> Mistake {
        let length = self.peek().map_or(0, char::len_utf8);
        Mistake { span: self.at..self.at + length, what: what.to_owned(), help: help.map(str::to_owned) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &str, tags: &[&str]) -> Scenario {
        let text = format!(
            "version = 1\nname = \"{name}\"\ntags = {tags:?}\nrun = {{ duration = \"1s\" }}\ncluster = {{ nodes = 1 }}\n\
             queues = [{{ name = \"q\" }}]\npublishers = [{{ name = \"p\", queue = \"q\", rate = 1 }}]\n"
        );
        Scenario::parse(&format!("scenarios/gate/{name}.toml"), &text).expect("the scenario is valid")
    }

    fn picks(filter: &str, scenario: &Scenario) -> bool {
        Filter::parse(filter).expect(filter).picks(scenario)
    }

    #[test]
    fn conditions_join_as_in_every_language() {
        let one = scenario("leader-loss", &["gate", "quorum"]);
        for (filter, expected) in [
            ("tag(gate)", true),
            ("tag(gat)", false),
            ("tag(g*)", true),
            ("tag(g?te)", true),
            ("name(leader)", true),
            ("name(lead*)", true),
            ("name(eade*)", false),
            ("name(*loss)", true),
            ("path(scenarios/gate/)", true),
            ("path(*/gate/*.toml)", true),
            ("tag(gate) & !name(soak)", true),
            ("!tag(gate) | name(loss)", true),
            ("!(tag(gate) | name(loss))", false),
            ("tag(x) & tag(y) | tag(gate)", true),
            ("tag(x) & (tag(y) | tag(gate))", false),
            ("!!tag(gate)", true),
            ("name('leader-loss')", true),
            ("name(\"leader(\")", false),
        ] {
            assert_eq!(picks(filter, &one), expected, "{filter}");
        }
    }

    #[test]
    fn a_mistake_has_its_place_and_a_mend() {
        for (filter, span, what, help) in [
            ("tga(gate)", 0..3, "no such condition", "did you mean `tag`?"),
            ("tag", 0..3, "of what?", "write tag(…)"),
            ("tag()", 3..5, "nothing in it", "write what to look for: tag(gate), name(leader-*)"),
            ("tag(gate", 3..4, "this parenthesis is never closed", "add `)` where it ends"),
            ("tag(gate) name(x)", 10..11, "an operator is missing before this", "join two conditions with"),
            ("tag(gate) &", 11..11, "a condition is missing here", "write tag(…), name(…) or path(…)"),
            ("tag(gate))", 9..10, "no parenthesis is open here", "remove it"),
            ("name('x)", 5..6, "this quote is never closed", "add ' after the text"),
            ("", 0..0, "a condition is missing here", "write tag(…)"),
        ] {
            let mistake = Filter::parse(filter).expect_err(filter);
            assert_eq!((mistake.span, mistake.what.as_str()), (span, what), "{filter}");
            assert!(mistake.help.as_deref().is_some_and(|said| said.starts_with(help)), "{filter}: {:?}", mistake.help);
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        assert!(Filter::parse(&"!".repeat(100_000)).is_err());
        assert!(Filter::parse(&"(".repeat(100_000)).is_err());
    }

    #[test]
    fn many_stars_cost_no_time() {
        assert!(!glob_fits(&"a*".repeat(2_000), &("a".repeat(1_999) + "b")));
    }
}
