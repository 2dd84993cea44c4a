//! What stands inside each function of the ABI: pointers are checked, panics contained, errors mapped.

use std::mem::{align_of, size_of};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::memory;
use crate::status::{
    Failure, TOLLGATE_ERR_ARGUMENT, TOLLGATE_ERR_NOMEM, TOLLGATE_ERR_PANIC, TOLLGATE_ERR_VERSION,
};
use crate::types::tollgate_error;

/// Runs a function's body, which gives a status or fails with one.
///
/// An engine may be used after a panic: what it shares between threads changes by compare-and-swap or under locks that
/// are not poisoned.
macro_rules! guard {
    ($body:block) => {
        $crate::guard::contain(|| -> Result<i32, i32> { $body })
    };
    // The same for a body whose failures have words, which are written to `err`.
    ($err:expr => $body:block) => {{
        let contained =
            $crate::guard::contain_described(|| -> Result<i32, $crate::status::Failure> { $body });
        // SAFETY: NULL, or where an error can be written: the caller's promise.
        unsafe { $crate::guard::describe($err, contained) }
    }};
}
pub(crate) use guard;

#[inline(always)]
pub(crate) fn contain(body: impl FnOnce() -> Result<i32, i32>) -> i32 {
    if memory::is_left() { contain_always(body) } else { TOLLGATE_ERR_NOMEM }
}

/// For what frees memory: it is not refused for want of it.
#[inline(always)]
pub(crate) fn contain_always(body: impl FnOnce() -> Result<i32, i32>) -> i32 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(status) | Err(status)) => status,
        Err(payload) => dispose(payload),
    }
}

pub(crate) fn contain_described(body: impl FnOnce() -> Result<i32, Failure>) -> Result<i32, Failure> {
    if !memory::is_left() {
        return Err(TOLLGATE_ERR_NOMEM.into());
    }
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(payload) => Err(Failure::new(
            dispose(payload),
            "",
            "a bug in the library: please report it with what was on stderr",
        )),
    }
}

/// Drops what a panic left behind, whose own drop may panic again.
#[cold]
fn dispose(payload: Box<dyn std::any::Any + Send>) -> i32 {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    TOLLGATE_ERR_PANIC
}

/// Writes what became of a call into the caller's error, if there is one.
pub(crate) unsafe fn describe(err: *mut tollgate_error, result: Result<i32, Failure>) -> i32 {
    let (status, failure) = match result {
        Ok(status) => (status, None),
        Err(failure) => (failure.status, Some(failure)),
    };
    if is_usable(err) {
        // SAFETY: not NULL, aligned, and the caller's promise.
        unsafe { err.write(tollgate_error::of(status, failure.as_ref())) };
    }
    status
}

/// Neither NULL nor misaligned, in one comparison: the low bits of an address become its highest.
#[inline(always)]
pub(crate) fn is_usable<T>(pointer: *const T) -> bool {
    let bits = align_of::<T>().trailing_zeros();
    pointer.addr().rotate_right(bits).wrapping_sub(1) < usize::MAX >> bits
}

/// A value that the caller lends.
#[inline(always)]
pub(crate) unsafe fn input<'a, T>(pointer: *const T) -> Result<&'a T, i32> {
    if !is_usable(pointer) {
        return Err(TOLLGATE_ERR_ARGUMENT);
    }
    // SAFETY: not NULL, aligned, and by the caller's promise a value of this type that stays as it is during the call.
    Ok(unsafe { &*pointer })
}

/// Where an answer is to be written.
#[inline(always)]
pub(crate) fn output<T>(pointer: *mut T) -> Result<*mut T, i32> {
    if is_usable(pointer) { Ok(pointer) } else { Err(TOLLGATE_ERR_ARGUMENT) }
}

/// Elements that the caller lends; NULL stands for none.
pub(crate) unsafe fn array<'a, T>(start: *const T, count: usize) -> Result<&'a [T], i32> {
    if count == 0 {
        return Ok(&[]);
    }
    let fits = count.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= isize::MAX as usize);
    if !is_usable(start) || !fits {
        return Err(TOLLGATE_ERR_ARGUMENT);
    }
    // SAFETY: as in `input`, of `count` values.
    Ok(unsafe { std::slice::from_raw_parts(start, count) })
}

/// A struct of the ABI that begins with `uint32_t struct_size` and may grow at its end; all its bits may be 0.
///
/// # Safety
/// Any bytes that a C program may write are a value of the type, zeros among them; its first field is the size.
pub(crate) unsafe trait Growable: Copy {
    /// Bytes without which it is of no use. More than a pointer has, so that `sizeof pointer` is noticed.
    const LEAST: usize = 16;
}

/// Reads as much of a growable struct as the caller has; what a caller of an older header does not have is 0.
///
/// Who has more than this library knows must have left the rest 0.
pub(crate) unsafe fn growable<T: Growable>(pointer: *const T) -> Result<T, i32> {
    const { assert!(align_of::<T>() >= align_of::<u32>()) };
    if !is_usable(pointer) {
        return Err(TOLLGATE_ERR_ARGUMENT);
    }
    // SAFETY: the first field, which every version has.
    let size = unsafe { pointer.cast::<u32>().read() } as usize;
    // No field is cut in two, but for a length that is 0 then.
    if size < T::LEAST || size > 4 * size_of::<T>() || !size.is_multiple_of(align_of::<T>()) {
        return Err(TOLLGATE_ERR_ARGUMENT);
    }
    let known = size.min(size_of::<T>());
    // SAFETY: `Growable` allows zeros; the caller has `size` bytes, of which `known` are copied.
    let value = unsafe {
        let mut value = std::mem::zeroed::<T>();
        std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut value).cast::<u8>(), known);
        value
    };
    // SAFETY: the caller has `size` bytes.
    let beyond = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known) };
    if beyond.iter().any(|&byte| byte != 0) {
        return Err(TOLLGATE_ERR_VERSION);
    }
    Ok(value)
}

/// Writes back as much of a growable struct as the caller has.
pub(crate) unsafe fn write_growable<T: Growable>(pointer: *mut T, value: &T, size: u32) {
    let known = (size as usize).min(size_of::<T>());
    // SAFETY: the caller has `size` bytes, as `growable` read there.
    unsafe { std::ptr::copy_nonoverlapping((&raw const *value).cast::<u8>(), pointer.cast::<u8>(), known) };
}

/// An argument's name, for an error that says which one it was.
pub(crate) fn named<T>(result: Result<T, i32>, field: &str) -> Result<T, Failure> {
    result.map_err(|status| {
        let problem = match status {
            TOLLGATE_ERR_VERSION => "has fields that this library, older than the header, does not know",
            _ => "is NULL, misaligned, too long, not UTF-8, or of an impossible size",
        };
        Failure::new(status, field, format!("{field}: {problem}"))
    })
}
