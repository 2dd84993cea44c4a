//! A file that is replaced whole or not at all.
//!
//! **Orderings.** The new file is written beside the old one, synced, renamed over it, and the folder is synced. The
//! rename comes after the sync, so that the name never stands for bytes that a power failure can still take; the
//! folder's sync comes last, so that "done" means that the name outlives one too.
//!
//! **Several writers** of one target, in one process or in many: each has a file of its own, whole files take the name
//! one after the other, and the last rename stays. A writer holds a lock (`flock`) on its file, which the kernel lets go
//! when the writer is gone, whatever became of it; who finds a file beside the target and gets its lock knows that
//! nobody will complete it, and removes it while he holds it. Numbers of processes would not do: they are given again,
//! and mean nothing in another container that mounts the same folder. A writer whose file was taken between its creation
//! and its lock notices, and makes another. Where the file system has no locks nobody gets one, and leftovers stay;
//! where machines share it and locks are each machine's own, a writer may lose its file to another machine, and fails.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::SnapshotError;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 16;

/// New names that are tried.
const ATTEMPTS: u32 = 16;

/// Replaces the file at `path`, or makes it, with what `content` writes. On unix only the user may read it; a symbolic
/// link at `path` is itself replaced.
///
/// Of calls for one target at the same time each writes a whole file, and the last rename stays: whoever wants the newest
/// content to stay calls one after the other.
///
/// # Errors
/// `content`'s, and what the system says to a step. The file is then the old one, but for a failed sync of the folder:
/// there it is the new one, which a power failure may still take back to the old one.
pub(crate) fn replace(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), SnapshotError> {
    replace_on(&System, path, content)
}

/// All bytes of the file at `path`.
///
/// # Errors
/// What the system says.
pub(crate) fn load(path: &Path) -> Result<Vec<u8>, SnapshotError> {
    fs::read(path).map_err(|source| failed(path, "read", source))
}

fn failed(path: &Path, step: &'static str, source: io::Error) -> SnapshotError {
    SnapshotError::Io { path: path.display().to_string(), step, source }
}

/// What changes a file system, in steps that tests can make fail.
trait Disk {
    /// A file that is being written.
    type File;
    /// A folder that can be synced.
    type Folder;

    /// Opens the folder.
    fn folder(&self, path: &Path) -> io::Result<Self::Folder>;
    /// A new file, claimed for this writer. "Already exists" asks for another name.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Some of the bytes.
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<usize>;
    /// The file's bytes are on the disk.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// `to` names what `from` named.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// The folder's names are on the disk.
    fn sync_folder(&self, folder: &Self::Folder) -> io::Result<()>;
    /// Nothing has this name.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The file system that there is.
struct System;

impl Disk for System {
    type File = File;
    #[cfg(unix)]
    type Folder = File;
    /// Only unix has folders that can be opened as files.
    #[cfg(not(unix))]
    type Folder = ();

    #[cfg(unix)]
    fn folder(&self, path: &Path) -> io::Result<File> {
        File::open(path)
    }

    #[cfg(not(unix))]
    fn folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        claim(options.open(path)?)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[cfg(unix)]
    fn sync_folder(&self, folder: &File) -> io::Result<()> {
        match folder.sync_all() {
            // A file system whose folders need no sync, or know none.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
            synced => synced,
        }
    }

