//! What of a run's page comes from its events stands between marks, so that a new verdict does not need them again.
//!
//! Nothing from outside can forge a mark: no text on a page keeps its `<`.

const BEGIN: &str = "<!--events-->";
const END: &str = "<!--/events-->";

/// Markup that comes from the events.
pub(super) fn region(markup: &str) -> String {
    format!("{BEGIN}{markup}{END}")
}

/// `fresh` with the regions of `old`; `None` if the two do not have equally many.
pub(super) fn refill(fresh: &str, old: &str) -> Option<String> {
    let mut out = String::with_capacity(old.len() + 1024);
    let (mut fresh, mut old) = (fresh, old);
    while let Some((outside, rest)) = fresh.split_once(BEGIN) {
        out.push_str(outside);
        let (_, rest) = rest.split_once(END)?;
        fresh = rest;
        let (_, rest) = old.split_once(BEGIN)?;
        let (kept, rest) = rest.split_once(END)?;
        old = rest;
        out.push_str(&region(kept));
    }
    out.push_str(fresh);
    (!old.contains(BEGIN)).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_keep_what_they_had_and_the_rest_is_new() {
        let old = format!("old {} middle {} end", region("one"), region("two"));
        let fresh = format!("new {} centre {} last", region(""), region(""));
        let expected = format!("new {} centre {} last", region("one"), region("two"));
        assert_eq!(refill(&fresh, &old), Some(expected));
    }

    #[test]
    fn another_kind_of_page_is_not_refilled() {
        assert_eq!(refill(&region(""), "nothing"), None);
        assert_eq!(refill("nothing", &region("")), None);
    }
}
