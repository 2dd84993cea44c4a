//! API keys: making, hashing and switching them.

use std::ffi::c_void;

use tollgate::{Engine, KeyError, Nanos, SecretKey};

use crate::config::pepper;
use crate::definition;
use crate::engine::handle;
use crate::guard::{guard, input, named, output};
use crate::status::{
    Failure, TOLLGATE_ERR_BUFFER, TOLLGATE_ERR_CONFLICT, TOLLGATE_ERR_EXISTS, TOLLGATE_OK, tollgate_status,
};
use crate::text::{id as bytes, text};
use crate::types::{tollgate_buf, tollgate_engine, tollgate_error, tollgate_key, tollgate_pepper};

/// A buffer that a whole text has to fit into.
unsafe fn buffer<'a>(out: *mut tollgate_buf) -> Result<&'a mut tollgate_buf, i32> {
    let out = output(out)?;
    // SAFETY: not NULL, aligned, and by the caller's promise nobody else's during the call.
    let out = unsafe { &mut *out };
    out.checked()?;
    Ok(out)
}

/// Gives away a secret.
unsafe fn reveal(out: &mut tollgate_buf, secret: SecretKey) -> Result<i32, i32> {
    // SAFETY: `buffer`.
    let stored = secret.reveal(|key| unsafe { out.write(key) });
    if stored { Ok(TOLLGATE_OK) } else { Err(TOLLGATE_ERR_BUFFER) }
}

/// A new API key: `prefix` (letters, digits and '_', at most 89; may be empty), 192 bits from the operating system, a
/// checksum. It is the only copy: hand it out, wipe the buffer, keep its digest. It has 39 characters more than
/// `prefix`; TOLLGATE_ERR_BUFFER, with the length in `out->len`, where they do not fit: nothing is made then.
/// Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_key_generate(
    prefix: *const c_void,
    len: usize,
    out: *mut tollgate_buf,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promises.
        unsafe {
            let (prefix, out) = (named(text(prefix, len), "prefix")?, named(buffer(out), "out")?);
            reveal(out, SecretKey::generate(prefix)?).map_err(Failure::from)
        }
    })
}

/// The digest of an API key (1 to 4096 bytes), as tollgate_key and plan files take it: without `pepper` (NULL) its
/// SHA-256 in 64 digits, else its HMAC-SHA-256 as "NAME:" and 64 digits. Safe to store, as far as keys are generated;
/// keys that people thought up need a pepper. TOLLGATE_ERR_BUFFER as tollgate_key_generate(). Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_key_hash(
    pepper: *const tollgate_pepper,
    key: *const c_void,
    len: usize,
    out: *mut tollgate_buf,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promises.
        unsafe {
            let out = named(buffer(out), "out")?;
            let secret = SecretKey::new(named(bytes(key, len), "key")?)?;
            let digest = match pepper.is_null() {
                true => secret.sha256(),
                false => {
                    let raw = named(input(pepper), "pepper")?;
                    self::pepper(raw)?.hmac(&secret)
                }
            };
            if out.write(digest.as_bytes()) { Ok(TOLLGATE_OK) } else { Err(TOLLGATE_ERR_BUFFER.into()) }
        }
    })
}

/// Gives a subject another key, beside those that it has: `key` as in tollgate_subject, its `state` on unless it is
/// TOLLGATE_KEY_OFF. It stays until tollgate_apply() lists the subject's keys without it.
/// TOLLGATE_ERR_NOT_FOUND (`subject`), TOLLGATE_ERR_EXISTS (the key or its id is in use, or the key was revoked),
/// TOLLGATE_ERR_ARGUMENT names the field; TOLLGATE_ERR_FULL (a region). `err` may be NULL, here and below. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_key_add(
    engine: *mut tollgate_engine,
    subject: *const c_void,
    subject_len: usize,
    key: *const tollgate_key,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promises.
        let (handle, subject, key) = unsafe {
            let handle = named(handle(engine), "engine")?;
            let subject = named(text(subject, subject_len), "subject")?;
            (handle, subject, definition::key(named(input(key), "key")?, "key")?)
        };
        handle.engine.add_key(subject, &key).map_err(|error| match Failure::from(error) {
            taken @ Failure { status: TOLLGATE_ERR_CONFLICT, .. } => Failure { status: TOLLGATE_ERR_EXISTS, ..taken },
            other => other,
        })?;
        Ok(TOLLGATE_OK)
    })
}

