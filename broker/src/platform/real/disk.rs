//! A node's data folder on the local file system. Every call that may block runs on tokio's blocking pool.

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::platform::{Disk, File, OpenMode};

/// Held locked for as long as a process uses the folder. Not one of the node's files: [`Disk::list`] leaves it out.
const LOCK: &str = "lock";

/// The folder.
#[derive(Clone)]
pub struct RealDisk {
    folder: Arc<Folder>,
}

struct Folder {
    path: PathBuf,
    /// For fsyncs of the folder itself.
    handle: fs::File,
    /// The lock goes when this is closed, however the process ends.
    _lock: fs::File,
}

impl RealDisk {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        create_durably(path)?;
        let lock = fs::File::options().create(true).truncate(false).write(true).open(path.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!(
                    "the data folder {} is in use by another process: stop that one, or choose another folder",
                    path.display()
                ),
            ),
            fs::TryLockError::Error(error) => error,
        })?;
        let handle = fs::File::open(path)?;
        Ok(Self { folder: Arc::new(Folder { path: path.to_owned(), handle, _lock: lock }) })
    }
}

/// Creates the folder with whatever it lies in. The names of new folders survive a power loss, or the log would vanish
/// with them.
fn create_durably(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).count();
    fs::create_dir_all(path)?;
    for parent in path.canonicalize()?.ancestors().skip(1).take(missing) {
        fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

impl Disk for RealDisk {
    type File = RealFile;

    async fn open(&self, name: &str, mode: OpenMode) -> io::Result<RealFile> {
        let path = self.folder.path.join(name);
        let file = blocking(move || {
            let mut options = fs::File::options();
            options.read(true).write(true);
            match mode {
                OpenMode::Existing => &mut options,
                OpenMode::New => options.create_new(true),
                OpenMode::CreateIfMissing => options.create(true),
            };
            options.open(path)
        })
        .await?;
        Ok(RealFile { file: Arc::new(file) })
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.folder.path.join(from), self.folder.path.join(to));
        blocking(move || fs::rename(from, to)).await
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.folder.path.join(name);
        blocking(move || fs::remove_file(path)).await
    }

    async fn list(&self) -> io::Result<Vec<String>> {
        let folder = Arc::clone(&self.folder);
        blocking(move || {
            let mut names = Vec::new();
            for entry in fs::read_dir(&folder.path)? {
                let name = entry?.file_name().into_string().map_err(|name| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("the file name {name:?} is not Unicode"))
                })?;
                if name != LOCK {
                    names.push(name);
                }
            }
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    async fn sync_names(&self) -> io::Result<()> {
        let folder = Arc::clone(&self.folder);
        blocking(move || folder.handle.sync_all()).await
    }
}

/// One open file of the folder.
pub struct RealFile {
    // Shared with a call under way on the blocking pool, which outlives a dropped future.
    file: Arc<fs::File>,
}

impl File for RealFile {
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.run(move |file| {
            let mut bytes = vec![0; len];
            let mut filled = 0;
            while filled < len {
                match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        })
        .await
    }

    async fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let bytes = bytes.to_vec();
        self.run(move |file| file.write_all_at(&bytes, offset)).await
    }

    async fn sync(&self) -> io::Result<()> {
        // The length is part of what fdatasync makes durable, because the data cannot be read back without it.
        self.run(fs::File::sync_data).await
    }

    async fn size(&self) -> io::Result<u64> {
        self.run(|file| Ok(file.metadata()?.len())).await
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.run(move |file| file.set_len(len)).await
    }
}

impl RealFile {
    async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let file = Arc::clone(&self.file);
        blocking(move || call(&file)).await
    }
}

#[expect(clippy::disallowed_methods, reason = "the real disk blocks; the node's own thread must not")]
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(io::Error::other)?
}
