//! `tollgate keys hash`: keys to digests.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use tollgate::SecretKey;
use toml_edit::Value;

use super::digest;
use crate::args::HashArgs;
use crate::plan_file;

pub(super) fn run(args: &HashArgs) -> anyhow::Result<ExitCode> {
    let keys = plan_file::read_bytes(&args.keys)?;
    let mut text = String::new();
    let lines = keys.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for (index, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
        let number = index + 1;
        let key = SecretKey::new(line).with_context(|| format!("{}: line {number}", args.keys.display()))?;
        if line.trim_ascii().len() != line.len() {
            eprintln!("tollgate: line {number}: the key begins or ends with white space, which counts");
        }
        let (field, value) = digest(&key, args.pepper.as_ref());
        text += &format!("{field} = {}\n", Value::from(value));
    }
    if text.is_empty() {
        bail!("{}: there is no key: write one a line", args.keys.display());
    }
    io::stdout().lock().write_all(text.as_bytes()).context("standard output")?;
    Ok(ExitCode::SUCCESS)
}
