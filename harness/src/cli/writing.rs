//! Files and folders that a call writes, and what it says of those that it cannot write: which, and why.

use std::{
    error::Error,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::shown::Shown;

/// What was tried, with which path, and what the system said.
#[derive(Debug)]
struct Failed {
    what: &'static str,
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.what, self.path.shown(), self.error)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Adds what was tried, and where, to an error of the system's.
pub(super) fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), Failed { what, path: path.to_owned(), error })
}

/// Whether the error is of a path that cannot be written as it is, so that another one mends it. A full disk is not.
pub(super) fn is_of_the_path(error: &io::Error) -> bool {
    let of_path = matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
    );
    of_path && error.get_ref().is_some_and(|inner| inner.is::<Failed>())
}

pub(super) fn write_file(path: &Path, contents: impl AsRef<[u8]>) -> io::Result<()> {
    fs::write(path, contents).map_err(at("write", path))
}

pub(super) fn create_file(path: &Path) -> io::Result<File> {
    File::create(path).map_err(at("write", path))
}

/// Makes the folder and those above it, unless they are there.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder).map_err(at("make the folder", folder))
}

/// Makes the folder of a file that is written later, and sees that it can be: before anything that takes long.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    make_folder(path.parent().unwrap_or(Path::new("")))?;
    let there = fs::metadata(path);
    // Whoever reads a pipe takes the end of a trial for the end of all.
    if there.as_ref().is_ok_and(|what| !what.is_file() && !what.is_dir()) {
        return Ok(());
    }
    OpenOptions::new().append(true).create(true).open(path).map_err(at("write", path))?;
    if there.is_ok() { Ok(()) } else { fs::remove_file(path).map_err(at("write", path)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_named_with_its_reason() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let (file, below) = (folder.path().join("file"), folder.path().join("file/below"));
        write_file(&file, "text").expect("it can be written");
        for error in [
            write_file(&below, "").expect_err("a file has nothing below it"),
            make_folder(&below).expect_err("nor folders"),
            prepare(&below).expect_err("nor will it have"),
            create_file(folder.path()).map(drop).expect_err("a folder is no file"),
        ] {
            assert!(is_of_the_path(&error), "{error}");
            assert!(error.to_string().contains(&*folder.path().to_string_lossy()), "{error}");
        }
        assert!(!is_of_the_path(&io::Error::from(ErrorKind::NotFound)), "nobody knows of which path");
        let full = at("write", &file)(io::Error::from(ErrorKind::StorageFull));
        assert!(!is_of_the_path(&full), "another path is no mend: {full}");
    }

    #[test]
    fn to_prepare_a_file_leaves_what_is_there_and_nothing_where_nothing_was() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let (old, new) = (folder.path().join("old"), folder.path().join("deep/new"));
        write_file(&old, "text").expect("it can be written");
        prepare(&old).and_then(|()| prepare(&new)).expect("both can be written");
        assert_eq!(fs::read_to_string(&old).expect("it is there"), "text");
        assert!(!new.exists() && new.parent().is_some_and(Path::exists));
    }
}
