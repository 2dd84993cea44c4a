//! Snapshots, by callbacks and in files.

use std::ffi::c_void;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use tollgate::{Engine, Snapshot};

use crate::engine::handle;
use crate::guard::{guard, named};
use crate::memory;
use crate::status::{Failure, TOLLGATE_ERR_IO, TOLLGATE_ERR_NOMEM, TOLLGATE_OK, tollgate_status};
use crate::text::text;
use crate::types::{tollgate_engine, tollgate_error, tollgate_read_fn, tollgate_write_fn};

/// What is read at a time.
const PIECE: usize = 64 << 10;

/// A caller's callback that takes bytes.
struct Sink {
    write: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> i32,
    ctx: *mut c_void,
    /// It is not called again.
    stopped: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What a buffer in front of this still has when it is dropped is for nobody.
        // SAFETY: the caller's promise.
        self.stopped =
            self.stopped || unsafe { (self.write)(self.ctx, bytes.as_ptr().cast(), bytes.len()) } != 0;
        if self.stopped { Err(io::Error::other("your callback stopped")) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads all that a caller's callback gives, and takes it for a snapshot.
pub(crate) unsafe fn read_whole(read: tollgate_read_fn, ctx: *mut c_void) -> Result<Snapshot, Failure> {
    let Some(read) = read else { return Err(Failure::argument("read", "is NULL")) };
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        bytes.try_reserve(PIECE).map_err(|_| Failure::from(TOLLGATE_ERR_NOMEM))?;
        let room = &mut bytes.spare_capacity_mut()[..PIECE];
        let cap = room.len();
        // Zeroed: a callback that says more than it wrote gives zeros.
        room.fill(std::mem::MaybeUninit::new(0));
        // SAFETY: the caller's promise; there are `cap` bytes.
        let got = unsafe { read(ctx, room.as_mut_ptr().cast(), cap) };
        match usize::try_from(got) {
            Ok(0) => {
                // What is read of it takes more than it does.
                memory::expect(bytes.len() as u64 * 8)?;
                return Ok(Snapshot::read(&bytes)?);
            }
            // SAFETY: so many bytes of the spare capacity were written, by the callback or as zeros.
            Ok(got) if got <= cap => unsafe { bytes.set_len(bytes.len() + got) },
            _ => return Err(Failure::new(TOLLGATE_ERR_IO, "read", "read: your callback stopped")),
        }
    }
}

/// What writing a snapshot takes, which lists lines, rows and ids on the way.
fn expect_to_write(engine: &Engine) -> Result<(), i32> {
    let metrics = engine.metrics();
    memory::expect(metrics.lines().0.saturating_mul(128).saturating_add(metrics.ids().saturating_mul(512)))
}

/// Gives a snapshot of what requests have left behind (the state of every limit, the usage log, ids, states of keys) to
/// `write`, piece by piece, while checks go on: a portable format under checksums. Plans, subjects and keys themselves
/// are not in it. `err` may be NULL, here and below. TOLLGATE_ERR_IO. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_snapshot(
    engine: *mut tollgate_engine,
    write: tollgate_write_fn,
    ctx: *mut c_void,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promise.
        let handle = named(unsafe { handle(engine) }, "engine")?;
        let Some(write) = write else { return Err(Failure::argument("write", "is NULL")) };
        expect_to_write(&handle.engine)?;
        let sink = BufWriter::with_capacity(PIECE, Sink { write, ctx, stopped: false });
        let written = handle.engine.write_snapshot(sink);
        written.map_err(|error| Failure::new(TOLLGATE_ERR_IO, "write", format!("write: {error}")))?;
        Ok(TOLLGATE_OK)
    })
}

/// Saves a snapshot in a file: written beside it, synced and renamed, so that whatever happens it is the whole old or
/// the whole new one. `path`: UTF-8. TOLLGATE_ERR_IO. Any thread; it waits for the disk, checks do not.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_snapshot_save(
    engine: *mut tollgate_engine,
    path: *const c_void,
    len: usize,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promises.
        let (handle, path) = unsafe { (named(handle(engine), "engine")?, named(text(path, len), "path")?) };
        expect_to_write(&handle.engine)?;
        handle.engine.save(Path::new(path))?;
        Ok(TOLLGATE_OK)
    })
}

/// Puts back what requests had left behind when `read`'s snapshot of this engine was taken; what came after it is
/// forgotten. To begin a new engine from a snapshot give it to tollgate_create() instead. For an engine that decides
/// nothing meanwhile. TOLLGATE_ERR_CORRUPT, _VERSION, _MISMATCH (it is another engine's), _IO, _NOMEM: nothing has changed
/// then. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_restore(
    engine: *mut tollgate_engine,
    now_ns: u64,
    read: tollgate_read_fn,
    ctx: *mut c_void,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promises.
        let (handle, snapshot) = unsafe { (named(handle(engine), "engine")?, read_whole(read, ctx)?) };
        handle.engine.restore_at(&snapshot, handle.at(now_ns))?;
        Ok(TOLLGATE_OK)
    })
}
