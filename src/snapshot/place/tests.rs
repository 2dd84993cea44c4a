use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// A folder of one test that is removed at its end.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("tollgate-place-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    /// The names in the folder, in order.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Replaces the target until only these names are left: a child that another test starts at this moment has a copy of
/// every open file, and so of its lock, until it has become another program.
#[track_caller]
pub(super) fn clears(scratch: &Scratch, target: &Path, names: &[&str]) {
    for _ in 0..1000 {
        replace(target, |out| out.write_all(b"next")).unwrap();
        assert_eq!(load(target).unwrap(), b"next");
        if scratch.names() == names {
            return;
        }
        std::thread::yield_now();
    }
    panic!("left: {:?}", scratch.names());
}

/// What happens at one step.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    /// Nothing.
    None,
    /// The step is not done, and says so; of bytes to write half were.
    Error,
    /// The step is done, and says that it was not.
    Doubt,
    /// Half of the bytes are written, as the system may.
    Short,
    /// A signal came in between.
    Interrupted,
    /// A write that writes nothing.
    Nothing,
    /// Half of the bytes are written, and none from then on.
    Full,
    /// Neither this step nor any after it is done: what a kill leaves.
    Death,
}

const FAULTS: [Fault; 7] =
    [Fault::Error, Fault::Doubt, Fault::Short, Fault::Interrupted, Fault::Nothing, Fault::Full, Fault::Death];

/// The file system with a fault at step `at`, from 0.
struct Faulty {
    at: usize,
    fault: Fault,
    full: Cell<bool>,
    steps: RefCell<Vec<&'static str>>,
}

impl Faulty {
    fn new(at: usize, fault: Fault) -> Faulty {
        Faulty { at, fault, full: Cell::new(false), steps: RefCell::default() }
    }

    fn error() -> io::Error {
        io::Error::from_raw_os_error(5)
    }

    /// The fault of this step.
    fn next(&self, step: &'static str) -> Fault {
        let mut steps = self.steps.borrow_mut();
        steps.push(step);
        match self.fault {
            Fault::Death if steps.len() > self.at => Fault::Death,
            fault if steps.len() == self.at + 1 => fault,
            _ => Fault::None,
        }
    }

    fn step<T>(&self, step: &'static str, done: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.next(step) {
            Fault::Error | Fault::Death => Err(Faulty::error()),
            Fault::Doubt => done().and(Err(Faulty::error())),
            _ => done(),
        }
    }
}

impl Disk for Faulty {
    type File = <System as Disk>::File;
    type Folder = <System as Disk>::Folder;

    fn folder(&self, path: &Path) -> io::Result<Self::Folder> {
        self.step("folder", || System.folder(path))
    }

    fn create(&self, path: &Path) -> io::Result<Self::File> {
        // Doubt about a creation leaves a leftover: nobody has a file to remove.
        self.step("create", || System.create(path))
    }

    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<usize> {
        let fault = self.next("write");
        let some = &bytes[..bytes.len().div_ceil(2)];
        if self.full.get() {
            return Err(ErrorKind::StorageFull.into());
        }
        match fault {
            Fault::None => System.write(file, bytes),
            Fault::Short => System.write(file, some),
            Fault::Interrupted => Err(ErrorKind::Interrupted.into()),
            Fault::Nothing => Ok(0),
            Fault::Full => {
                self.full.set(true);
                System.write(file, some)
            }
            Fault::Error | Fault::Doubt => System.write(file, some).and(Err(Faulty::error())),
            Fault::Death => Err(Faulty::error()),
        }
    }

