//! `tollgate lab`, as its users run it.

mod common;

use common::Folder;
use serde_json::Value;

const LOG: &str = include_str!("../demo/access.log");

const COLUMNS: [&str; 10] = [
    "algorithm",
    "admitted",
    "of ideal",
    "wrongly admitted",
    "wrongly refused",
    "worst window",
    "fairness",
    "burstiness",
    "ns/decision",
    "bytes/key",
];

const NAMES: [&str; 6] =
    ["gcra", "token-bucket", "leaky-bucket", "fixed-window", "sliding-counter", "sliding-log"];

fn json(folder: &Folder, options: &str) -> Value {
    let arguments: Vec<_> = ["lab", "--json"].into_iter().chain(options.split_whitespace()).collect();
    let ran = folder.run(&arguments);
    assert_eq!((ran.status, &*ran.err), (0, ""), "{options}");
    serde_json::from_str(&ran.out).unwrap()
}

/// The row of one algorithm.
fn of<'a>(report: &'a Value, name: &str) -> &'a Value {
    let rows = report["algorithms"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

#[test]
fn a_table_says_all_of_every_algorithm() {
    let folder = Folder::new("lab-table");
    let ran = folder.run(&["lab", "--keys", "3", "--duration", "5s"]);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let (header, _) = ran.out.split_once('─').unwrap();
    let mut words = COLUMNS.iter().flat_map(|column| column.split([' ', '/']));
    assert!(words.all(|word| header.contains(word)), "{header}");
    for name in NAMES {
        assert!(
            ran.out.lines().any(|line| line.trim_start().starts_with(&format!("{name} "))),
            "{name}: {}",
            ran.out
        );
    }
    let help = folder.run(&["lab", "--help"]);
    let explained = |column: &str| help.out.contains(&format!("  {column}: "));
    assert!(COLUMNS[1..].iter().all(|column| explained(column)), "{}", help.out);
}

#[test]
fn the_numbers_agree_with_each_other() {
    let folder = Folder::new("lab-json");
    for workload in ["steady", "poisson", "bursts", "flash-crowd"] {
        let report = json(&folder, &format!("--workload {workload} --keys 20 --duration 9s --limit 40"));
        assert_eq!(report["keys"], 20);
        assert_eq!(report["source"]["workload"], workload);
        let (gcra, tokens) = (of(&report, "gcra"), of(&report, "token-bucket"));
        for field in ["admitted", "wrongly_admitted", "worst_window", "burstiness", "fairness"] {
            assert_eq!(gcra[field], tokens[field], "{workload} {field}");
        }
        assert!(gcra["worst_window"].as_u64().unwrap() < 80);
        let log = of(&report, "sliding-log");
        assert_eq!(log["admitted"], report["ideal"]);
        assert_eq!((&log["wrongly_admitted"], &log["wrongly_refused"]), (&0.into(), &0.into()));
        assert_eq!((log["of_ideal"].as_f64(), log["worst_overshoot"].as_f64()), (Some(1.0), Some(1.0)));
        assert_eq!(log["bytes_per_key"], 4 + 8 * 40);
        let fixed = of(&report, "fixed-window");
        assert_eq!(fixed["wrongly_refused"], 0);
        assert!(fixed["worst_window"].as_u64().unwrap() <= 80);
        for name in NAMES {
            let row = of(&report, name);
            assert!(row["admitted"].as_u64() <= report["offered"].as_u64());
            assert!(row["ns_per_decision"].as_f64().unwrap() > 0.0);
            // Nobody is over the limit without having admitted wrongly.
            let over = row["worst_window"].as_u64().unwrap() > 40;
            assert_eq!(over, row["wrongly_admitted"].as_u64().unwrap() > 0, "{workload} {name}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_numbers() {
    let folder = Folder::new("lab-seed");
    let measured = |seed: u32| {
        let mut report =
            json(&folder, &format!("--workload flash-crowd --keys 9 --duration 4s --seed {seed}"));
        for row in report["algorithms"].as_array_mut().unwrap() {
            row.as_object_mut().unwrap().remove("ns_per_decision").unwrap();
        }
        report
    };
    assert_eq!(measured(3), measured(3));
    assert_ne!(measured(3)["offered"], measured(4)["offered"]);
}

#[test]
fn a_burst_is_for_the_buckets() {
    let folder = Folder::new("lab-burst");
    let options = "--limit 50 --per 500ms --keys 4 --duration 5s --workload bursts --burst";
    let (small, large) = (json(&folder, &format!("{options} 5")), json(&folder, &format!("{options} 50")));
    assert_eq!(
        (&small["burst"], &small["limit"], &small["per_ns"]),
        (&5.into(), &50.into(), &500_000_000.into())
    );
    for name in ["gcra", "leaky-bucket"] {
        let admitted = |report: &Value| of(report, name)["admitted"].as_u64().unwrap();
        assert!(admitted(&small) < admitted(&large), "{name}");
    }
    assert_eq!(of(&small, "fixed-window")["admitted"], of(&large, "fixed-window")["admitted"]);
}

#[test]
fn algorithms_are_chosen_and_the_ideal_stays() {
    let folder = Folder::new("lab-chosen");
    let options = "--keys 2 --duration 3s --algorithms fixed-window,gcra,gcra";
    let report = json(&folder, options);
    let names: Vec<_> = report["algorithms"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["fixed-window", "gcra"]);
    assert!(report["ideal"].as_u64().unwrap() > 0);
}

#[test]
fn a_page_holds_table_meanings_and_plots() {
    let folder = Folder::new("lab-page");
    let ran = folder.run(&["lab", "--keys", "2", "--duration", "5s", "--html", "page.html"]);
    assert_eq!((ran.status, &*ran.err), (0, ""));
    assert!(ran.out.contains("sliding-log"), "the table is printed all the same");
    let page = folder.read("page.html");
    assert_eq!(page.matches("<svg").count(), 3);
    for part in COLUMNS[1..].iter().map(|column| format!("<dt>{column}<dd>")).chain(NAMES.map(str::to_owned))
    {
        assert!(page.contains(&part), "{part}");
    }
    assert!(!page.contains("src=") && !page.contains("<script"), "self-contained");
}

#[test]
fn a_recorded_access_log_is_a_trace() {
    let folder = Folder::new("lab-log");
    folder.write("access.log", LOG);
    let trace = "--trace access.log --format combined";
    let report = json(&folder, &format!("{trace} --limit 5 --per 10s"));
    assert_eq!((&report["requests"], &report["offered"]), (&2_000.into(), &2_000.into()));
    let addresses: std::collections::HashSet<_> =
        LOG.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(report["keys"], addresses.len());
    assert!(report["ideal"].as_u64().unwrap() < 2_000);
    assert_eq!(of(&report, "sliding-log")["worst_window"], 5);
    let page = folder.run(&["lab", "--html", "p.html", "--trace", "access.log", "--format", "combined"]);
    assert_eq!(page.status, 0);
    assert!(page.out.contains("2015-05-17 10:05:"), "{}", page.out);
    assert_eq!(folder.read("p.html").matches("<svg").count(), 2);
    let agents = json(&folder, &format!("{trace} --key header-in-quotes:2"));
    assert_ne!(agents["keys"], report["keys"]);
}

#[test]
fn a_json_trace_comes_from_standard_input_too() {
    let folder = Folder::new("lab-stdin");
    let trace = "{\"at\":1,\"key\":\"secret\",\"cost\":3}\nbroken secret\n{\"at\":2,\"key\":\"secret\"}\n";
    let ran = folder.run_with(&["lab", "--trace", "-", "--limit", "3"], trace);
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("line 2: "), "{}", ran.err);
    assert!(ran.out.starts_with("2 requests of 1 keys that cost 4"), "{}", ran.out);
    assert!(ran.out.contains("1 lines could not be read"), "{}", ran.out);
    assert!(!ran.out.contains("secret") && !ran.err.contains("secret"), "{}{}", ran.out, ran.err);
    let empty = folder.run_with(&["lab", "--trace", "-", "--html", "empty.html"], "");
    assert_eq!((empty.status, &*empty.err), (0, ""));
    assert!(empty.out.starts_with("0 requests of 0 keys"), "{}", empty.out);
}

#[test]
fn bad_arguments_say_what_would_be_right() {
    let folder = Folder::new("lab-bad");
    folder.write("t", (0..6).map(|key| format!("{{\"at\":1,\"key\":\"k{key}\"}}\n")).collect::<String>());
    for (arguments, parts) in [
        ("--limit 0", ["--limit", "1 to 1000000"]),
        ("--limit ten", ["--limit", "invalid"]),
        ("--per 1", ["--per", "as in \"300ms\""]),
        ("--per 1us", ["--per", "\"1ms\" to \"30d\""]),
        ("--burst 0", ["--burst", "1 to 1000000"]),
        ("--limit 1 --per 30d --burst 100", ["--burst", "at most 6"]),
        ("--limit 999983 --per 1d --keys 1", ["--burst", "at most "]),
        ("--algorithms gcra,gcrb", ["--algorithms", "sliding-counter"]),
        ("--workload calm", ["--workload", "flash-crowd"]),
        ("--keys 0", ["--keys", "1..=1000000"]),
        ("--keys 100000 --limit 1000", ["--keys", "at most 5000000"]),
        ("--duration soon", ["--duration", "as in \"300ms\""]),
        ("--duration 0s", ["--duration", "at most 1461d"]),
        ("--load -1", ["--load", "above 0"]),
        ("--load=nan", ["--load", "above 0"]),
        ("--limit 1000000 --per 1ms --load 5 --keys 1", ["--load", "at most 0.1"]),
        ("--trace t --keys 5", ["--trace", "--keys"]),
        ("--trace t --load 5", ["--trace", "--load"]),
        ("--format combined", ["--trace", "required"]),
        ("--trace t --key remote_addr", ["--key", "--format combined"]),
        ("--trace t --limit 1000000", ["--limit", "6 keys times a limit of 1000000"]),
        ("--trace none", ["none", "No such file"]),
        ("--html no/such/folder.html", ["no/such/folder.html", "No such file"]),
    ] {
        let arguments: Vec<_> = ["lab"].into_iter().chain(arguments.split(' ')).collect();
        let ran = folder.run(&arguments);
        assert_eq!(ran.status, 2, "{arguments:?}: {}{}", ran.out, ran.err);
        for part in parts {
            assert!(ran.err.contains(part), "{arguments:?}: {part}: {}", ran.err);
        }
    }
    assert_eq!(folder.files(), ["t"], "nothing was written");
}
