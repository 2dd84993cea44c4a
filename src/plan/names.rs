//! What a name may be, and how errors show it.

use crate::error::ApplyError;

const LONGEST: usize = 128;

/// Names of plans, subjects, key ids, limits, units and stages: 1 to 128 bytes without control characters.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), ApplyError> {
    if name.is_empty() || name.len() > LONGEST || name.chars().any(char::is_control) {
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
