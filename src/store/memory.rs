//! The words of a store, by offset: a zeroed heap of this process, or memory that the caller lends.
//!
//! The only place of the store that knows addresses. A heap is reserved whole and, as the system hands
//! out zeroed pages on first touch, takes real memory only where words were written.

#![allow(unsafe_code)]

use core::ptr::NonNull;
use std::any::Any;
use std::path::Path;

use crate::error::RegionError;

use crate::sync::Word;

/// Offset of a word, in words.
pub(crate) type At = u32;

/// See the module's comment.
pub(crate) struct Memory {
    /// `words` words, valid, zeroed once, and shared with nobody who changes them but by `Word`, for as
    /// long as `keeper` lives.
    base: NonNull<Word>,
    words: usize,
    /// Frees or unmaps what `base` points to.
    _keeper: Box<dyn Any + Send + Sync>,
}

// SAFETY: the words are atomics, and `keeper` may be dropped by any thread.
unsafe impl Send for Memory {}
// SAFETY: as above; `Memory` hands out nothing but `&Word`.
unsafe impl Sync for Memory {}

impl Memory {
    /// Zeroed words of this process's own; `None` if there is no memory for them.
    pub(crate) fn heap(words: usize) -> Option<Memory> {
        Heap::memory(words)
    }

    /// The same, touched, in huge pages where the system has them.
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn touched_heap(words: usize) -> Option<Memory> {
        let mut map = memmap2::MmapMut::map_anon(words.checked_mul(16)?).ok()?;
        #[cfg(target_os = "linux")]
        {
            // Without huge pages small ones do.
            let _ = map.advise(memmap2::Advice::HugePage);
            if map.advise(memmap2::Advice::PopulateWrite).is_err() {
                touch(&mut map);
            }
        }
        #[cfg(not(target_os = "linux"))]
        touch(&mut map);
        let base = NonNull::new(map.as_mut_ptr())?;
        Some(Memory { base: base.cast(), words, _keeper: Box::new(map) })
    }

    #[cfg(any(loom, shuttle))]
    pub(crate) fn touched_heap(words: usize) -> Option<Memory> {
        Memory::heap(words)
    }

    /// A file, mapped for all processes that map it; made and made larger as needed. Its new bytes are zeros.
    pub(crate) fn file(path: &Path, bytes: u64) -> Result<Memory, RegionError> {
        let io = |error: std::io::Error| RegionError::Io {
            path: path.display().to_string(),
            problem: error.to_string(),
        };
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let present = file.metadata().map_err(io)?.len();
        if present < bytes {
            file.set_len(bytes).map_err(io)?;
        }
        let map = memmap2::MmapRaw::map_raw(&file).map_err(io)?;
        let (start, bytes) = (map.as_mut_ptr(), map.len());
        let damaged = RegionError::TooSmall { bytes: 0, needed: bytes as u64 };
        let start = NonNull::new(start).ok_or(damaged.clone())?;
        // SAFETY: the mapping is read and write, and lives as long as `map`. That other processes change it through
        // 16-byte atomics only is what sharing the file with this library means.
        unsafe { Memory::mapped(start, bytes, Box::new(map)) }.ok_or(damaged)
    }

    /// A file as it is, to be read: what is written to the words stays in this process.
    pub(crate) fn view(path: &Path) -> Result<Memory, RegionError> {
        let io = |error: std::io::Error| RegionError::Io {
            path: path.display().to_string(),
            problem: error.to_string(),
        };
        let file = std::fs::File::open(path).map_err(io)?;
        // SAFETY: a mapping of this process's own, for which pages are copied that are written to. As long as nothing is
        // written the words are those of the file, which others change through 16-byte atomics only.
        let mut map = unsafe { memmap2::MmapOptions::new().map_copy(&file) }.map_err(io)?;
        let bytes = map.len();
        let damaged = RegionError::TooSmall { bytes: 0, needed: bytes as u64 };
        let start = NonNull::new(map.as_mut_ptr()).ok_or(damaged.clone())?;
        // SAFETY: the mapping is read and write, and lives as long as `map`.
        unsafe { Memory::mapped(start, bytes, Box::new(map)) }.ok_or(damaged)
    }

