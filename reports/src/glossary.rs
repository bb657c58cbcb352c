//! What each invariant promises, in one plain sentence.
//!
//! Names are for scenarios and gates; a person who meets a report for the first time needs the promise. A name that
//! is not listed is shown without one.

/// The promise behind an invariant's name.
pub(crate) fn promise(invariant: &str) -> Option<&'static str> {
    Some(match invariant {
        "no-confirmed-loss" => "Every confirmed message is delivered or still in its queue",
        "no-phantom" => "Nothing is delivered that nobody published",
        "no-fresh-duplicate" => "A second delivery is always flagged as redelivered",
        "attempts-bound" => "No message enters a queue more often than it was sent",
        "no-ack-resurrection" => "What was settled never comes back",
        "single-owner" => "One message belongs to one living consumer at a time",
        "publisher-order" => "Messages of one publisher arrive in the order they were sent",
        "queue-linearizable" => "All clients together saw one first-in, first-out queue",
        "requeue-order" => "Requeued messages return to their place in the queue",
        "delivery-count" => "The delivery count rises with each failed delivery and never resets",
        "settle-applied" => "What a client settles is settled that way, and nothing else is",
        "dead-letter" => "What is dead-lettered reaches its target",
        "ttl" => "Nothing is delivered after it expired",
        "single-active-consumer" => "One consumer is active at a time, and successors wait their turn",
        "prefetch" => "No consumer holds more than its prefetch",
        "priority" => "Higher priorities are served first",
        "confirm-protocol" => "Every publish gets one outcome",
        "durability" => "A restarted node remembers everything it promised",
        "lock" => "One client holds the lock at a time",
        "one-leader-per-term" => "No term has two leaders",
        "log-matching" => "Logs that agree on an entry agree on everything before it",
        "committed-stays" => "What was committed stays in every later leader's log",
        "replica-agreement" => "Replicas at the same index hold the same state",
        "quorum" => "Only a majority of voters decides, and they change one at a time",
        "monotonic" => "Terms and commit indexes never go backwards",
        "liveness" => "After healing, the cluster serves and converges again",
        _ => return None,
    })
}
