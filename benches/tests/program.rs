//! The program from outside.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate-bench")).args(arguments).output().expect("the program starts")
}

#[test]
fn a_run_prints_tables_and_writes_json_and_a_page() {
    let folder = std::env::temp_dir().join(format!("tollgate-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [json, html] = ["report.json", "report.html"].map(|name| folder.join(name).display().to_string());
    let cases = ["--case", "1k*", "--case", "latency-1k", "--case", "registered", "--case", "growth-100k"];
    let names = ["tollgate", "tollgate-quotas", "tollgate-pool", "by-hand"];
    let peers = names.map(|name| ["--peer", name]).concat();
    let size = ["--threads", "1,2", "--rounds", "2", "--checks", "2000"];
    let files = ["--json", &json, "--html", &html];
    let output = bench(&[&cases[..], &peers, &size, &files].concat());
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for part in ["all allowed", "with refusals", "time of one check", "first check of every key", "by hand"] {
        assert!(table.contains(part), "{part}: {table}");
    }

    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let speeds = report["speeds"].as_array().unwrap();
    // Four cases begin with 1k, and one is of registered keys; each with one thread and two.
    assert_eq!(speeds.len(), 10);
    for speed in speeds {
        let rows = speed["rows"].as_array().unwrap();
        assert!(rows.len() >= 3, "{speed}");
        for row in rows {
            assert!(row["ns"].as_f64().unwrap() > 0.0, "{speed}");
            assert_eq!(row["rounds"].as_array().unwrap().len(), 2);
        }
    }
    let growth = &report["growths"][0];
    assert!(growth["times"]["worst"].as_u64() >= growth["times"]["p50"].as_u64());
    assert!(growth["bytes_per_key"].as_f64().unwrap() > 16.0, "{growth}");

    let page = std::fs::read_to_string(&html).unwrap();
    // Ten of speed, two of latency, two of growth.
    assert_eq!(page.matches("<svg").count(), 14);
    assert!(!page.contains("src=") && !page.contains("href="), "self-contained");
    assert!(page.contains("DashMap&lt;String"), "names are escaped");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    for (option, there) in [("--case", "1M-zipf"), ("--peer", "governor-tick")] {
        let output = bench(&[option, "nonsense"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains(option) && said.contains("nonsense") && said.contains(there), "{said}");
    }
    let output = bench(&["--list"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("throttlecrab-sharded"));
}