    fn sync(&self, file: &Self::File) -> io::Result<()> {
        self.step("sync", || System.sync(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename", || System.rename(from, to))
    }

    fn sync_folder(&self, folder: &Self::Folder) -> io::Result<()> {
        self.step("sync folder", || System.sync_folder(folder))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step("remove", || System.remove(path))
    }
}

/// Pieces of many lengths, shorter and longer than the buffer, of 0.3 MB in all.
fn new_content() -> Vec<Vec<u8>> {
    let lengths = [10, 70_000, 1, 40_000, 40_000, 0, 65_536, 100_000, 3];
    lengths.iter().enumerate().map(|(n, &length)| vec![b'0' + n as u8; length]).collect()
}

fn write_new(out: &mut dyn Write) -> io::Result<()> {
    new_content().iter().try_for_each(|piece| out.write_all(piece))
}

#[test]
fn the_steps_and_their_order() {
    let scratch = Scratch::new("steps");
    let target = scratch.0.join("target");
    let disk = Faulty::new(0, Fault::None);
    replace_on(&disk, &target, write_new).unwrap();
    let mut steps = disk.steps.into_inner();
    steps.dedup();
    assert_eq!(steps, ["folder", "create", "write", "sync", "rename", "sync folder"]);
    assert_eq!(load(&target).unwrap(), new_content().concat());
    assert_eq!(scratch.names(), ["target"]);
}

/// Every fault at every step, with and without an old file.
#[test]
fn whatever_fails_the_file_is_the_old_or_the_new_one() {
    let scratch = Scratch::new("faults");
    let target = scratch.0.join("target");
    let (old, new) = (vec![b'-'; 5000], new_content().concat());
    let disk = Faulty::new(0, Fault::None);
    replace_on(&disk, &target, write_new).unwrap();
    let steps = disk.steps.into_inner();
    assert!(steps.iter().filter(|&&step| step == "write").count() > 4, "{steps:?}");
    for (at, &step) in steps.iter().enumerate() {
        for fault in FAULTS {
            for before in [None, Some(&old)] {
                let _ = fs::remove_file(&target);
                if let Some(old) = before {
                    fs::write(&target, old).unwrap();
                }
                let disk = Faulty::new(at, fault);
                let outcome = replace_on(&disk, &target, write_new);
                let context = format!("{fault:?} at step {at}, {step}: {outcome:?}");

                let renamed = step == "sync folder" || (step == "rename" && fault == Fault::Doubt);
                let harmless = match fault {
                    Fault::Short | Fault::Interrupted => true,
                    Fault::Nothing | Fault::Full => step != "write",
                    _ => false,
                };
                assert_eq!(outcome.is_ok(), harmless, "{context}");
                if let Err(error) = &outcome {
                    assert!(matches!(error, SnapshotError::Io { path, .. } if path.ends_with("target")));
                }
                match (harmless || renamed, before) {
                    (true, _) => assert_eq!(load(&target).unwrap(), new, "{context}"),
                    (false, Some(old)) => assert_eq!(&load(&target).unwrap(), old, "{context}"),
                    (false, None) => assert!(!target.exists(), "{context}"),
                }
                let beside = scratch.names().len() - usize::from(target.exists());
                let dies = fault == Fault::Death && ["write", "sync", "rename"].contains(&step);
                let doubt = fault == Fault::Doubt && step == "create";
                assert_eq!(beside, usize::from(dies || doubt), "{context}");
                if beside > 0 {
                    // The next that succeeds removes it.
                    clears(&scratch, &target, &["target"]);
                }
            }
        }
    }
}

#[test]
fn content_that_fails_or_panics_changes_nothing() {
    let scratch = Scratch::new("content");
    let target = scratch.0.join("target");
    fs::write(&target, b"old").unwrap();
    let fails = |out: &mut dyn Write| {
        write_new(out)?;
        Err(io::Error::other("planned"))
    };
    let error = replace(&target, fails).unwrap_err();
    assert!(error.to_string().contains("could not write: planned"), "{error}");
    let panics = catch_unwind(AssertUnwindSafe(|| {
        replace(&target, |out| {
            write_new(out)?;
            panic!("planned");
        })
    }));
    assert!(panics.is_err());
    assert_eq!(load(&target).unwrap(), b"old");
    assert_eq!(scratch.names(), ["target"]);
}

#[test]
fn an_error_that_content_ignores_is_an_error() {
    let scratch = Scratch::new("ignored");
    let target = scratch.0.join("target");
    let disk = Faulty::new(3, Fault::Error);
    let outcome = replace_on(&disk, &target, |out| {
        for piece in new_content() {
            let _ = out.write_all(&piece);
        }
        let _ = out.flush();
        Ok(())
    });
    assert_eq!(disk.steps.borrow()[3], "write");
    assert!(matches!(outcome, Err(SnapshotError::Io { step: "write", .. })), "{outcome:?}");
    // Nothing is written after it, not even by the flush: the piece is longer than the buffer.
    let disk = Faulty::new(2, Fault::Error);
    let outcome = replace_on(&disk, &target, |out| {
        let _ = out.write_all(&[1; BUFFER + 1]);
        Ok(())
    });
    assert_eq!(*disk.steps.borrow(), ["folder", "create", "write", "remove"]);
    assert!(matches!(outcome, Err(SnapshotError::Io { step: "write", .. })), "{outcome:?}");
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn only_files_that_nobody_writes_any_more_are_removed() {
    let scratch = Scratch::new("leftovers");
    let target = scratch.0.join("target");
    let beside = |name: &str| scratch.0.join(name);
    let names = Names::of(&target).unwrap();
    // A writer at work, in this process or another.
    let at_work = names.beside().unwrap();
    let held = System.create(&at_work).unwrap();
    fs::write(beside(".target.0123456789abcdef.tollgate"), b"half").unwrap();
    // Not of this target, or not of this pattern.
    let others = [
        ".other.0123456789abcdef.tollgate",
        ".target.0123456789ABCDEF.tollgate",
        ".target.0123456789abcde.tollgate",
        ".target.0123456789abcdef0.tollgate",
        ".target.0123456789abcdef.tollgate.bak",
        ".target.x.0123456789abcdef.tollgate",
        "target.0123456789abcdef.tollgate",
    ];
    for other in others {
        fs::write(beside(other), b"mine").unwrap();
    }
    fs::create_dir(beside(".target.fedcba9876543210.tollgate")).unwrap();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut kept: Vec<String> = others.map(str::to_owned).to_vec();
    kept.extend([name(&target), name(&at_work), ".target.fedcba9876543210.tollgate".to_owned()]);
    kept.sort();
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    clears(&scratch, &target, &kept);
    // Once the writer is gone, so is its file.
    drop(held);
    let gone = name(&at_work);
    let kept: Vec<&str> = kept.into_iter().filter(|&name| name != gone).collect();
    clears(&scratch, &target, &kept);
}

#[test]
fn a_leftover_that_cannot_be_removed_is_no_failure() {
    let scratch = Scratch::new("stuck");
    let target = scratch.0.join("target");
    fs::write(scratch.0.join(".target.0123456789abcdef.tollgate"), b"half").unwrap();
    let steps = {
        let disk = Faulty::new(0, Fault::None);
        replace_on(&disk, &target, |_| Ok(())).unwrap();
        disk.steps.into_inner()
    };
    assert_eq!(steps, ["folder", "create", "sync", "rename", "sync folder", "remove"]);
    fs::write(scratch.0.join(".target.0123456789abcdef.tollgate"), b"half").unwrap();
    replace_on(&Faulty::new(5, Fault::Error), &target, |_| Ok(())).unwrap();
    assert_eq!(load(&target).unwrap(), b"");
    assert_eq!(scratch.names().len(), 2);
}

#[test]
fn a_writer_whose_file_was_taken_makes_another() {
    /// Takes the first files for leftovers, as another process may between creation and lock.
    struct Taken(Cell<u32>);

    impl Disk for Taken {
        type File = <System as Disk>::File;
        type Folder = <System as Disk>::Folder;

        fn folder(&self, path: &Path) -> io::Result<Self::Folder> {
            System.folder(path)
        }

        fn create(&self, path: &Path) -> io::Result<Self::File> {
            if self.0.get() == 0 {
                return System.create(path);
            }
            self.0.set(self.0.get() - 1);
            Err(ErrorKind::AlreadyExists.into())
        }

        fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<usize> {
            System.write(file, bytes)
        }

        fn sync(&self, file: &Self::File) -> io::Result<()> {
            System.sync(file)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            System.rename(from, to)
        }

        fn sync_folder(&self, folder: &Self::Folder) -> io::Result<()> {
            System.sync_folder(folder)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            System.remove(path)
        }
    }

    let scratch = Scratch::new("taken");
    let target = scratch.0.join("target");
    replace_on(&Taken(Cell::new(ATTEMPTS - 1)), &target, write_new).unwrap();
    assert_eq!(load(&target).unwrap(), new_content().concat());
    let error = replace_on(&Taken(Cell::new(ATTEMPTS)), &target, write_new).unwrap_err();
    assert!(matches!(error, SnapshotError::Io { step: "create a file beside it", .. }), "{error}");
    // One that exists is never written to.
    let error = System.create(&target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(scratch.names(), ["target"]);
}

/// Writers that take each other's files for nothing but what they are: none fails, each file is whole.
#[test]
fn many_writers_of_one_target() {
    let scratch = Scratch::new("many");
    let target = scratch.0.join("target");
    std::thread::scope(|scope| {
        for writer in 0..4u8 {
            let target = &target;
            scope.spawn(move || {
                for round in 0..50 {
                    let content = vec![writer; 10_000 + round];
                    replace(target, |out| out.write_all(&content)).unwrap();
                    let found = load(target).unwrap();
                    assert!(found.len() >= 10_000 && found.iter().all(|&byte| byte == found[0]));
                }
            });
        }
    });
    clears(&scratch, &target, &["target"]);
}

#[test]
fn paths_that_cannot_be_are_errors() {
    let scratch = Scratch::new("paths");
    let step = |path: &Path| match replace(path, |_| Ok(())).unwrap_err() {
        SnapshotError::Io { step, .. } => step,
        other => panic!("{other:?}"),
    };
    for path in ["", "/", "..", "a/.."] {
        assert_eq!(step(Path::new(path)), "find its folder", "{path:?}");
    }
    assert_eq!(step(&scratch.0.join("none").join("target")), "open its folder");
    fs::create_dir(scratch.0.join("folder")).unwrap();
    assert_eq!(step(&scratch.0.join("folder")), "rename the file beside it");
    assert_eq!(scratch.names(), ["folder"]);
    let error = load(&scratch.0.join("missing")).unwrap_err();
    assert!(matches!(&error, SnapshotError::Io { step: "read", .. }), "{error}");
    assert!(error.to_string().contains("missing: could not read: "), "{error}");
}

#[test]
fn names_of_any_length_and_paths_without_a_folder() {
    let scratch = Scratch::new("long");
    let long = "ü".repeat(125);
    let target = scratch.0.join(&long);
    fs::write(scratch.0.join("keep"), b"").unwrap();
    drop(System.create(&Names::of(&target).unwrap().beside().unwrap()).unwrap());
    clears(&scratch, &target, &["keep", &long]);
    assert_eq!(Names::of(Path::new("name")).unwrap().folder, Path::new("."));
}

#[cfg(unix)]
#[test]
fn only_the_user_reads_it() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let scratch = Scratch::new("mode");
    let target = scratch.0.join("target");
    let other = scratch.0.join("other");
    fs::write(&other, b"other").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).unwrap();
    // A link is replaced, what it leads to is left alone.
    symlink(&other, &target).unwrap();
    replace(&target, write_new).unwrap();
    let kind = fs::symlink_metadata(&target).unwrap();
    assert!(kind.is_file());
    assert_eq!(kind.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(&other).unwrap(), b"other");
    // A link that looks like a leftover is not followed.
    symlink(&other, scratch.0.join(".target.0123456789abcdef.tollgate")).unwrap();
    assert!(abandoned(&scratch.0.join(".target.0123456789abcdef.tollgate")).is_none());
    replace(&target, write_new).unwrap();
    assert_eq!(scratch.names().len(), 3);
}

/// Between its creation and its lock.
#[cfg(unix)]
#[test]
fn a_file_that_was_taken_for_a_leftover_is_not_claimed() {
    let scratch = Scratch::new("claimed");
    let path = scratch.0.join("beside");
    let claimed = |file: File| claim(file).map_err(|error| error.kind());
    assert!(claimed(File::create(scratch.0.join("first")).unwrap()).is_ok());
    let new = File::create(&path).unwrap();
    // Whoever removes it has its lock,
    let taken = abandoned(&path).unwrap();
    assert_eq!(claimed(new.try_clone().unwrap()).unwrap_err(), ErrorKind::AlreadyExists);
    // and has removed it once he lets go.
    fs::remove_file(&path).unwrap();
    drop(taken);
    assert_eq!(claimed(new).unwrap_err(), ErrorKind::AlreadyExists);
}
