//! Characters that are orders to a terminal, or that turn the writing direction, as what they are.

/// The character as it can be shown: an escape if it is an order.
pub(crate) fn visible(c: char) -> String {
    if is_order(c) { c.escape_default().to_string() } else { c.to_string() }
}

/// A text for one line.
pub(crate) fn line(text: &str) -> String {
    text.chars().map(visible).collect()
}

/// A text of several lines, with a character of as many bytes in the place of each order: what stands behind it stays
/// where it was.
pub(crate) fn same_length(text: &str) -> String {
    let same = |c: char| match (c, c.len_utf8()) {
        ('\n' | '\t', _) => c,
        // A line may end so.
        ('\r', _) => ' ',
        (c, _) if !is_order(c) => c,
        (_, 1) => '?',
        (_, 2) => '¿',
        _ => char::REPLACEMENT_CHARACTER,
    };
    text.chars().map(same).collect()
}

/// Control characters, those that turn the writing direction (Unicode's bidirectional algorithm, UAX 9), and those that
/// begin a line without being its end.
fn is_order(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_shown_and_text_stays_as_it_is() {
        for (text, shown, kept) in [
            ("a\u{1b}[2J\nb", "a\\u{1b}[2J\\nb", "a?[2J\nb"),
            ("\u{9b}31m", "\\u{9b}31m", "¿31m"),
            ("x\u{202e}y\u{2066}", "x\\u{202e}y\\u{2066}", "x\u{fffd}y\u{fffd}"),
            ("wö → “x”", "wö → “x”", "wö → “x”"),
        ] {
            assert_eq!(line(text), shown);
            assert_eq!(same_length(text), kept);
            assert_eq!(same_length(text).len(), text.len(), "{text:?}");
        }
    }
}