    #[cfg(not(unix))]
    fn sync_folder(&self, (): &()) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// A new file, locked for its writer. "Already exists": somebody took it for a leftover before that, and removes it.
fn claim(file: File) -> io::Result<File> {
    match file.try_lock() {
        Ok(()) if has_name(&file) => Ok(file),
        Ok(()) | Err(TryLockError::WouldBlock) => Err(ErrorKind::AlreadyExists.into()),
        // No locks here, for nobody.
        Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Whether a name leads to the file.
#[cfg(unix)]
fn has_name(file: &File) -> bool {
    file.metadata().is_ok_and(|file| std::os::unix::fs::MetadataExt::nlink(&file) > 0)
}

#[cfg(not(unix))]
fn has_name(_: &File) -> bool {
    true
}

/// The names of files beside a target: `.TARGET.0123456789abcdef.tollgate`, with random digits.
struct Names {
    /// The target's folder.
    folder: PathBuf,
    /// What stands before the digits.
    prefix: OsString,
}

/// Random digits in a name. None is given twice, so that removing one by name never hits another's file.
const DIGITS: usize = 16;

/// What stands behind the digits.
const SUFFIX: &str = ".tollgate";

/// Bytes of a target's name that go into the names beside it; file systems allow 255 in all.
const LONGEST: usize = 200;

impl Names {
    fn of(path: &Path) -> io::Result<Names> {
        let problem = "a snapshot's path ends in the name of a file";
        let name = path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, problem))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut prefix = OsString::from(".");
        if name.len() <= LONGEST {
            prefix.push(name);
        } else {
            // Targets that share a number only take care of each other's leftovers.
            prefix.push(format!("{:08x}", crc32fast::hash(name.as_encoded_bytes())));
        }
        prefix.push(".");
        Ok(Names { folder, prefix })
    }

    fn beside(&self) -> io::Result<PathBuf> {
        let mut random = [0; DIGITS / 2];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let mut name = self.prefix.clone();
        name.push(format!("{:016x}{SUFFIX}", u64::from_ne_bytes(random)));
        Ok(self.folder.join(name))
    }

    fn has(&self, name: &OsStr) -> bool {
        let (name, prefix) = (name.as_encoded_bytes(), self.prefix.as_encoded_bytes());
        let digits = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
        digits.is_some_and(|digits| {
            digits.len() == DIGITS && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        })
    }

    /// Removes the files of writers that are gone. What cannot be removed waits for the next time.
    fn clear<D: Disk>(&self, disk: &D) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            if !self.has(&entry.file_name()) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let path = entry.path();
            if let Some(held) = abandoned(&path) {
                let _ = disk.remove(&path);
                drop(held);
            }
        }
    }
}

/// The file, locked, if its writer is gone.
fn abandoned(path: &Path) -> Option<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    // What has come in its place since is neither followed nor waited for.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// The file beside the target, removed unless it has become the target.
struct Beside<'a, D: Disk> {
    disk: &'a D,
    path: Option<PathBuf>,
}

impl<D: Disk> Drop for Beside<'_, D> {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // If this fails as well, it is a leftover.
            let _ = self.disk.remove(path);
        }
    }
}

/// The file as something to write to, which fails for good once it failed: what `content` makes of an error does not
/// matter.
struct Out<'a, D: Disk> {
    disk: &'a D,
    file: &'a mut D::File,
    failed: bool,
}

impl<D: Disk> Write for Out<'_, D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("a write before this one failed"));
        }
        let written = self.disk.write(self.file, bytes);
        self.failed = match &written {
            Ok(count) => *count == 0 && !bytes.is_empty(),
            Err(error) => error.kind() != ErrorKind::Interrupted,
        };
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.failed { Err(io::Error::other("a write failed")) } else { Ok(()) }
    }
}

fn create<D: Disk>(disk: &D, names: &Names) -> io::Result<(PathBuf, D::File)> {
    let mut attempt = 1;
    loop {
        let path = names.beside()?;
        match disk.create(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

fn replace_on<D: Disk>(
    disk: &D,
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), SnapshotError> {
    let fail = |step| move |source| failed(path, step, source);
    let names = Names::of(path).map_err(fail("find its folder"))?;
    // Before anything is written: a folder that cannot be synced is found now.
    let folder = disk.folder(&names.folder).map_err(fail("open its folder"))?;
    let (beside, mut file) = create(disk, &names).map_err(fail("create a file beside it"))?;
    let mut beside = Beside { disk, path: Some(beside) };

    let mut out = BufWriter::with_capacity(BUFFER, Out { disk, file: &mut file, failed: false });
    let written = content(&mut out).and_then(|()| out.flush());
    // Without another try to write what is left.
    drop(out.into_parts());
    written.map_err(fail("write"))?;
    disk.sync(&file).map_err(fail("sync"))?;
    if let Some(from) = &beside.path {
        disk.rename(from, path).map_err(fail("rename the file beside it"))?;
    }
    beside.path = None;
    drop(file);
    disk.sync_folder(&folder).map_err(fail("sync its folder"))?;
    names.clear(disk);
    Ok(())
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod kills;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
