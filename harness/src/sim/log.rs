//! What brokers say through `tracing`, with the machine that said it and the virtual time.
//!
//! Listening changes nothing in a run: what is said is formatted and kept, and nobody in the simulation can tell.

use std::{
    cell::Cell,
    fmt::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{Event, Metadata, Subscriber, dispatcher, field, span};

use super::MachineId;
use crate::history::Nanos;

thread_local! {
    /// The machine that is being polled on this thread, and the time.
    static SPEAKER: Cell<Option<(MachineId, Nanos)>> = const { Cell::new(None) };
}

/// Whatever is said from now on, `machine` says, at `now`.
pub(super) fn speaks(machine: MachineId, now: u64) {
    SPEAKER.set(Some((machine, Nanos(now))));
}

/// One line of a broker's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub at: Nanos,
    pub machine: MachineId,
    /// `INFO` and its like.
    pub level: &'static str,
    /// The message, then its fields.
    pub text: String,
}

/// Runs `f` and gives what brokers said meanwhile on this thread, in order.
pub fn listen<R>(f: impl FnOnce() -> R) -> (R, Vec<LogLine>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Ear { heard: Arc::clone(&heard), spans: AtomicU64::new(1) };
    let result = dispatcher::with_default(&dispatcher::Dispatch::new(ear), f);
    let lines = heard.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default();
    (result, lines)
}

struct Ear {
    heard: Arc<Mutex<Vec<LogLine>>>,
    /// The next span's number. What spans say is not kept: brokers open none.
    spans: AtomicU64,
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("warren") && *metadata.level() <= tracing::Level::DEBUG
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some((machine, at)) = SPEAKER.get() else { return };
        let mut words = Words::default();
        event.record(&mut words);
        let text = format!("{}{}", words.message, words.fields);
        let line = LogLine { at, machine, level: event.metadata().level().as_str(), text };
        if let Ok(mut heard) = self.heard.lock() {
            heard.push(line);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl field::Visit for Words {
    fn record_debug(&mut self, field: &field::Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_says_is_heard_with_machine_and_time() {
        let ((), lines) = listen(|| {
            tracing::info!(target: "warren::test", "said before anyone speaks");
            speaks(MachineId(2), 7);
            tracing::info!(target: "warren::test", term = 3, "became leader");
            tracing::info!(target: "elsewhere", "not a broker");
            tracing::trace!(target: "warren::test", "too fine");
        });
        let line = LogLine { at: Nanos(7), machine: MachineId(2), level: "INFO", text: "became leader term=3".into() };
        assert_eq!(lines, [line]);
    }
}
