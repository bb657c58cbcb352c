//! What a reproducer must show again, and whether its file is still as it was written.

use xxhash_rust::xxh3::xxh3_64;

pub use ferret_reports::PANIC;

/// The key of [`Repro::text_hash`].
pub(super) const TEXT_HASH: &str = "text-hash";

/// What a reproducer must show again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repro {
    /// The name of the invariant, or [`PANIC`].
    pub violates: String,
    /// The trace hash of the run that showed it, 16 hexadecimal digits.
    pub trace: String,
    /// Which build of Ferret that was.
    pub build: String,
    /// The command that found the failure first.
    pub found_by: String,
    /// What [`Repro::hash_of`] gave of the file when it was written; empty for nobody knows.
    pub text_hash: String,
}

impl Repro {
    /// A hash of a reproducer's text, 16 hexadecimal digits. Comments, blank lines, ends of lines and the line of the
    /// hash itself do not count: they change nothing.
    pub fn hash_of(text: &str) -> String {
        let counts = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with(TEXT_HASH);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(counts).collect();
        format!("{:016x}", xxh3_64(lines.join("\n").as_bytes()))
    }

    /// Whether the file, which now has this text, was edited since it was written; as far as anybody knows.
    pub fn was_edited(&self, text: &str) -> bool {
        !self.text_hash.is_empty() && self.text_hash != Self::hash_of(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_no_edit_and_everything_else_is() {
        let written = "# Violates it.\n\nname = \"a\"\n[repro]\ntrace = \"1\"\ntext-hash = \"2\"\n";
        let hash = Repro::hash_of(written);
        for same in [
            written.replace("# Violates it.\n", ""),
            written.replace('\n', "\r\n"),
            written.replace("text-hash = \"2\"\n", ""),
            format!("{written}\n# Found on a Monday.\n"),
        ] {
            assert_eq!(Repro::hash_of(&same), hash, "{same}");
        }
        for other in [written.replace("\"a\"", "\"b\""), written.replace("trace = \"1\"", "trace = \"3\"")] {
            assert_ne!(Repro::hash_of(&other), hash, "{other}");
        }
    }
}
