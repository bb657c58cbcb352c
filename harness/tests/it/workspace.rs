//! A folder with scenarios in it, and the command line called there more than once.

use std::{ffi::OsString, fs, path::PathBuf};

use ferret::cli::{self, Streams, Style};
use tempfile::TempDir;

use crate::cli::Script;

pub struct Workspace(TempDir);

/// What a call of the command line said; the folder's name is written `FOLDER`.
pub struct Said {
    pub code: u8,
    pub out: String,
    pub err: String,
}

impl Workspace {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let workspace = Self(tempfile::tempdir().expect("a folder for the test"));
        for (name, text) in files {
            workspace.write(name, text);
        }
        workspace
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("files have folders")).expect("a folder for the file");
        fs::write(path, text).expect("the file is written");
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `ferret ARGS`; an argument that begins with `@` is a path in the folder.
    pub fn ferret(&self, args: &[&str], script: &Script) -> Said {
        let argument = |text: &&str| match text.strip_prefix('@') {
            Some(name) => self.path(name).into_os_string(),
            None => OsString::from(text),
        };
        let args: Vec<OsString> = std::iter::once("ferret".into()).chain(args.iter().map(argument)).collect();
        let interrupt = script.interrupted.clone().unwrap_or_default();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = {
            let (out, err) = (&mut out, &mut err);
            let mut streams = Streams { out, err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
            cli::main(args, script, &interrupt, &mut streams)
        };
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).expect("output is text");
            without_hash(&text.replace(&*self.0.path().to_string_lossy(), "FOLDER"))
        };
        Said { code, out: text(out), err: text(err) }
    }
}

/// The hash of results covers every field of a record: it changes whenever a record does.
pub fn without_hash(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("results: ") {
        Some(hash) => format!("results: {}\n", "0".repeat(hash.trim_end().len())),
        None => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}