    /// Words in memory that `keeper` maps.
    ///
    /// # Safety
    /// `bytes` bytes from `start` on are valid for reads and writes for as long as `keeper` lives, and changed by nobody
    /// but through 16-byte atomics.
    pub(crate) unsafe fn mapped(
        start: NonNull<u8>,
        bytes: usize,
        keeper: Box<dyn Any + Send + Sync>,
    ) -> Option<Memory> {
        (start.as_ptr().align_offset(64) == 0).then(|| Memory {
            base: start.cast(),
            words: bytes / 16,
            _keeper: keeper,
        })
    }

    #[inline]
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Four words from `at` on.
    ///
    /// # Panics
    /// As [`word`](Memory::word).
    #[inline(always)]
    pub(crate) fn line(&self, at: At) -> &[Word; 4] {
        assert!(at as usize + 4 <= self.words);
        // SAFETY: within the `words` valid words, by the line above; the lifetime is that of `keeper`.
        unsafe { self.base.add(at as usize).cast().as_ref() }
    }

    /// # Panics
    /// `at` is not an offset of this memory: whoever took it from the memory itself has checked it.
    #[inline(always)]
    pub(crate) fn word(&self, at: At) -> &Word {
        assert!((at as usize) < self.words);
        // SAFETY: within the `words` valid words, by the line above; the lifetime is that of `keeper`.
        unsafe { self.base.add(at as usize).as_ref() }
    }
}

/// Writes to every page.
#[cfg(not(any(loom, shuttle)))]
fn touch(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().step_by(4096) {
        // A write that is not left out because it changes nothing.
        // SAFETY: a byte of the slice.
        unsafe { core::ptr::write_volatile(byte, 0) };
    }
}

#[cfg(not(any(loom, shuttle)))]
struct Heap {
    start: NonNull<u8>,
    layout: std::alloc::Layout,
}

#[cfg(not(any(loom, shuttle)))]
// SAFETY: `Heap` does nothing but free the memory, which any thread may do.
unsafe impl Send for Heap {}
#[cfg(not(any(loom, shuttle)))]
// SAFETY: as above.
unsafe impl Sync for Heap {}

#[cfg(not(any(loom, shuttle)))]
impl Heap {
    fn memory(words: usize) -> Option<Memory> {
        // An alignment of no more than a word lets the allocator hand out fresh pages, zeroed on first touch, where
        // a larger one would have it write the zeros. Three words of room bring the first one to a line's start, as
        // groups and lines of cells are to stand on lines.
        let layout = std::alloc::Layout::array::<[u64; 2]>(words.checked_add(4)?).ok()?.align_to(16).ok()?;
        // SAFETY: the layout's size is not 0.
        let start = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })?;
        let heap = Heap { start, layout };
        // SAFETY: at most 48 bytes on, with room for `words` words after that. Zeroed bytes are valid words.
        let base = unsafe { start.add(start.as_ptr().align_offset(64).min(48)) };
        Some(Memory { base: base.cast(), words, _keeper: Box::new(heap) })
    }
}

#[cfg(not(any(loom, shuttle)))]
impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: allocated in `Heap::new` with this layout, and `Memory`, which owns this, is gone.
        unsafe { std::alloc::dealloc(self.start.as_ptr(), self.layout) };
    }
}

#[cfg(any(loom, shuttle))]
struct Heap;

#[cfg(any(loom, shuttle))]
impl Heap {
    fn memory(words: usize) -> Option<Memory> {
        let mut list: Box<Vec<Word>> = Box::new((0..words).map(|_| Word::new(0)).collect());
        let base = NonNull::new(list.as_mut_ptr())?;
        Some(Memory { base, words, _keeper: Box::new(list) })
    }
}
