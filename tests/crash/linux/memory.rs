//! Memory that processes share, at the same address in all of them.

use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::ptr::NonNull;

use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{Whence, lseek};
use tollgate::Region;

/// A mapped file without a name. Forked processes have it at the same address, and engines that are attached to it there
/// go on in them.
pub struct Shared {
    file: File,
    start: NonNull<libc::c_void>,
    bytes: NonZeroUsize,
    /// What [`changed`](Shared::changed) found last.
    seen: Vec<u8>,
    /// Where the file is not a hole, as of so many blocks.
    parts: Vec<Range<usize>>,
    blocks: u64,
}

impl Shared {
    /// Zeros.
    pub fn zeroed(bytes: u64) -> Shared {
        Shared::mapped(NonZeroUsize::new(bytes as usize).unwrap(), None)
    }

    fn mapped(bytes: NonZeroUsize, at: Option<NonNull<libc::c_void>>) -> Shared {
        let file = File::from(memfd_create(c"tollgate", MFdFlags::empty()).unwrap());
        file.set_len(bytes.get() as u64).unwrap();
        let start = map(&file, bytes, at, MapFlags::MAP_SHARED);
        Shared { file, start, bytes, seen: vec![0; bytes.get()], parts: Vec::new(), blocks: 0 }
    }

    /// For one engine, which must not outlive this.
    pub fn region(&self) -> Region {
        // SAFETY: mapped for reads and writes until this is dropped, and all processes change it by engines alone.
        unsafe { Region::from_raw(self.start.cast(), self.bytes.get()) }.unwrap()
    }

    /// Its address and bytes.
    pub fn place(&self) -> (usize, usize) {
        (self.start.as_ptr() as usize, self.bytes.get())
    }

    pub fn holds(&self, address: usize) -> bool {
        let (start, bytes) = self.place();
        (start..start + bytes).contains(&address)
    }

    /// From now on what this process, a forked one, changes is its own business.
    pub fn keep_to_oneself(&self) {
        map(&self.file, self.bytes, Some(self.start), MapFlags::MAP_PRIVATE);
    }

    /// A copy in the place of this memory, for this process, a forked one, and those that it forks.
    pub fn copied(&self) -> Shared {
        let mut copy = Shared::mapped(self.bytes, Some(self.start));
        for part in data(&self.file, self.bytes.get()) {
            let mut bytes = vec![0; part.len()];
            self.file.read_exact_at(&mut bytes, part.start as u64).unwrap();
            copy.file.write_all_at(&bytes, part.start as u64).unwrap();
        }
        copy.changed();
        copy
    }

    /// Whether it has changed since the last look.
    pub fn changed(&mut self) -> bool {
        let blocks = self.file.metadata().unwrap().blocks();
        if blocks != self.blocks {
            (self.parts, self.blocks) = (data(&self.file, self.bytes.get()), blocks);
        }
        let mut changed = false;
        let mut bytes = Vec::new();
        for part in &self.parts {
            bytes.resize(part.len(), 0);
            self.file.read_exact_at(&mut bytes, part.start as u64).unwrap();
            if bytes != self.seen[part.clone()] {
                self.seen[part.clone()].copy_from_slice(&bytes);
                changed = true;
            }
        }
        changed
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `mapped`; engines do not outlive it.
        let _ = unsafe { munmap(self.start, self.bytes.get()) };
    }
}

fn map(
    file: &File,
    bytes: NonZeroUsize,
    at: Option<NonNull<libc::c_void>>,
    how: MapFlags,
) -> NonNull<libc::c_void> {
    let address = at.and_then(|at| NonZeroUsize::new(at.as_ptr() as usize));
    let how = if at.is_some() { how | MapFlags::MAP_FIXED } else { how };
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping, or one in the place of another of the same file type and length, which nothing but
    // engines' 16-byte atomics refers to.
    unsafe { mmap(address, bytes, access, how, file, 0) }.unwrap()
}

/// The parts of a file that were ever touched.
fn data(file: &File, bytes: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut end = 0;
    while let Ok(start) = lseek(file, end, Whence::SeekData) {
        end = lseek(file, start, Whence::SeekHole).unwrap();
        parts.push(start as usize..(end as usize).min(bytes));
    }
    parts
}
