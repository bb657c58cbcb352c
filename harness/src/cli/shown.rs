//! Text from outside on its way to a terminal, where control characters are orders: they are shown, not obeyed.
//!
//! Names of files, records that somebody else wrote, mistakes in either: whatever it is, it passes through
//! [`Printable`] last. What Ferret itself writes there is let through: colours, and the way back to the beginning of a
//! line. In files and pipes, what is for programs stays as it is, byte for byte; what is for people is
//! [`Printable::plain`] there. [`Shown`] escapes paths in any text.

use std::{
    io::{self, Write},
    path::Path,
};

use crate::visible::{line, visible};

/// How Ferret takes back its line of progress.
pub(super) const CLEAR_LINE: &str = "\r\x1b[K";

/// Longer sequences are none of ours.
const SEQUENCE_BYTES_MAX: usize = 16;

/// A path, or a word from outside, in a text.
pub(super) trait Shown {
    /// The same, with its control characters escaped.
    fn shown(&self) -> String;
}

impl Shown for Path {
    fn shown(&self) -> String {
        line(&self.to_string_lossy())
    }
}

impl Shown for str {
    fn shown(&self) -> String {
        line(self)
    }
}

/// A terminal that obeys nobody but Ferret; or a stream for plain text, which obeys nobody.
pub struct Printable<W> {
    terminal: W,
    /// Whether Ferret's own orders pass.
    ours: bool,
    /// The beginning of what may be a sequence of ours, or a control character of two bytes.
    held: Vec<u8>,
}

impl<W: Write> Printable<W> {
    pub fn new(terminal: W) -> Self {
        Self { terminal, ours: true, held: Vec::new() }
    }

    /// For what has no colours and no progress.
    pub fn plain(stream: W) -> Self {
        Self { terminal: stream, ours: false, held: Vec::new() }
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.held.push(byte);
        match self.held[..] {
            // In UTF-8, the control characters beyond ASCII begin with 0xc2, those of the writing direction with 0xd8
            // or 0xe2, as do others.
            [0xc2 | 0xd8 | 0xe2] | [0xe2, 0x80 | 0x81] => {}
            [0xe2, 0x82..=0xbf] => out.append(&mut self.held),
            [0xc2 | 0xd8 | 0xe2, _] | [0xe2, 0x80 | 0x81, _] => {
                let harmless = String::from_utf8_lossy(&self.held).chars().all(|c| visible(c).len() == c.len_utf8());
                if harmless { out.append(&mut self.held) } else { self.show(out) }
            }
            [b'\n' | b'\t'] | [0x20..=0x7e] | [0x80..=0xff] => out.append(&mut self.held),
            _ if !self.ours => self.show(out),
            // Colours.
            [0x1b, b'[', ref numbers @ .., b'm'] if numbers.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';')) => {
                out.append(&mut self.held);
            }
            _ if self.held == CLEAR_LINE.as_bytes() => out.append(&mut self.held),
            _ if self.may_become_ours() => {}
            _ => {
                // It is none of ours; but what follows its first byte may be.
                let rest = self.held.split_off(1);
                self.show(out);
                rest.into_iter().for_each(|byte| self.take(byte, out));
            }
        }
    }

    fn may_become_ours(&self) -> bool {
        let colour = match self.held[..] {
            [0x1b] => true,
            [0x1b, b'[', ref numbers @ ..] => numbers.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';')),
            _ => false,
        };
        (colour || CLEAR_LINE.as_bytes().starts_with(&self.held)) && self.held.len() <= SEQUENCE_BYTES_MAX
    }

    /// What is held, for eyes only.
    fn show(&mut self, out: &mut Vec<u8>) {
        let text: String = String::from_utf8_lossy(&self.held).chars().map(visible).collect();
        out.extend(text.into_bytes());
        self.held.clear();
    }
}

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = Vec::with_capacity(bytes.len());
        bytes.iter().for_each(|byte| self.take(*byte, &mut out));
        self.terminal.write_all(&out)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.terminal.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal gets of `text`, which comes in pieces of so many bytes.
    fn printed(text: &str, piece: usize) -> String {
        let mut terminal = Printable::new(Vec::new());
        for bytes in text.as_bytes().chunks(piece) {
            terminal.write_all(bytes).expect("it takes everything");
        }
        String::from_utf8(terminal.terminal).expect("it is text")
    }

    #[test]
    fn only_what_ferret_writes_itself_is_obeyed() {
        for piece in [1, 2, 3, 100] {
            for ours in ["plain\ttext\n", "\u{1b}[1;31mred\u{1b}[0m", "\r\u{1b}[K12/40", "wö → “x” £", "\u{1f980}"]
            {
                assert_eq!(printed(ours, piece), ours, "in pieces of {piece}");
            }
            for (text, shown) in [
                ("a\u{1b}]0;title\u{7}b", "a\\u{1b}]0;title\\u{7}b"),
                ("\u{1b}[2J\u{1b}[31mx", "\\u{1b}[2J\u{1b}[31mx"),
                ("\u{1b}\u{1b}[0m", "\\u{1b}\u{1b}[0m"),
                ("a\rb\u{8}", "a\\rb\\u{8}"),
                ("\r\u{1b}[31mx", "\\r\u{1b}[31mx"),
                ("\u{9b}2J£", "\\u{9b}2J£"),
                ("\u{7f}", "\\u{7f}"),
                ("a\u{202e}b\u{2066}→\u{61c}\u{2028}", "a\\u{202e}b\\u{2066}→\\u{61c}\\u{2028}"),
            ] {
                assert_eq!(printed(text, piece), shown, "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn on_a_plain_stream_nothing_is_obeyed() {
        let mut stream = Printable::plain(Vec::new());
        write!(stream, "\u{1b}[31mred\r\u{1b}[K→\n").expect("it takes everything");
        assert_eq!(String::from_utf8(stream.terminal).expect("it is text"), "\\u{1b}[31mred\\r\\u{1b}[K→\n");
    }

    #[test]
    fn a_path_has_no_control_characters_in_any_text() {
        assert_eq!(Path::new("a\u{1b}[2J\n/b ö").shown(), "a\\u{1b}[2J\\n/b ö");
    }
}
