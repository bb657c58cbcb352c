//! Runs in the formats of other tools.

mod history;
mod metrics;
mod packets;
mod trace;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use ferret::cli::{self, Interrupt, Simulation, Streams, Style, exit};
use ferret_reports::RunRecord;
use tempfile::TempDir;

/// Two seconds of load, in a network that loses and doubles, with a partition and a kill.
const ROUGH: &str = r#"
version = 1
name = "rough"
[run]
duration = "2s"
liveness = "2s"
net = { latency = "1ms..4ms", loss = 0.02, duplicate = 0.02 }
[cluster]
nodes = 3
[[queues]]
name = "orders"
[[publishers]]
name = "pub"
count = 2
queue = "orders"
rate = 40
[[consumers]]
name = "con"
queue = "orders"
prefetch = 10
[timeline]
steps = [
  { at = "300ms", partition = { isolate = "one-follower:orders" }, for = "500ms" },
  { at = "1s", kill = { node = "leader:orders" }, for = "300ms" },
]
"#;

/// The exit code, what was printed on standard output, and on standard error.
fn ferret(args: &[&str]) -> (u8, Vec<u8>, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = {
        let (out, err) = (&mut out, &mut err);
        let mut streams = Streams { out, err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
        let args = ["ferret"].iter().chain(args).map(OsString::from);
        cli::main(args, &Simulation, &Interrupt::default(), &mut streams)
    };
    (code, out, String::from_utf8_lossy(&err).into_owned())
}

/// A folder with a scenario and its run.
struct Exported {
    folder: TempDir,
}

impl Exported {
    /// `options`: further ones of `ferret run`.
    fn run(scenario: &str, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        fs::write(folder.path().join("scenario.toml"), scenario).expect("a scenario is written");
        let this = Self { folder };
        let (file, out) = (this.path("scenario.toml"), this.path("run"));
        let (_, _, err) = ferret(&[&["run", text(&file), "--out", text(&out)], options].concat());
        assert!(out.join("sweep.json").is_file(), "{err}");
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn record(&self) -> PathBuf {
        self.path("run/rough/seed-1/run.json")
    }

    /// What the run with seed 1 left.
    fn read(&self) -> RunRecord {
        serde_json::from_slice(&fs::read(self.record()).expect("a record")).expect("a record is JSON")
    }

    /// What `ferret export` writes of the run.
    fn export(&self, format: &str, options: &[&str]) -> Vec<u8> {
        let (run, out) = (self.path("run"), self.path("out"));
        let args = [&["export", text(&run), "--format", format, "--out", text(&out)], options].concat();
        let (code, _, err) = ferret(&args);
        assert_eq!(code, exit::PASS, "{err}");
        assert!(err.starts_with("wrote "), "{err}");
        fs::read(out).expect("it is written")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the folder's name is text")
}
