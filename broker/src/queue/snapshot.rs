//! The state as bytes, and back.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    ChannelKey, ConsumerKey, Message, MessageNumber, QueueState,
    consumers::{Consumer, Consumers},
    messages::{Held, Item, Messages, Taker},
};
use crate::session::Sessions;

/// Why a snapshot cannot be the state of a queue.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the snapshot cannot be decoded: {0}")]
    Decode(#[from] postcard::Error),
    #[error("the snapshot contradicts itself: {0}")]
    Inconsistent(String),
}

/// Everything that the rest of the state can be derived from.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved {
    sessions: Sessions,
    number_last: u64,
    ticket_last: u64,
    consumers: BTreeMap<ConsumerKey, Consumer>,
    ready: Vec<SavedMessage>,
    held: Vec<(SavedMessage, ChannelKey, Taker)>,
}

#[derive(Serialize, Deserialize)]
struct SavedMessage {
    number: MessageNumber,
    count: u32,
    message: Message,
}

impl SavedMessage {
    fn of(number: MessageNumber, item: &Item) -> Self {
        Self { number, count: item.count, message: item.message.clone() }
    }

    fn item(self) -> Item {
        Item::new(self.message, self.count)
    }
}

impl QueueState {
    /// The whole state. Equal states give equal bytes.
    pub fn snapshot(&self) -> Bytes {
        let saved = Saved::from(self.clone());
        postcard::to_stdvec(&saved).expect("the state always encodes: it holds no unsized sequence").into()
    }

    /// The same state as if no message had ever been put back: a planted bug.
    pub(crate) fn without_counts(self) -> Self {
        let mut saved = Saved::from(self);
        saved.ready.iter_mut().chain(saved.held.iter_mut().map(|(message, ..)| message)).for_each(|m| m.count = 0);
        Self::try_from(saved).expect("counts have no part in what makes a state whole")
    }

    /// The state that [`QueueState::snapshot`] was taken of, with the same hash.
    ///
    /// # Errors
    /// When `snapshot` is not one.
    pub fn restore(snapshot: &[u8]) -> Result<Self, RestoreError> {
        Self::try_from(postcard::from_bytes::<Saved>(snapshot)?)
    }
}

impl From<QueueState> for Saved {
    fn from(state: QueueState) -> Self {
        Self {
            number_last: state.number_last,
            ticket_last: state.consumers.ticket_last(),
            consumers: state.consumers.all().clone(),
            ready: state.messages.ready().iter().map(|(&number, item)| SavedMessage::of(number, item)).collect(),
            held: state
                .messages
                .held()
                .iter()
                .map(|(&number, held)| (SavedMessage::of(number, &held.item), held.channel, held.taker))
                .collect(),
            sessions: state.sessions,
        }
    }
}

impl TryFrom<Saved> for QueueState {
    type Error = RestoreError;

    fn try_from(saved: Saved) -> Result<Self, RestoreError> {
        let mut messages = Messages::default();
        let mut holds: BTreeMap<ConsumerKey, u32> = BTreeMap::new();
        let check = |messages: &Messages, number: MessageNumber| {
            if number.0 == 0 || number.0 > saved.number_last || messages.contains(number) {
                return Err(RestoreError::Inconsistent(format!("message {} has no place or two", number.0)));
            }
            Ok(())
        };
        for message in saved.ready {
            check(&messages, message.number)?;
            messages.add_ready(message.number, message.item());
        }
        for (message, channel, taker) in saved.held {
            check(&messages, message.number)?;
            if let Taker::Consumer(consumer) = taker {
                *holds.entry(ConsumerKey { channel, consumer }).or_default() += 1;
            }
            messages.add_held(message.number, Held { item: message.item(), channel, taker });
        }
        let mut tickets = BTreeSet::new();
        for (key, consumer) in &saved.consumers {
            let fits = holds.get(key).copied().unwrap_or(0) == consumer.held
                && consumer.prefetch.is_none_or(|prefetch| prefetch > 0)
                && consumer.ticket.is_some() == consumer.has_credit()
                && consumer.ticket.is_none_or(|ticket| ticket <= saved.ticket_last && tickets.insert(ticket));
            if !fits {
                let reason = format!("consumer {} of {} has impossible credit", key.consumer, key.channel.session);
                return Err(RestoreError::Inconsistent(reason));
            }
        }
        Ok(Self {
            sessions: saved.sessions,
            number_last: saved.number_last,
            consumers: Consumers::restored(saved.consumers, saved.ticket_last),
            messages,
        })
    }
}
