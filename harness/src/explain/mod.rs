//! A run told to a person: what happened to a message, where, and which faults mattered.
//!
//! Everything told here is read from the history and the record; nothing is judged anew. [`Narrator`] puts single
//! events into words, [`life`] gathers the life of one message across client, log, replicas and disks, [`story`] makes
//! prose of it.

pub mod life;
mod replicas;
pub mod story;

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use ferret_reports::WitnessEvent;
use warren::platform::GroupId;

use crate::{
    check::{ledger::Ledger, pairing::Paired},
    history::{ChannelId, ClientId, History, MessageId},
};

pub use self::{life::Life, replicas::Replica, story::Story};

/// Messages that were received, as publisher and sequence, by their queue and their number there.
type Received = BTreeMap<(GroupId, u64), BTreeSet<(ClientId, u64)>>;

/// Tells events of one history.
pub struct Narrator<'h> {
    pub(crate) ledger: Ledger<'h>,
    pairs: OnceCell<BTreeMap<ChannelId, Paired>>,
    received: OnceCell<Received>,
}

impl<'h> Narrator<'h> {
    pub fn new(history: &'h History) -> Self {
        Self { ledger: Ledger::new(history), pairs: OnceCell::new(), received: OnceCell::new() }
    }

    /// The event at `position`, in words.
    pub fn event(&self, position: usize) -> Option<WitnessEvent> {
        (position < self.ledger.history.events.len()).then(|| self.ledger.line(position))
    }

    /// All events, in words.
    pub fn events(&self) -> impl Iterator<Item = WitnessEvent> {
        (0..self.ledger.history.events.len()).map(|position| self.ledger.line(position))
    }

    /// The messages that a text speaks of, each once: by name or as `message 7 of orders`, in its order, and then those
    /// that `entry 12 of orders` brought.
    pub fn messages_in(&self, text: &str) -> Vec<MessageName> {
        let separates = |c: char| c.is_whitespace() || ",;:()".contains(c);
        let words: Vec<&str> =
            text.split(separates).map(|word| word.trim_end_matches('.')).filter(|word| !word.is_empty()).collect();
        let places = 0..words.len();
        // Of an entry's messages, any may be meant, or none.
        let named = places.clone().flat_map(|place| self.named_at(&words[place..]));
        let brought = places.flat_map(|place| self.brought_at(&words[place..]));
        let mut found: Vec<MessageName> = Vec::new();
        for name in named.chain(brought) {
            if !found.contains(&name) {
                found.push(name);
            }
        }
        found
    }

    /// The message that the first of these words names, or the first four together.
    fn named_at(&self, words: &[&str]) -> Option<MessageName> {
        if let ["message", number, "of", queue, ..] = words
            && let Some((group, number)) = self.of_queue(number, queue)
        {
            return self.numbered(group, number);
        }
        self.message(words.first()?).ok()
    }

    /// What the entry brought that these words begin with.
    fn brought_at(&self, words: &[&str]) -> Vec<MessageName> {
        let ["entry", index, "of", queue, rest @ ..] = words else { return Vec::new() };
        let term = match rest {
            ["term", term, ..] => term.parse().ok(),
            _ => None,
        };
        self.of_queue(index, queue).map(|(group, index)| self.carried(group, index, term)).unwrap_or_default()
    }

    fn of_queue(&self, number: &str, queue: &str) -> Option<(GroupId, u64)> {
        let group = self.ledger.groups.iter().find(|(_, known)| *known == queue).map(|(group, _)| *group)?;
        Some((group, number.parse().ok()?))
    }

    /// The name of a message that was published.
    pub(crate) fn name(&self, id: MessageId) -> MessageName {
        let first = MessageId { attempt: 1, ..id };
        MessageName { publisher: id.publisher, sequence: id.sequence, text: self.ledger.message(first) }
    }

    /// `pub-1/417`.
    ///
    /// # Errors
    /// Why no message of this run is called so.
    pub fn message(&self, text: &str) -> Result<MessageName, String> {
        let wrong = || format!("`{text}` is no message: write PUBLISHER/NUMBER, such as `pub-1/417`");
        let (client, sequence) = text.rsplit_once('/').ok_or_else(wrong)?;
        let sequence: u64 = sequence.parse().map_err(|_| wrong())?;
        let clients = &self.ledger.history.clients;
        let Some(index) = clients.iter().position(|known| known == client) else {
            return Err(format!("there is no client `{client}` in this run; there are {}", clients.join(", ")));
        };
        let publisher = ClientId(u32::try_from(index).unwrap_or(u32::MAX));
        let sent = |last: &mut u64, id: &MessageId| {
            if id.publisher == publisher {
                *last = (*last).max(id.sequence);
            }
        };
        let mut last = 0;
        self.ledger.attempts.iter().for_each(|attempt| sent(&mut last, &attempt.id));
        let known = self
            .ledger
            .attempts
            .iter()
            .any(|attempt| attempt.id.publisher == publisher && attempt.id.sequence == sequence);
        if !known {
            return Err(match last {
                0 => format!("{client} published nothing"),
                last => format!("{client} never published {text}; its last is {client}/{last}"),
            });
        }
        Ok(MessageName { publisher, sequence, text: text.to_owned() })
    }
}

/// A message as people name it: all attempts to publish one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageName {
    pub publisher: ClientId,
    pub sequence: u64,
    text: String,
}

impl fmt::Display for MessageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
