//! When a step begins: at a time, again and again, or once something has happened.

use std::{ops::Range, time::Duration};

use warren::platform::NodeId;

use super::{
    Spread,
    problem::{closest, suggestion},
    step_table::{AfterTable, StepTable},
    steps::Steps,
    text,
    values::{At, EventText, Field},
};

/// What a step waits for instead of a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// So many since the run began.
    Reached(Tally, u64),
    /// It happened since the load began.
    Happened(Happening),
}

/// What is counted over all clients and queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tally {
    /// Publishes handed to a socket.
    Published,
    /// Publishes that their publisher was told are safe.
    Confirmed,
    /// Deliveries and messages got, redeliveries too.
    Delivered,
    /// Acks that clients sent.
    Acked,
}

impl Tally {
    pub const ALL: [Self; 4] = [Self::Published, Self::Confirmed, Self::Delivered, Self::Acked];

    /// The key in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Confirmed => "confirmed",
            Self::Delivered => "delivered",
            Self::Acked => "acked",
        }
    }
}

/// Something that happens in a run. Queues are indices into [`super::Scenario::queues`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    /// Another node than before leads the queue.
    LeaderChanged(usize),
    /// A message of the queue went out again, flagged as redelivered.
    Redelivered(usize),
    /// A replica of the queue received a snapshot from its leader.
    SnapshotInstalled(usize),
    /// A replica cut the queue's log behind a snapshot.
    Compacted(usize),
    /// The node's process ended, by a fault or by itself; `None`: that of any node.
    Down(Option<NodeId>),
    /// The node's process was started again; `None`: that of any node.
    Restarted(Option<NodeId>),
    /// A client of the group lost its connection and made another.
    Reconnected(String),
}

/// What `when` may wait for, as a person writes it, and what it means.
pub const HAPPENINGS: [(&str, &str); 7] = [
    ("leader-changed:QUEUE", "another node than before leads the queue"),
    ("redelivered:QUEUE", "a message of the queue goes out again, flagged as redelivered"),
    ("snapshot-installed:QUEUE", "a replica of the queue receives a snapshot from its leader"),
    ("compacted:QUEUE", "a replica cuts the queue's log behind a snapshot"),
    ("down:NODE", "the node's process ends, by a fault or by itself"),
    ("restarted:NODE", "the node's process is started again"),
    ("reconnected:CLIENTS", "a client of the group has lost its connection and makes another"),
];

const OF_QUEUE: [&str; 4] = ["leader-changed", "redelivered", "snapshot-installed", "compacted"];
const OF_NODE: [&str; 2] = ["down", "restarted"];
const OF_CLIENT: &str = "reconnected";

/// A step that is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// From one beginning to the next, drawn for each.
    pub every: Spread<Duration>,
    /// How often at most.
    pub count: Option<u64>,
    /// None begins after this.
    pub until: Duration,
}

/// The most that one step may be repeated in a run.
const REPETITIONS_MAX: u128 = 1000;

/// When a step begins.
pub(super) struct Begins {
    /// Since the start of the load, or since the trigger.
    pub(super) at: Spread<Duration>,
    pub(super) trigger: Option<Trigger>,
    pub(super) repeat: Option<Repeat>,
}

