//! `tollgate keys`: API keys on their way in. Keys are read from files and standard input, and shown once, when
//! they are made.

mod edit;
mod generate;
mod hash;
mod import;

use std::process::ExitCode;

use tollgate::view::DigestView;
use tollgate::{Pepper, SecretKey};

use crate::args::KeysCommand;

/// Runs `tollgate keys`.
///
/// # Errors
/// Bad arguments; files that cannot be read, understood or written.
pub fn run(command: &KeysCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeysCommand::Generate(args) => generate::run(args),
        KeysCommand::Hash(args) => hash::run(args),
        KeysCommand::Import(args) => import::run(args),
    }
}

/// A digest as a plan file has it: the field, and its value.
fn field(digest: &DigestView<'_>) -> Option<(&'static str, String)> {
    match digest {
        DigestView::Sha256(digits) => Some(("sha256", digits.clone())),
        DigestView::Hmac { pepper, digits } => Some(("hmac", format!("{pepper}:{digits}"))),
        _ => None,
    }
}

/// The same of a key that is at hand.
fn digest(key: &SecretKey, pepper: Option<&Pepper>) -> (&'static str, String) {
    match pepper {
        Some(pepper) => ("hmac", pepper.hmac(key)),
        None => ("sha256", key.sha256()),
    }
}
