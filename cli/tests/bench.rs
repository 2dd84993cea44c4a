//! `tollgate bench` with and without the program that it starts.

#[test]
#[cfg(unix)]
fn bench_starts_the_program_beside_it_or_says_how_to_build_it() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    let folder = tempfile::tempdir().unwrap();
    let [tollgate, other] = ["tollgate", "tollgate-bench"].map(|name| folder.path().join(name));
    fs::copy(env!("CARGO_BIN_EXE_tollgate"), &tollgate).unwrap();
    let bench = || Command::new(&tollgate).args(["bench", "--help", "--rounds", "3"]).output().unwrap();

    let ran = bench();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(said.contains("cargo build --release -p tollgate-bench"), "{said}");

    fs::write(&other, "#!/bin/sh\necho \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&other, Permissions::from_mode(0o755)).unwrap();
    let ran = bench();
    assert_eq!(ran.status.code(), Some(7));
    assert_eq!(String::from_utf8(ran.stdout).unwrap(), "--help --rounds 3\n");
}
