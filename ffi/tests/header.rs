//! `include/tollgate.h` is what cbindgen makes of the sources.
//!
//! `TOLLGATE_BLESS=1 cargo test -p tollgate-ffi --test header` writes it anew.

use std::fs;
use std::path::Path;

fn generated(folder: &Path) -> String {
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new().with_crate(folder).with_config(config).generate().unwrap();
    let mut header = Vec::new();
    bindings.write(&mut header);
    laid_out(&String::from_utf8(header).unwrap())
}

/// The same in the layout of a header that is read: comments of one line in one line, no blank lines between constants
/// of one group, and no comments that C89 does not know.
fn laid_out(header: &str) -> String {
    let header = header.replace(" // __cplusplus", " /* __cplusplus */");
    let mut lines: Vec<String> = Vec::new();
    let mut rest = header.lines().peekable();
    while let Some(line) = rest.next() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if line == "TOLLGATE_API" && rest.peek() == Some(&"TOLLGATE_MUST_USE") {
            lines.push(format!("{line} TOLLGATE_MUST_USE"));
            rest.next();
            continue;
        }
        if line.trim() != "/**" {
            lines.push(match line.split_once(" -") {
                // Safe in any expression.
                Some((name, digits)) if name.starts_with("#define ") => format!("{name} (-{digits})"),
                _ => line.into(),
            });
            continue;
        }
        let mut comment = Vec::new();
        for line in rest.by_ref().take_while(|line| line.trim() != "*/") {
            comment.push(line.trim().trim_start_matches('*').trim());
        }
        let one = format!("{indent}/* {} */", comment.join(" "));
        if comment.len() == 1 && one.len() <= 110 {
            let follows = lines.len() >= 2
                && lines[lines.len() - 1].is_empty()
                && lines[lines.len() - 2].starts_with("#define TOLLGATE_")
                && rest.peek().is_some_and(|next| next.starts_with("#define TOLLGATE_"));
            if follows {
                lines.pop();
            }
            lines.push(one);
            continue;
        }
        lines.push(format!("{indent}/* {}", comment[0]));
        lines.extend(comment[1..].iter().map(|line| format!("{indent} * {line}").trim_end().to_owned()));
        let last = lines.len() - 1;
        lines[last].push_str(" */");
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_header_is_generated_from_the_sources() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("../include/tollgate.h");
    let header = generated(folder);
    if std::env::var_os("TOLLGATE_BLESS").is_some() {
        fs::write(&path, &header).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    let differing = checked_in.lines().zip(header.lines()).position(|(old, new)| old != new);
    assert!(
        checked_in == header,
        "include/tollgate.h differs from the sources in line {:?}: run with TOLLGATE_BLESS=1",
        differing.map(|line| line + 1)
    );
}

#[test]
fn every_function_says_from_which_threads_it_may_be_called() {
    let header =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/tollgate.h")).unwrap();
    let (_, functions) = header.split_once("extern \"C\" {\n#endif /* __cplusplus */").unwrap();
    let mut count = 0;
    for function in functions.split("/* ").filter(|item| item.contains("TOLLGATE_API")) {
        assert!(function.contains("Any thread") || function.contains("[exclusive]"), "{function}");
        assert_eq!(function.matches("TOLLGATE_API").count(), 1, "one of these is not documented: {function}");
        count += 1;
    }
    assert!(count >= 30, "{count}");
}
