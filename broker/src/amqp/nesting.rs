//! How deep the tables of a frame nest, measured without recursion.
//!
//! The table parser recurses once per level, so a frame full of tables within tables would overflow the stack. This
//! walk comes first and needs none. It visits values in the parser's own order and stops where the parser would stop,
//! so whatever it lets through is no deeper for the parser.

use bytes::Buf;

/// Levels of tables and arrays that a client may nest.
pub(super) const LIMIT: usize = 32;

/// The part of a method frame's payload that begins with its field table, if it has one.
pub(super) fn method_table(payload: &[u8]) -> Option<&[u8]> {
    let (class, method) = (read_u16(payload)?, read_u16(payload.get(2..)?)?);
    let arguments = payload.get(4..)?;
    // Short strings after the reserved short, and then whether an octet of flags precedes the table.
    let (names, flags) = match (class, method) {
        (10, 11) => return Some(arguments),
        (40, 10) | (60, 20) => (2, true),
        (50, 10) => (1, true),
        (40, 30 | 40) | (50, 20) => (3, true),
        (50, 50) => (3, false),
        _ => return None,
    };
    let mut rest = arguments.get(2..)?;
    for _ in 0..names {
        rest = skip_short_string(rest)?;
    }
    rest.get(usize::from(flags)..)
}

/// The part of content properties that begins with the `headers` table, if there is one.
pub(super) fn properties_table(properties: &[u8]) -> Option<&[u8]> {
    let flags = read_u16(properties)?;
    let mut rest = properties.get(2..)?;
    // content-type and content-encoding come before the headers.
    for bit in [15, 14] {
        if flags & (1 << bit) != 0 {
            rest = skip_short_string(rest)?;
        }
    }
    (flags & (1 << 13) != 0).then_some(rest)
}

/// Whether the table that `bytes` begins with nests at most [`LIMIT`] levels, as far as it is well formed.
pub(super) fn is_shallow(bytes: &[u8]) -> bool {
    walk(bytes).unwrap_or(true)
}

/// `None`: malformed; the parser will say so.
fn walk(bytes: &[u8]) -> Option<bool> {
    struct Level<'a> {
        rest: &'a [u8],
        keys: bool,
    }
    let (table, _) = sized(bytes)?;
    let mut levels = vec![Level { rest: table, keys: true }];
    while let Some(level) = levels.last_mut() {
        if level.rest.is_empty() {
            levels.pop();
            continue;
        }
        if level.keys {
            level.rest = skip_short_string(level.rest)?;
        }
        let kind = *level.rest.first()?;
        let value = &level.rest[1..];
        let fixed = match kind {
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            b'V' => 0,
            b'S' | b'x' => {
                level.rest = sized(value)?.1;
                continue;
            }
            b'A' | b'F' => {
                let (inner, rest) = sized(value)?;
                level.rest = rest;
                if levels.len() == LIMIT {
                    return Some(false);
                }
                levels.push(Level { rest: inner, keys: kind == b'F' });
                continue;
            }
            _ => return None,
        };
        level.rest = value.get(fixed..)?;
    }
    Some(true)
}

/// What a 32-bit length counts, and what follows.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = bytes.get(..4)?.get_u32() as usize;
    bytes[4..].split_at_checked(len)
}

fn skip_short_string(bytes: &[u8]) -> Option<&[u8]> {
    let len = usize::from(*bytes.first()?);
    bytes.get(1 + len..)
}

fn read_u16(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]))
}
