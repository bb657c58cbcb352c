//! The bodies of the workload's messages: they name the message and vouch for themselves.
//!
//! A body is one line of text, `ferret <publisher> <sequence> <attempt> <check>`, padded with dots to the size that
//! the scenario asks for. The check covers the whole body, so that a truncated or mixed-up one does not parse.

use xxhash_rust::xxh3::xxh3_64;

use crate::history::{ClientId, MessageId};

/// The shortest body that a scenario may ask for, in bytes: any name that a run comes to has room in it.
pub const BODY_BYTES_MIN: usize = 64;

/// The body of `message`, `size` bytes long (at least as many as the name needs).
pub fn encode(message: MessageId, size: usize) -> Vec<u8> {
    let name = format!("ferret {} {} {}", message.publisher.0, message.sequence, message.attempt);
    let mut body = Vec::with_capacity(size.max(BODY_BYTES_MIN));
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b" ________________ ");
    let check_at = name.len() + 1;
    body.resize(body.len().max(size), b'.');
    let check = format!("{:016x}", xxh3_64(&body));
    body[check_at..check_at + 16].copy_from_slice(check.as_bytes());
    body
}

/// The message that a body names; `None` if it is not, byte for byte, one that [`encode`] makes.
pub fn decode(body: &[u8]) -> Option<MessageId> {
    let head = std::str::from_utf8(&body[..body.len().min(BODY_BYTES_MIN)]).ok()?;
    let mut words = head.split(' ');
    if words.next()? != "ferret" {
        return None;
    }
    let message = MessageId {
        publisher: ClientId(words.next()?.parse().ok()?),
        sequence: words.next()?.parse().ok()?,
        attempt: words.next()?.parse().ok()?,
    };
    (encode(message, body.len()) == body).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: MessageId = MessageId { publisher: ClientId(3), sequence: 417, attempt: 2 };

    #[test]
    fn the_longest_name_has_room_in_the_shortest_body() {
        // A thousand machines, the most messages that a publisher can be asked for, and as many attempts.
        let message = MessageId { publisher: ClientId(999), sequence: 1_000_000_000, attempt: 1_000_000_000 };
        let body = encode(message, BODY_BYTES_MIN);
        assert_eq!(body.len(), BODY_BYTES_MIN);
        assert_eq!(decode(&body), Some(message));
    }

    #[test]
    fn a_body_names_its_message_at_any_size() {
        for size in [0, BODY_BYTES_MIN, 1024] {
            assert_eq!(decode(&encode(MESSAGE, size)), Some(MESSAGE));
        }
    }

    #[test]
    fn a_body_that_lost_or_changed_a_byte_does_not_parse() {
        let body = encode(MESSAGE, 1024);
        assert_eq!(decode(&body[..1023]), None);
        for at in [0, 9, 30, 1000] {
            let mut changed = body.clone();
            changed[at] ^= 1;
            assert_eq!(decode(&changed), None);
        }
        assert_eq!(decode(b""), None);
    }
}
