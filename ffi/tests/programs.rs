//! The C programs of `tests/c`, compiled against the header and run against the library. `.ci/c` runs them under
//! valgrind and sanitizers, too.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The shared library, which cargo does not build for a package's tests.
fn library() -> PathBuf {
    let build =
        ["build", "--package", "tollgate-ffi", "--profile", "test", "--locked", "--message-format=json"];
    let output =
        Command::new(env!("CARGO")).args(build).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let paths = messages.split('"').filter(|text| text.ends_with("libtollgate_ffi.so"));
    paths.map(PathBuf::from).next().expect("a shared library")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[cfg(target_os = "linux")]
fn programs_in_c_find_what_the_header_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = tempfile::tempdir().unwrap();
    std::fs::copy(library(), place.path().join("libtollgate.so")).unwrap();
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    for name in ["layout", "behaviour", "batches", "arguments", "threads", "nomem"] {
        let program = place.path().join(name);
        let mut compile = Command::new(&compiler);
        compile.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-O1"]);
        compile
            .arg("-I")
            .arg(folder.join("../include"))
            .arg(folder.join("tests/c").join(name).with_extension("c"));
        compile.arg("-o").arg(&program).arg("-L").arg(place.path()).args(["-ltollgate", "-lpthread"]);
        run(compile.arg(format!("-Wl,-rpath,{}", place.path().display())));
        run(&mut Command::new(&program));
    }
}
