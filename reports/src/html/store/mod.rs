//! The pages over a store of runs, which `ferret serve` shows: the list, two of them compared, one scenario over time.

mod compare;
mod list;
mod over_time;

pub use self::{
    compare::{render_calls_html, render_difference_html},
    list::render_store_html,
    over_time::render_scenario_html,
};
use super::{frame, tone, verdict_icon};
use crate::{
    StoredRun,
    escape::{html, query},
    finding,
};

/// A list shows so many calls; older ones are found with a filter.
const CALLS_MAX: usize = 200;

/// What two picked rows lead to.
const PICKED: &str = "<div id=picked hidden><span></span><button type=button>Compare</button></div>\n";

fn bar(title: &str, search: Option<&str>) -> String {
    let search = search.map_or(String::new(), |text| {
        format!(
            "<input id=filter type=search placeholder=\"scenario, tag, invariant, option\" aria-label=\"Filter the list\" \
             autocomplete=off value=\"{}\"><kbd>/</kbd>",
            html(text)
        )
    });
    frame::bar("/", &html(title), &format!("<span class=search>{search}</span>"), "")
}

/// Where a link leads that is to the report in a folder; nowhere if there is none, and then it says so.
fn report_href(folder: &str, page: bool) -> String {
    if !page {
        return "aria-disabled=true title=\"its report.html is not there\"".to_owned();
    }
    let parts: Vec<String> = folder.split('/').map(query).collect();
    format!("href=\"{}\"", html(&format!("/files/{}/report.html", parts.join("/"))))
}

/// `2026-04-19 14:25:01`, in universal time; the page's script makes it local.
fn when(time: u64) -> String {
    format!("<time data-seconds={time}>{time} s after 1970</time>")
}

fn verdict_link(run: &StoredRun) -> String {
    format!(
        "<a class=\"chip {}\" {}>{}{}</a>",
        tone(run.verdict),
        report_href(&run.folder, run.page),
        verdict_icon(run.verdict),
        finding::word(run.verdict)
    )
}
