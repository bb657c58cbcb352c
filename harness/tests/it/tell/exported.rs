//! What `export` does with the files of a run, and `judge` with what it exports.

use super::*;

#[test]
fn an_export_writes_over_nothing_that_a_run_left() {
    let runs = Told::of(vec![delivery()]);
    let place = |name: &str| runs.folder.path().join(name).display().to_string();
    std::os::unix::fs::symlink(place("run-1/told/seed-1/run.json"), place("link.json")).expect("a link is made");
    for file in ["run-1/told/seed-1/history.jsonl.gz", "run-1/told/seed-1/report.html", "run-1/sweep.json", "link.json"]
    {
        let before = fs::read(place(file)).expect("the run left it");
        let (code, told) = runs.call("export", &["run-1"], &["--format", "events", "--out", &place(file)]);
        let why = format!("ferret: DIR/{file} is what a run left, or its scenario: name another file\n");
        assert_eq!((code, told), (exit::USAGE, why));
        assert_eq!(fs::read(place(file)).expect("it is still there"), before, "{file}");
    }
    fs::hard_link(place("run-1/told/seed-1/run.json"), place("second")).expect("a link is made");
    let before = fs::read(place("second")).expect("the run left it");
    let (code, told) = runs.call("export", &["run-1"], &["--format", "events", "--out", &place("second")]);
    assert!(code == exit::USAGE && told.contains("DIR/second is one of 2 names of a file"), "{told}");
    assert_eq!(fs::read(place("second")).expect("it is still there"), before);
    let (code, _) = runs.call("export", &["told.toml"], &["--format", "events", "--out", &place("told.toml")]);
    assert_eq!((code, fs::read_to_string(place("told.toml")).expect("it is there").as_str()), (exit::USAGE, SCENARIO));
    let beside = place("run-1/told/seed-1/events.jsonl");
    assert_eq!(runs.call("export", &["run-1"], &["--format", "events", "--out", &beside]).0, exit::PASS);
}

#[test]
fn an_export_that_finds_no_room_names_its_file() {
    let runs = Told::of(vec![delivery()]);
    let (code, told) = runs.call("export", &["run-1"], &["--format", "events", "--out", "/dev/full"]);
    assert_eq!(code, exit::INTERNAL);
    assert!(told.starts_with("ferret: cannot write /dev/full: "), "{told}");
}

#[test]
fn what_a_run_left_is_no_history_to_judge_but_what_is_exported_is() {
    let runs = Told::of(vec![delivery()]);
    let export = "write `ferret export DIR/run-1/told/seed-1 --format history | ferret judge -`";
    for name in ["history.jsonl.gz", "run.json"] {
        let (code, told) = runs.call("judge", &[&format!("run-1/told/seed-1/{name}")], &[]);
        assert_eq!(code, exit::INVALID_SCENARIO);
        assert!(told.contains(export), "{name}: {told}");
    }
    let exported = runs.call("export", &["run-1"], &["--format", "history"]).1;
    let history = exported.lines().filter(|line| line.starts_with('{')).collect::<Vec<_>>().join("\n");
    fs::write(runs.folder.path().join("history.jsonl"), history).expect("it is written");
    let out = runs.folder.path().join("judged").display().to_string();
    let (code, told) = runs.call("judge", &["history.jsonl"], &["--out", &out]);
    assert_eq!(code, exit::PASS, "{told}");
    fs::write(runs.folder.path().join("README.md"), "# A title\n\nText.\n").expect("it is written");
    let (_, told) = runs.call("judge", &["README.md"], &[]);
    assert!(told.contains("read as jsonl") && !told.contains("edn"), "{told}");
}
