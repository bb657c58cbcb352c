//! Which address shows what.

use std::{borrow::Cow, path::Path};

use ferret_reports::{
    StoreFilter, StoredCall, StoredRun, Verdict, render_calls_html, render_difference_html, render_scenario_html,
    render_store_html,
};
use hyper::StatusCode;

use super::store::Store;
use crate::cli::{
    artifacts::HISTORY_FILE,
    diff::difference,
    run_folder::{NoRun, RunFolder},
};

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// What is answered.
pub(super) struct Page {
    pub(super) status: StatusCode,
    /// A media type.
    pub(super) kind: &'static str,
    /// Whether it is a file of the store, which anybody may have written: downloaded artifacts, for example.
    pub(super) foreign: bool,
    pub(super) body: Vec<u8>,
}

impl Page {
    pub(super) fn text(status: StatusCode, text: &str) -> Self {
        Self { status, kind: PLAIN, foreign: false, body: format!("{text}\n").into_bytes() }
    }

    fn html(text: String) -> Self {
        Self { status: StatusCode::OK, kind: HTML, foreign: false, body: text.into_bytes() }
    }

    fn missing(what: &str) -> Self {
        Self::text(StatusCode::NOT_FOUND, what)
    }
}

/// The page at `path`, which is still encoded, as is `query`.
pub(super) fn page(store: &Store, path: &str, query: &str) -> Page {
    let asked = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value)
    };
    match path {
        "/" => list(store, asked),
        "/compare" => match (asked("a"), asked("b")) {
            (Some(first), Some(second)) => compare(store, &first, &second),
            _ => {
                Page::missing("Compare what? /compare?a=CALL&b=CALL, or two runs: /compare?a=CALL/SCENARIO/seed-1&b=…")
            }
        },
        "/scenario" => match asked("name") {
            Some(name) => scenario(store, &name),
            None => Page::missing("Which scenario? /scenario?name=NAME"),
        },
        _ => match path.strip_prefix("/files/") {
            Some(file) => self::file(store, file),
            None => Page::missing("There is no such page. The list of runs is at /"),
        },
    }
}

fn list<'q>(store: &Store, asked: impl Fn(&str) -> Option<Cow<'q, str>>) -> Page {
    let verdict = asked("verdict").map(|name| Verdict::from_name(&name));
    let verdict = match verdict {
        Some(None) => return Page::missing("There is no such verdict."),
        Some(verdict) => verdict,
        None => None,
    };
    let filter = StoreFilter {
        text: asked("text").unwrap_or_default().into_owned(),
        verdict,
        tag: asked("tag").map(Cow::into_owned),
    };
    Page::html(render_store_html(&store.name, &store.calls(), &filter))
}

/// Two calls, or two runs. A call of one run is that run.
fn compare(store: &Store, first: &str, second: &str) -> Page {
    let calls = store.calls();
    let call = |id: &str| calls.iter().find(|call| call.id == id);
    let run_of = |id: &str| match call(id) {
        Some(StoredCall { runs, .. }) if runs.len() == 1 => Some(runs[0].folder.clone()),
        Some(_) => None,
        None => Some(id.to_owned()),
    };
    match (run_of(first), run_of(second), call(first), call(second)) {
        (Some(first), Some(second), ..) => runs(store, &first, &second),
        (_, _, Some(first), Some(second)) => Page::html(render_calls_html(first, second)),
        _ => Page::missing("A call of several runs compares with another call, and a run with a run."),
    }
}

fn runs(store: &Store, first: &str, second: &str) -> Page {
    let (Some((first_folder, first)), Some((second_folder, second))) = (store.run(first), store.run(second)) else {
        return Page::missing("There is no such run in the store.");
    };
    let read = |folder: &Path| {
        let run = RunFolder::only(folder)?;
        let file = folder.join(HISTORY_FILE);
        // A link might lead anywhere; without any file, the run says what there is to do.
        if file.exists() && store.inside(&file).is_none() {
            return Err(NoRun::NothingThere(folder.to_owned()));
        }
        let history = run.history()?;
        Ok((run.record, history))
    };
    let told = read(&first_folder).and_then(|first| Ok((first, read(&second_folder)?)));
    let difference = match &told {
        Ok(((one, one_history), (other, other_history))) => Ok(difference((one, one_history), (other, other_history))),
        Err(error) => Err(error.to_string()),
    };
    Page::html(render_difference_html(&first, &second, difference.as_ref().map_err(String::as_str)))
}

fn scenario(store: &Store, name: &str) -> Page {
    let calls = store.calls();
    let mut all: Vec<(u64, &StoredRun)> = Vec::new();
    for call in calls.iter().rev() {
        all.extend(call.runs.iter().filter(|run| run.scenario.name == name).map(|run| (call.time, run)));
    }
    if all.is_empty() {
        return Page::missing("No run in the store is of that scenario.");
    }
    Page::html(render_scenario_html(name, &all))
}

fn file(store: &Store, address: &str) -> Page {
    let Some((path, body)) = store.file(address) else { return Page::missing("There is no such file in the store.") };
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let kind = match extension {
        "html" => HTML,
        "json" => "application/json",
        "gz" => "application/gzip",
        // Scenarios, summaries, JUnit: to be read, never to be obeyed.
        _ => PLAIN,
    };
    Page { status: StatusCode::OK, kind, foreign: true, body }
}
