//! Files that a call reads as a whole: plain ones only.
//!
//! To open a named pipe waits for whoever writes into it, perhaps for ever, and nothing ends that but a kill; a device
//! may have no end. Scenarios, policies, baselines and what runs left are neither. `ferret judge` reads a history from
//! standard input, or whatever path it is given.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::Path,
};

pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    plain(path).and_then(|()| fs::read(path))
}

pub(super) fn read_text(path: &Path) -> io::Result<String> {
    plain(path).and_then(|()| fs::read_to_string(path))
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    plain(path).and_then(|()| File::open(path))
}

/// Sees that what `path` leads to is a file.
fn plain(path: &Path) -> io::Result<()> {
    let what = fs::metadata(path)?.file_type();
    if what.is_file() {
        Ok(())
    } else if what.is_dir() {
        Err(io::Error::new(ErrorKind::IsADirectory, "this is a folder: name a file"))
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "this is a pipe or a device: write it to a file first"))
    }
}
