//! Writes a sample page, to look at it: `cargo run -p ferret-reports --example sample_report -- sample.html 12`.
//!
//! Arguments: the file to write, and `pass`, `violated`, `crowded` or `12` (the default is `violated`).

use ferret_reports::{EventLog, LinkedRun, Unmade, Verdict, render_overview_html, render_run_html};

#[path = "../tests/it/sample.rs"]
mod sample;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "sample.html".into());
    let page = match arguments.next().as_deref() {
        Some("pass") => render_run_html(&sample::passing(1), &EventLog::default()),
        Some("crowded") => render_run_html(&sample::crowded(), &EventLog::default()),
        Some("12") => {
            let runs = sample::twelve();
            let linked: Vec<_> = runs.iter().map(|record| LinkedRun { record, page: "#" }).collect();
            render_overview_html(&linked, &Unmade::default(), Verdict::Violated)
        }
        _ => render_run_html(&sample::violated(7), &sample::events()),
    };
    std::fs::write(path, page)
}
