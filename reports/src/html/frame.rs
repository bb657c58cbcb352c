//! The frame of every page: style, script, and the policy that lets nothing else in.

use crate::escape::html;

/// The page's own files, one after the other.
const STYLE: &str = concat!(
    include_str!("page/base.css"),
    include_str!("page/run.css"),
    include_str!("page/timeline.css"),
    include_str!("page/overview.css"),
    include_str!("page/media.css"),
);

/// Every page has these.
const SCRIPT: &str = include_str!("page/page.js");

/// The page of a run has these too. Each uses only what stands before it.
const RUN_SCRIPT: &str = concat!(
    include_str!("page/format.js"),
    include_str!("page/decode.js"),
    include_str!("page/index.js"),
    include_str!("page/queue.js"),
    include_str!("page/view.js"),
    include_str!("page/paint.js"),
    include_str!("page/lanes.js"),
    include_str!("page/clients.js"),
    include_str!("page/charts.js"),
    include_str!("page/panels.js"),
    include_str!("page/life.js"),
    include_str!("page/search.js"),
    include_str!("page/run.js"),
);

/// The pages over a store have these.
const STORE_STYLE: &str = include_str!("page/store.css");
const STORE_SCRIPT: &str = include_str!("page/store.js");

/// Scripts and styles are the page's own; nothing is ever fetched.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Run,
    Overview,
    History,
    Store,
}

/// What stays at the top of a page: where one is, what `between` adds (a search, or nothing), the theme's button, and
/// what comes `after` it. `title` is markup.
pub(super) fn bar(home: &str, title: &str, between: &str, after: &str) -> String {
    format!(
        "<div class=bar><a class=home href=\"{home}\"><b>Ferret</b> {title}</a>{between}<button type=button id=theme \
         aria-label=\"Switch between dark and light\">Dark</button>{after}</div>\n"
    )
}

/// A whole page. `title` is any text, `body` is markup.
pub(super) fn page(title: &str, kind: Kind, body: &str) -> String {
    let script = match kind {
        Kind::Run => RUN_SCRIPT,
        Kind::Store => STORE_SCRIPT,
        Kind::Overview | Kind::History => "",
    };
    let style = if kind == Kind::Store { STORE_STYLE } else { "" };
    format!(
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta http-equiv=Content-Security-Policy \
         content=\"{POLICY}\">\n<meta name=viewport content=\"width=device-width, initial-scale=1\">\n<meta \
         name=color-scheme content=\"light dark\">\n<title>{} · Ferret</title>\n<style>\n{STYLE}{style}</style>\n</head>\n<body>\n\
         {body}<script>\n\"use strict\";\n(() => {{\n{SCRIPT}{script}}})();\n</script>\n</body>\n</html>\n",
        html(title)
    )
}