unsafe fn switch(
    engine: *mut tollgate_engine,
    key_id: *const c_void,
    len: usize,
    step: fn(&Engine, &str) -> Result<(), KeyError>,
) -> Result<i32, Failure> {
    // SAFETY: the caller's promises.
    let (handle, key_id) = unsafe { (named(handle(engine), "engine")?, named(text(key_id, len), "key_id")?) };
    step(&handle.engine, key_id)?;
    Ok(TOLLGATE_OK)
}

/// Switches the key with this public id on. Usage and buckets are as they were; an expired or revoked key stays what it
/// is. TOLLGATE_ERR_NOT_FOUND. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_key_enable(
    engine: *mut tollgate_engine,
    key_id: *const c_void,
    len: usize,
    err: *mut tollgate_error,
) -> tollgate_status {
    // SAFETY: the caller's promises.
    guard!(err => { unsafe { switch(engine, key_id, len, Engine::enable) } })
}

/// Switches a key off: once this has returned no decision of any thread, or attached process, admits it.
/// TOLLGATE_ERR_NOT_FOUND. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_key_disable(
    engine: *mut tollgate_engine,
    key_id: *const c_void,
    len: usize,
    err: *mut tollgate_error,
) -> tollgate_status {
    // SAFETY: the caller's promises.
    guard!(err => { unsafe { switch(engine, key_id, len, Engine::disable) } })
}

/// Ends a key's life now: TOLLGATE_KEY_EXPIRED. TOLLGATE_ERR_NOT_FOUND. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_key_expire(
    engine: *mut tollgate_engine,
    key_id: *const c_void,
    len: usize,
    err: *mut tollgate_error,
) -> tollgate_status {
    // SAFETY: the caller's promises.
    guard!(err => { unsafe { switch(engine, key_id, len, Engine::expire) } })
}

/// Switches a key off for good. TOLLGATE_ERR_NOT_FOUND. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_key_revoke(
    engine: *mut tollgate_engine,
    key_id: *const c_void,
    len: usize,
    err: *mut tollgate_error,
) -> tollgate_status {
    // SAFETY: the caller's promises.
    guard!(err => { unsafe { switch(engine, key_id, len, Engine::revoke) } })
}

/// Gives a key's subject another key, with the public id `new_id`; usage and limits are the subject's, and so the same
/// for both. Both work for `overlap_ns`, then the old one is revoked; 0: at once. `out` receives the new key, its only
/// copy; give room for 129 characters: with less the answer is TOLLGATE_ERR_BUFFER and nothing has changed.
/// TOLLGATE_ERR_NOT_FOUND, TOLLGATE_ERR_CONFLICT (it is revoked), TOLLGATE_ERR_EXISTS (`new_id`). Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_key_rotate(
    engine: *mut tollgate_engine,
    key_id: *const c_void,
    len: usize,
    new_id: *const c_void,
    new_len: usize,
    overlap_ns: u64,
    now_ns: u64,
    out: *mut tollgate_buf,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promises.
        unsafe {
            let handle = named(handle(engine), "engine")?;
            let (key_id, new_id) = (named(text(key_id, len), "key_id")?, named(text(new_id, new_len), "new_id")?);
            let out = named(buffer(out), "out")?;
            // The longest key has 128 characters: one that was made and did not fit would be lost.
            if out.cap <= 128 {
                out.len = 128;
                if out.cap > 0 {
                    *out.data = 0;
                }
                return Err(TOLLGATE_ERR_BUFFER.into());
            }
            let secret = handle.engine.rotate_at(key_id, new_id, Nanos::new(overlap_ns), handle.at(now_ns))?;
            reveal(out, secret).map_err(Failure::from)
        }
    })
}

/// tollgate_key_rotate() to a key that you made: 1 to 4096 bytes, of the engine's form if it has one. Also
/// TOLLGATE_ERR_EXISTS, where the new key is registered or was ever revoked. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_key_rotate_to(
    engine: *mut tollgate_engine,
    key_id: *const c_void,
    len: usize,
    new_id: *const c_void,
    new_len: usize,
    key: *const c_void,
    key_len: usize,
    overlap_ns: u64,
    now_ns: u64,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promises.
        let (handle, key_id, new_id, key) = unsafe {
            let (key_id, new_id) = (named(text(key_id, len), "key_id")?, named(text(new_id, new_len), "new_id")?);
            (named(handle(engine), "engine")?, key_id, new_id, named(bytes(key, key_len), "key")?)
        };
        let (secret, overlap) = (SecretKey::new(key)?, Nanos::new(overlap_ns));
        handle.engine.rotate_to_at(key_id, new_id, &secret, overlap, handle.at(now_ns))?;
        Ok(TOLLGATE_OK)
    })
}
