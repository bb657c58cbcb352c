//! Writes a sample page, to look at it: `cargo run -p ferret-reports --example sample_report -- sample.html 12`.
//!
//! Arguments: the file to write, and `pass`, `violated`, `crowded` or `12` (the default is `violated`).

#[path = "../tests/it/sample.rs"]
mod sample;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "sample.html".into());
    let runs = match arguments.next().as_deref() {
        Some("pass") => vec![sample::passing(1)],
        Some("crowded") => vec![sample::crowded()],
        Some("12") => sample::twelve(),
        _ => vec![sample::violated(7)],
    };
    std::fs::write(path, ferret_reports::render_html(&runs))
}
