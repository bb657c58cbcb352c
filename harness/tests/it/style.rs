//! How the sources of all crates and the README are written, as far as neither rustfmt nor clippy looks.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Rustfmt holds code to this width; it leaves comments alone.
const WIDTH_MAX: usize = 120;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of a folder").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Comments that are too wide, by line.
fn wide(text: &str) -> Vec<usize> {
    let is_wide = |line: &str| line.trim_start().starts_with("//") && line.chars().count() > WIDTH_MAX;
    text.lines().zip(1..).filter(|(line, _)| is_wide(line)).map(|(_, number)| number).collect()
}

#[test]
fn comments_are_no_wider_than_code() {
    let long = |width: usize| format!("fn f() {{}}\n    // {}\n", "x".repeat(width - 7));
    assert_eq!((wide(&long(WIDTH_MAX)), wide(&long(WIDTH_MAX + 1))), (vec![], vec![2]));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut found = Vec::new();
    for crate_ in ["broker", "harness", "reports"] {
        for part in ["src", "tests"] {
            sources(&root.join(crate_).join(part), &mut found);
        }
    }
    assert!(found.len() > 200, "these are not all sources: {}", found.len());
    let named = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a source file");
        let shown = path.strip_prefix(root).expect("it is of the workspace").display().to_string();
        wide(&text).into_iter().map(move |line| format!("{shown}:{line}")).collect::<Vec<_>>()
    };
    let wide: Vec<String> = found.iter().flat_map(named).collect();
    assert!(wide.is_empty(), "wrap these comments at {WIDTH_MAX} columns: {}", wide.join(", "));
}

#[test]
fn the_readme_quotes_traces_that_runs_have() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let read = |file: &str| fs::read_to_string(root.join(file)).expect(file);
    let (readme, traces) = (read("README.md"), read("scenarios/smoke/traces.txt"));
    let known: Vec<&str> = traces.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    let passes: Vec<&str> = readme.lines().filter(|line| line.starts_with("pass   ")).collect();
    let quoted = |line: &&str| line.split_once("trace ").map(|(_, rest)| rest[..16].to_owned());
    let smoke = passes.iter().filter(|line| line.contains("leader-power-loss")).filter_map(quoted);
    let smoke: Vec<String> = smoke.collect();
    assert!(!smoke.is_empty() && smoke.iter().all(|hash| known.contains(&hash.as_str())), "{smoke:?} {known:?}");
}
