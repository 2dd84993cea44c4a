//! Which version of the library a program has loaded.

use std::ffi::c_char;

/// Changed with every incompatible change of this header. (Before 1.0 the minor version changes with it.)
pub const TOLLGATE_VERSION_MAJOR: u32 = 0;
/// Raised with every addition to this header.
pub const TOLLGATE_VERSION_MINOR: u32 = 1;
/// Raised with every correction of the library.
pub const TOLLGATE_VERSION_PATCH: u32 = 0;

const NUMBER: u32 =
    TOLLGATE_VERSION_MAJOR * 1_000_000 + TOLLGATE_VERSION_MINOR * 1_000 + TOLLGATE_VERSION_PATCH;

/// Version of the loaded library, as TOLLGATE_VERSION_NUMBER is that of the header. See tollgate_abi_ok().
/// Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn tollgate_version_number() -> u32 {
    NUMBER
}

/// "1.2.3". Static. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn tollgate_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_header_s_version_is_the_package_s() {
        use super::*;
        let text = format!("{TOLLGATE_VERSION_MAJOR}.{TOLLGATE_VERSION_MINOR}.{TOLLGATE_VERSION_PATCH}");
        assert_eq!(text, env!("CARGO_PKG_VERSION"));
    }
}
