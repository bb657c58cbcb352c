//! The only ways in which text from outside enters a document.
//!
//! Scenario names, explanations and file texts are whatever a user or a broker wrote. None of it may become markup,
//! and none of it may be invisible: control characters and bidirectional overrides are shown as what they are.

/// Text for HTML, in element content and in quoted attributes.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c => out.push(visible(c)),
        }
    }
    out
}

/// Text for one part of an address: a value of a query, or a folder's name.
pub(crate) fn query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Text for XML 1.0, in element content and in quoted attributes: line breaks and tabs survive in both.
pub(crate) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(visible(c)),
        }
    }
    out
}

/// JSON for the inside of a `<script>` element, where only `<` can end it or open a comment.
pub(crate) fn json_in_script(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Text for one line of Markdown, table cells included.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\t' => out.push(' '),
            c => out.push(visible(c)),
        }
    }
    out
}

/// Code within one line of Markdown, table cells included: a table ends a cell at a `|` even within code.
pub(crate) fn markdown_code(text: &str) -> String {
    let text: String = text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { visible(c) }).collect();
    format!("<code>{}</code>", markdown(&text))
}

/// A fenced code block that nothing in `text` can close.
pub(crate) fn markdown_code_block(text: &str) -> String {
    let text: String = text.chars().map(|c| if c == '\n' || c == '\t' { c } else { visible(c) }).collect();
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}sh\n{text}\n{fence}\n")
}

/// `text` within `limit` characters, with an ellipsis where something was cut.
pub(crate) fn clip(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Controls become their pictures (U+2400 and up), overrides of the writing direction the replacement character.
fn visible(c: char) -> char {
    match c {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_name_stays_text() {
        assert_eq!(html("<script>\"'&"), "&lt;script&gt;&quot;&#39;&amp;");
        assert_eq!(json_in_script(&serde_json::json!("</script><!--")), "\"\\u003c/script>\\u003c!--\"");
    }

    #[test]
    fn xml_holds_no_character_that_xml_forbids() {
        assert_eq!(xml("a\u{0}b\u{1b}c\u{fffe}\n\t"), "a\u{2400}b\u{241b}c\u{fffd}&#10;&#9;");
    }

    #[test]
    fn a_cell_of_a_markdown_table_cannot_be_left() {
        assert_eq!(markdown("a|b\n*c* `d` <i>"), "a\\|b \\*c\\* \\`d\\` &lt;i&gt;");
    }

    #[test]
    fn a_code_block_cannot_be_closed_from_inside() {
        assert_eq!(markdown_code_block("a\n````\nb"), "`````sh\na\n````\nb\n`````\n");
    }

    #[test]
    fn overrides_of_the_writing_direction_are_shown() {
        assert_eq!(html("pub\u{202e}1"), "pub\u{fffd}1");
    }

    #[test]
    fn clipping_counts_characters_and_says_so() {
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöüß", 3), "äöü…");
    }
}