impl Steps<'_> {
    /// `None` after reporting what is wrong.
    pub(super) fn begins(&mut self, step: &At<StepTable>) -> Option<Begins> {
        let StepTable { at, after, when, delay, every, count, until, .. } = &step.value;
        let given = [("at", span(at)), ("after", span(after)), ("when", span(when))];
        let mut given: Vec<(&str, &Range<usize>)> =
            given.into_iter().filter_map(|(name, span)| Some((name, span?))).collect();
        given.sort_by_key(|(_, span)| span.start);
        if let [(first, _), (second, span), ..] = given[..] {
            let help = "write one of them; `delay` lets a step wait after `after` or `when`".to_owned();
            let message = format!("this step has two beginnings: `{first}` and `{second}`");
            self.problems.add(span, message, format!("`{first}` is the first"), Some(help));
            return None;
        }
        if given.is_empty() && every.0.is_none() {
            if !self.problems.any_within(&step.span) {
                let help = "add `at = \"5s\"`, `after = { confirmed = 1000 }`, `when = \"leader-changed:…\"`, or \
                            `every = \"5s\"`"
                    .to_owned();
                self.problems.add(&step.span, "this step never begins", "neither `at`, `after` nor `when`", Some(help));
            }
            return None;
        }
        let trigger = match (after, when) {
            (Field(Some(after)), _) => Some(self.reached(after)?),
            (_, Field(Some(when))) => Some(self.happened(when)?),
            _ => None,
        };
        if let (Some(_), Field(Some(every))) = (&trigger, every) {
            let help = "leave `every` out, or write `at`".to_owned();
            self.problems.add(&every.span, "a step that waits for something begins once", "so no `every`", Some(help));
            return None;
        }
        if let (None, Field(Some(delay))) = (&trigger, delay) {
            let help = "write a later `at`".to_owned();
            self.problems.add(&delay.span, "only `after` and `when` have a `delay`", "neither is here", Some(help));
            return None;
        }
        if let (None, Some(span)) = (&every.0, span(count).or(span(until))) {
            let help = "add `every = \"5s\"`, or leave this out".to_owned();
            self.problems.add(span, "this step is not repeated", "there is no `every`", Some(help));
            return None;
        }
        if trigger.is_some() {
            let at = if delay.0.is_some() { self.in_time(delay)? } else { Spread::exactly(Duration::ZERO) };
            return Some(Begins { at, trigger, repeat: None });
        }
        let Field(Some(field)) = every else {
            return Some(Begins { at: self.in_time(at)?, trigger, repeat: None });
        };
        let every = self.range(every)?;
        let at = if at.0.is_some() { self.in_time(at)? } else { every };
        let repeat = self.repeat(&step.value, at, every, &field.span)?;
        Some(Begins { at, trigger, repeat: Some(repeat) })
    }

    fn repeat(
        &mut self,
        step: &StepTable,
        at: Spread<Duration>,
        every: Spread<Duration>,
        span: &Range<usize>,
    ) -> Option<Repeat> {
        let duration = self.run.duration;
        let too_late = |from: Duration| format!("`duration` is {duration:?}, and this may come at {from:?}");
        if every.min.is_zero() {
            self.problems.add(span, "this duration is out of range", "must be above 0", None);
            return None;
        }
        let until = match &step.until {
            Field(None) => duration,
            Field(Some(at)) => match text::duration(at.value.as_ref()) {
                Ok(until) if until < duration => until,
                Ok(until) => {
                    let help = "leave it out: no step begins after the end of the load".to_owned();
                    self.problems.add(&at.span, "`until` is after the end of the run", too_late(until), Some(help));
                    return None;
                }
                Err(wrong) => {
                    self.problems.add(&at.span, "this is no duration", wrong.what, Some(wrong.help));
                    return None;
                }
            },
        };
        if at.max >= until {
            let help = "let it begin earlier".to_owned();
            self.problems.add(span, "this step begins after its end", too_late(at.max), Some(help));
            return None;
        }
        let count = step.count.0.as_ref().map(|at| at.value);
        if let (Some(count), Field(Some(field))) = (count, &step.count) {
            let last = at.max + every.max * u32::try_from(count - 1).unwrap_or(u32::MAX);
            if last >= until {
                let help = "write fewer, or leave `count` out: then there are as many as fit".to_owned();
                self.problems.add(&field.span, "so many repetitions do not fit", too_late(last), Some(help));
                return None;
            }
        } else if (until - at.min).as_nanos() / every.min.as_nanos() >= REPETITIONS_MAX {
            let help = "write a longer `every`, or a `count`".to_owned();
            let label = format!("more than {REPETITIONS_MAX} times in {:?}", until - at.min);
            self.problems.add(span, "this step is repeated too often", label, Some(help));
            return None;
        }
        Some(Repeat { every, count, until })
    }

    /// A time that comes before the load ends.
    fn in_time(&mut self, field: &Field<super::values::DurationRangeText>) -> Option<Spread<Duration>> {
        let begins = self.range(field)?;
        if let Field(Some(at)) = field
            && begins.max >= self.run.duration
        {
            let label = format!("`duration` is {:?}", self.run.duration);
            let help = "let it begin earlier, or raise `duration` under `[run]`".to_owned();
            self.problems.add(&at.span, "this step begins after the end of the run", label, Some(help));
        }
        Some(begins)
    }

    fn reached(&mut self, at: &At<AfterTable>) -> Option<Trigger> {
        let AfterTable { published, confirmed, delivered, acked } = &at.value;
        let counts = [published, confirmed, delivered, acked];
        let mut given =
            Tally::ALL.into_iter().zip(counts).filter_map(|(tally, field)| Some((tally, field.0.as_ref()?)));
        let (Some((tally, count)), None) = (given.next(), given.next()) else {
            let any = counts.iter().any(|field| field.0.is_some());
            let keys = "`published`, `confirmed`, `delivered` or `acked`";
            self.one_key_of(any, &at.span, "`after`", keys);
            return None;
        };
        Some(Trigger::Reached(tally, count.value))
    }

    fn happened(&mut self, at: &At<EventText>) -> Option<Trigger> {
        let text = at.value.as_ref();
        let (event, whom) = text.split_once(':').unwrap_or((text, ""));
        let happening = if OF_QUEUE.contains(&event) {
            let queue = self.of_queue(at, event, whom)?;
            match event {
                "leader-changed" => Happening::LeaderChanged(queue),
                "redelivered" => Happening::Redelivered(queue),
                "snapshot-installed" => Happening::SnapshotInstalled(queue),
                _ => Happening::Compacted(queue),
            }
        } else if OF_NODE.contains(&event) {
            let node = self.of_node(at, event, whom)?;
            if event == "down" { Happening::Down(node) } else { Happening::Restarted(node) }
        } else if event == OF_CLIENT {
            let group = self.clients.iter().find(|name| *name == whom).cloned();
            Happening::Reconnected(group.or_else(|| {
                let known: Vec<&str> = self.clients.iter().map(String::as_str).collect();
                self.nobody(at, "client", event, whom, &known)
            })?)
        } else {
            let known: Vec<&str> = OF_QUEUE.into_iter().chain(OF_NODE).chain([OF_CLIENT]).collect();
            let help = match (closest(event, known.iter().copied()), whom) {
                (Some(name), "") => format!("did you mean `{name}`, with `:` and whom it happens to?"),
                (Some(name), whom) => format!("did you mean `{name}:{whom}`?"),
                (None, _) => format!("known are {}", known.join(", ")),
            };
            self.problems.add(&at.span, format!("unknown event `{event}`"), "nothing that can happen", Some(help));
            return None;
        };
        Some(Trigger::Happened(happening))
    }

    fn of_queue(&mut self, at: &At<EventText>, event: &str, queue: &str) -> Option<usize> {
        let names: Vec<&str> = self.roles.queues.iter().map(|queue| queue.name.as_str()).collect();
        let found = names.iter().position(|name| *name == queue);
        found.or_else(|| self.nobody(at, "queue", event, queue, &names))
    }

    /// `Some(None)` is any node.
    fn of_node(&mut self, at: &At<EventText>, event: &str, node: &str) -> Option<Option<NodeId>> {
        if node == "any" {
            return Some(None);
        }
        let nodes = self.roles.nodes;
        let number = node.strip_prefix('n').and_then(|number| number.parse::<u64>().ok());
        match number.filter(|number| (1..=nodes).contains(number)) {
            Some(number) => Some(Some(NodeId(number))),
            None => {
                let names: Vec<String> = (1..=nodes).map(|node| format!("n{node}")).collect();
                let known: Vec<&str> = names.iter().map(String::as_str).chain(["any"]).collect();
                self.nobody(at, "node", event, node, &known)
            }
        }
    }

    fn nobody<T>(&mut self, at: &At<EventText>, what: &str, event: &str, whom: &str, known: &[&str]) -> Option<T> {
        let help = match (closest(whom, known.iter().copied()), known) {
            (Some(name), _) => format!("did you mean `{event}:{name}`?"),
            (None, [first, ..]) if whom.is_empty() => format!("did you mean `{event}:{first}`?"),
            (None, known) => suggestion(whom, known),
        };
        let (message, label) = match whom {
            "" => (format!("`{event}` happens to a {what}"), "none is named".to_owned()),
            whom => (format!("unknown {what} `{whom}`"), format!("no such {what}")),
        };
        self.problems.add(&at.span, message, label, Some(help));
        None
    }
}

fn span<T>(field: &Field<T>) -> Option<&Range<usize>> {
    field.0.as_ref().map(|at| &at.span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn what_is_listed_to_wait_for_is_all_that_can_be_waited_for() {
        let listed: Vec<&str> = HAPPENINGS.iter().filter_map(|(event, _)| event.split(':').next()).collect();
        let known: Vec<&str> = OF_QUEUE.into_iter().chain(OF_NODE).chain([OF_CLIENT]).collect();
        assert_eq!(listed, known);
        for (event, _) in HAPPENINGS {
            let event = event.replace("QUEUE", "q").replace("NODE", "any").replace("CLIENTS", "p");
            let text = format!(
                "version = 1\nname = \"a\"\nrun = {{ duration = \"1s\" }}\ncluster = {{ nodes = 3 }}\n\
                 queues = [{{ name = \"q\" }}]\npublishers = [{{ name = \"p\", queue = \"q\", rate = 1 }}]\n\
                 timeline = {{ steps = [{{ when = \"{event}\", heal = \"all\" }}] }}\n"
            );
            Scenario::parse("a.toml", &text).unwrap_or_else(|problems| panic!("{event}: {problems:?}"));
        }
    }
}
