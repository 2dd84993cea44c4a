//! Plan files as the commands need them: read once, held against an engine, replaced as a whole.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use tempfile::NamedTempFile;
use tollgate::view::DigestView;
use tollgate::{ApplyError, Changes, Engine, Pepper};
use zeroize::Zeroizing;

/// Every byte of a file, or of standard input for `-`; wiped, since there may be keys in it.
pub(crate) fn read_bytes(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let of_path = || path.display().to_string();
    if path != Path::new("-") {
        // Reads as many bytes as the file has into one piece of memory.
        return fs::read(path).map(Zeroizing::new).with_context(of_path);
    }
    let mut input = io::stdin().lock();
    let mut all = Zeroizing::new(Vec::with_capacity(1 << 16));
    let mut piece = Zeroizing::new([0; 1 << 13]);
    loop {
        match input.read(&mut *piece) {
            Ok(0) => return Ok(all),
            Ok(read) => {
                if all.capacity() - all.len() < read {
                    // Growing by itself would leave a copy behind.
                    let mut larger = Zeroizing::new(Vec::with_capacity(2 * all.capacity()));
                    larger.extend_from_slice(&all);
                    all = larger;
                }
                all.extend_from_slice(&piece[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("standard input"),
        }
    }
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let mut bytes = read_bytes(path)?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            drop(Zeroizing::new(error.into_bytes()));
            bail!("{}: byte {at} is not UTF-8", path.display())
        }
    }
}

pub(crate) fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

/// What the text of a plan file at `path` says.
pub(crate) fn parse(path: &Path, text: &str) -> anyhow::Result<Changes> {
    let changes = if is_json(path) { Changes::from_json(text) } else { Changes::from_toml(text) };
    changes.with_context(|| path.display().to_string())
}

/// What a plan file says, when an engine takes it.
pub(crate) fn load(path: &Path) -> anyhow::Result<Changes> {
    let changes = parse(path, &read_text(path)?)?;
    check(&changes).with_context(|| path.display().to_string())?;
    Ok(changes)
}

/// Whether an engine takes these definitions. Peppers are stood in for: to an engine a digest under a pepper is as good
/// as its form.
pub(crate) fn check(changes: &Changes) -> Result<(), ApplyError> {
    let view = changes.view();
    let digests =
        view.subjects.iter().flat_map(|subject| subject.keys.iter().flatten()).map(|key| &key.digest);
    let names: HashSet<_> = digests
        .filter_map(|digest| match digest {
            Some(DigestView::Hmac { pepper, .. }) => Some(*pepper),
            _ => None,
        })
        .collect();
    let peppers = names.into_iter().filter_map(|name| Pepper::new(name, vec![0; 16]).ok());
    let builder = peppers.fold(Engine::builder(), |builder, pepper| builder.pepper(pepper));
    builder.changes(changes.clone()).build().map(drop)
}

/// Puts `text` in the place of the file at `path`, which is there whole, old or new, at every instant.
pub(crate) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    // The file that a link leads to, not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let of_path = || path.display().to_string();
    let beside = beside(path, text)?;
    if let Ok(about) = fs::metadata(path) {
        fs::set_permissions(beside.path(), about.permissions()).with_context(of_path)?;
    }
    beside.persist(path).map_err(|error| error.error).with_context(of_path)?;
    sync_folder(path)
}

/// Writes a file that is not there yet.
pub(crate) fn create(path: &Path, text: &str) -> anyhow::Result<()> {
    match beside(path, text)?.persist_noclobber(path) {
        Ok(_) => sync_folder(path),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} is there already: name another file, or remove it", path.display())
        }
        Err(error) => Err(error.error).with_context(|| path.display().to_string()),
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, text: &str) -> anyhow::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // As for any new file; the process's mask takes its part away.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let written = builder.tempfile_in(folder(path)).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    });
    written.with_context(|| path.display().to_string())
}

fn sync_folder(path: &Path) -> anyhow::Result<()> {
    let synced =
        if cfg!(unix) { File::open(folder(path)).and_then(|folder| folder.sync_all()) } else { Ok(()) };
    synced.with_context(|| path.display().to_string())
}
