//! What a name may be, and how errors show it.

use crate::error::ApplyError;

pub(super) const LONGEST: usize = 128;

pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control)
}

/// Names of plans, subjects, key ids, limits, units and stages: 1 to 128 bytes without control characters.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), ApplyError> {
    if !is_name(name) {
        let problem = format!("{name:?} is not a name: 1 to {LONGEST} bytes without control characters");
        return Err(ApplyError::invalid(field, problem));
    }
    Ok(())
}

/// A name as a step of a field path.
pub(crate) fn shown(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { name.into() } else { format!("{name:?}") }
}

/// `name` and a number, cut so that it is a name.
#[cfg(feature = "import")]
pub(super) fn numbered(name: &str, number: u64) -> String {
    let end = format!("-{number}");
    let cut = name.floor_char_boundary(LONGEST - end.len());
    format!("{}{end}", &name[..cut])
}
