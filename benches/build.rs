//! Versions for the report: of every peer, as `Cargo.lock` has them, and of the compiler.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Packages whose versions `src/peers/` states.
const PEERS: [&str; 9] = [
    "dashmap",
    "gcra",
    "governor",
    "limitador",
    "pingora-limits",
    "rate-net",
    "throttlecrab",
    "tokio-rate-limit",
    "tollgate",
];

fn main() {
    let lock = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("../Cargo.lock");
    println!("cargo:rerun-if-changed={}", lock.display());
    let text = fs::read_to_string(&lock).expect("the workspace has a Cargo.lock");
    let lock: toml::Table = text.parse().expect("Cargo.lock is TOML");
    let packages = lock["package"].as_array().expect("Cargo.lock lists packages");
    for peer in PEERS {
        let version = packages
            .iter()
            // A package may be there in several versions: the newest, which is listed last, is the bench's own.
            .rfind(|package| package["name"].as_str() == Some(peer))
            .and_then(|package| package["version"].as_str())
            .unwrap_or_else(|| panic!("{peer} is not in Cargo.lock"));
        println!("cargo:rustc-env=VERSION_{}={version}", peer.replace('-', "_").to_uppercase());
    }
    let rustc = env::var("RUSTC").expect("set by cargo");
    let version = Command::new(rustc).arg("--version").output().expect("the compiler that runs this");
    println!("cargo:rustc-env=VERSION_RUSTC={}", String::from_utf8_lossy(&version.stdout).trim());
}
