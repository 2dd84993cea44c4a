//! `tollgate usage` as its users run it: every form, out of snapshots and of regions that are in use.

mod common;

use common::{Folder, Ran};
use serde_json::{Value, json};
use tollgate::{Capacity, Changes, Clock, Engine, ManualClock, Nanos, Region, Request};

const PLANS: &str = r#"
[plans.gold]
quotas = [
  { name = "daily", limit = 5, per = "day", zone = "Asia/Tokyo" },
  { limit = 100, per = "month" },
]
routes."GET /pets".quotas = [{ limit = 1, per = "day" }]
[plans.one]
quotas = [{ limit = 3, per = "day" }]
[plans.none]
throttle = { rate = "1/s", burst = 1 }
pool.quotas = [{ limit = 1, per = "day" }]
[plans.empty]
quotas = [{ limit = 3, per = "day" }]

[subjects.acme]
plans = ["gold"]
keys = [{ id = "acme-1", value = "k-acme" }, { id = "acme-2", value = "k-acme-2" }]
[subjects."comma, \"quote\""]
plans = ["one"]
keys = [{ id = "c-1", value = "k-comma" }]
[subjects.keyless]
plans = ["one"]
[subjects."zoë 東"]
plans = ["one"]
keys = [{ id = "zoë-1", value = "k-zoe" }]
"#;

/// 2023-11-14T22:13:20Z, in Tokyo the 15th.
const T: u64 = 1_700_000_000_000_000_000;
const DAY: u64 = 86_400_000_000_000;

fn plans() -> Changes {
    Changes::from_toml(PLANS).unwrap()
}

/// What the tests find.
fn traffic(engine: &Engine) {
    let check = |key: &str, at: u64| engine.check_at(&Request::new(key), Nanos::new(at)).is_allowed();
    assert!(check("k-acme", T - DAY) && check("k-acme-2", T - DAY));
    for n in 0..6 {
        assert_eq!(check("k-acme", T), n < 5);
    }
    let pets = Request::new("k-acme").route("GET /pets");
    assert!(!engine.check_at(&pets, Nanos::new(T)).is_allowed());
    assert!(engine.check_at(&Request::new("k-comma").cost(2), Nanos::new(T - DAY)).is_allowed());
    assert!(check("k-zoe", T));
}

/// The plan file and a snapshot that was taken a minute after the traffic.
fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("plans.toml", PLANS);
    let clock = ManualClock::at(Nanos::new(T + 60_000_000_000));
    let engine = Engine::builder().changes(plans()).clock(Clock::Manual(clock)).build().unwrap();
    traffic(&engine);
    engine.save(folder.path("snapshot")).unwrap();
    folder
}

fn usage(folder: &Folder, arguments: &[&str]) -> Ran {
    let common = ["usage", "--plans", "plans.toml", "--snapshot", "snapshot"];
    folder.run(&[&common, arguments].concat())
}

fn answered(ran: Ran) -> String {
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    ran.out
}

#[test]
fn a_table_of_a_week_until_the_snapshot() {
    let folder = folder("usage-table");
    let out = answered(usage(&folder, &["one", "--from", "2023-11-13"]));
    let expected = "\
one: 2023-11-13 to 2023-11-14, as it was at 2023-11-14 22:14:20 UTC
  subject          limit   date         used   remaining   refused  
────────────────────────────────────────────────────────────────────
  comma, \"quote\"   day     2023-11-13      2           1         0  
  comma, \"quote\"   day     2023-11-14      0           3         0  
  keyless          day     2023-11-13      0           3         0  
  keyless          day     2023-11-14      0           3         0  
  zoë 東           day     2023-11-13      0           3         0  
  zoë 東           day     2023-11-14      1           2         0  
";
    assert_eq!(out, expected);
    // A week, of the quota's zone.
    let out = answered(usage(&folder, &["gold", "--limit", "daily"]));
    assert!(out.starts_with("gold: 2023-11-09 to 2023-11-15, as it was at"), "{out}");
    assert_eq!(out.lines().count(), 3 + 7, "{out}");
    let out = answered(usage(&folder, &["gold", "--limit", "month", "--at", "2023-12-02T00:00:00Z"]));
    assert!(out.starts_with("gold: 2023-11-26 to 2023-12-02, as it was at 2023-12-02 00:00:00"), "{out}");
}

#[test]
fn csv_is_quoted_where_it_has_to_be() {
    let folder = folder("usage-csv");
    let options = ["--format", "csv", "--from", "2023-11-13", "--to", "2023-11-14"];
    let out = answered(usage(&folder, &[&["one"], &options[..]].concat()));
    let expected = "\
subject,plan,limit,date,used,remaining,refused
\"comma, \"\"quote\"\"\",one,day,2023-11-13,2,1,0
\"comma, \"\"quote\"\"\",one,day,2023-11-14,0,3,0
keyless,one,day,2023-11-13,0,3,0
keyless,one,day,2023-11-14,0,3,0
zoë 東,one,day,2023-11-13,0,3,0
zoë 東,one,day,2023-11-14,1,2,0
";
    assert_eq!(out, expected);
    // Subjects in the order of the plan file, once each; every quota, each by the days of its own zone.
    let options = ["--format", "csv", "--from", "2023-11-14", "--to", "2023-11-15"];
    let out = answered(usage(&folder, &[&["gold", "acme", "acme"], &options[..]].concat()));
    let expected = "\
subject,plan,limit,date,used,remaining,refused
acme,gold,daily,2023-11-14,2,3,0
acme,gold,daily,2023-11-15,5,0,2
acme,gold,month,2023-11-14,5,93,0
acme,gold,month,2023-11-15,0,93,0
acme,gold,route:GET /pets:day,2023-11-14,0,1,0
acme,gold,route:GET /pets:day,2023-11-15,0,1,0
";
    assert_eq!(out, expected);
    let out = answered(usage(&folder, &["empty", "--format", "csv"]));
    assert_eq!(out, "subject,plan,limit,date,used,remaining,refused\n");
}

#[test]
fn json_is_what_get_usage_answers() {
    let folder = folder("usage-json");
    let get = |arguments: &[&str]| -> Value {
        let options = ["--format", "json", "--from", "2023-11-13", "--to", "2023-11-15"];
        serde_json::from_str(&answered(usage(&folder, &[arguments, &options].concat()))).unwrap()
    };
    let expected = json!({
        "usagePlanId": "one", "startDate": "2023-11-13", "endDate": "2023-11-15",
        "items": {"c-1": [[2, 1], [0, 3], [0, 3]], "zoë-1": [[0, 3], [1, 2], [0, 3]]},
    });
    assert_eq!(get(&["one"]), expected);
    // The same under each key of a subject.
    let expected = json!({
        "usagePlanId": "gold", "startDate": "2023-11-13", "endDate": "2023-11-15",
        "items": {"acme-1": [[0, 5], [2, 3], [5, 0]], "acme-2": [[0, 5], [2, 3], [5, 0]]},
    });
    assert_eq!(get(&["gold", "--limit", "daily"]), expected);
    assert_eq!(get(&["gold", "keyless", "--limit", "month"])["items"], json!({}));
    assert_eq!(get(&["empty"])["items"], json!({}));
}

#[test]
fn what_is_wrong_is_named_with_what_there_is() {
    let folder = folder("usage-errors");
    folder.write("other", "no snapshot");
    let mut damaged = std::fs::read(folder.path("snapshot")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    folder.write("damaged", &damaged);
    folder.write("short", &damaged[..middle]);
    let refused = |arguments: &[&str], parts: &[&str]| {
        let ran = folder.run(&[&["usage", "--plans", "plans.toml"], arguments].concat());
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{arguments:?} {}", ran.err);
        for part in parts {
            assert!(ran.err.contains(part), "{part}: {}", ran.err);
        }
    };
    let of = |arguments: &[&'static str]| [&["--snapshot", "snapshot"], arguments].concat();
    refused(&of(&["gild"]), &["plans.toml: there is no plan \"gild\", only empty, gold, none, one"]);
    refused(
        &of(&["one", "keyless", "acmé"]),
        &["no subject \"acmé\"; on plan \"one\" are comma, \"quote\", keyless, zoë 東"],
    );
    refused(&of(&["empty", "nobody"]), &["no subject \"nobody\"; on plan \"empty\" are nobody"]);
    refused(
        &of(&["gold", "--limit", "hourly"]),
        &["--limit \"hourly\"", "only daily, month, route:GET /pets:day"],
    );
    refused(
        &of(&["gold", "--format", "json"]),
        &["plan \"gold\" has several", "--limit, of daily, month, route:GET /pets:day"],
    );
    refused(&of(&["none"]), &["plan \"none\" has no quota that each subject has for itself"]);
    refused(&of(&["one", "--from", "2023-11-31"]), &["\"2023-11-31\" is not a date"]);
    refused(&of(&["one", "--from", "2023-11-15"]), &["--from 2023-11-15 is later than --to 2023-11-14"]);
    refused(&of(&["one", "--from", "1990-01-01"]), &["from 1990-01-01 to 2023-11-14 is no range"]);
    refused(&of(&["one", "--at", "1969-12-31T00:00:00Z"]), &["--at 1969-12-31T00:00:00Z", "before 1970"]);
    refused(&of(&["one", "--format", "xml"]), &["xml", "csv"]);
    refused(&["--snapshot", "nosuch", "one"], &["nosuch: could not", "No such file"]);
    refused(&["--snapshot", "other", "one"], &["other: it does not begin with the mark"]);
    refused(&["--snapshot", "damaged", "one"], &["damaged: the snapshot is damaged at byte"]);
    refused(&["--snapshot", "short", "one"], &["short: the snapshot is"]);
    refused(&["one"], &["--snapshot", "--region"]);
    refused(&["--snapshot", "snapshot", "--region", "region", "one"], &["cannot be used with"]);
    refused(&["--region", "nosuch", "one"], &["nosuch: No such file"]);
    refused(&["--region", "damaged", "one"], &["damaged: the region does not begin with the mark"]);
    folder.write("zeros", vec![0; 4096]);
    refused(&["--region", "zeros", "one"], &["zeros: there is nothing in the region"]);
    folder.write("nothing", "");
    refused(&["--region", "nothing", "one"], &["nothing: the region has 0 bytes"]);
    assert!(!folder.files().contains(&"nosuch".to_owned()), "it makes no region");
    assert_eq!(folder.read("nothing"), "");
    folder.write("plans.toml", PLANS.replace("limit = 3", "limit = -3"));
    refused(&of(&["one"]), &["plans.toml: ", "limit"]);
}

#[test]
fn plans_that_differ_from_those_of_the_snapshot_apply_as_they_are() {
    let folder = folder("usage-other-plans");
    folder.write(
        "plans.toml",
        PLANS.replace("limit = 3, per", "limit = 10, per") + "[subjects.new]\nplans = [\"one\"]",
    );
    let options = ["one", "--format", "csv", "--from", "2023-11-14"];
    let expected = "\
subject,plan,limit,date,used,remaining,refused
\"comma, \"\"quote\"\"\",one,day,2023-11-14,0,10,0
keyless,one,day,2023-11-14,0,10,0
new,one,day,2023-11-14,0,10,0
zoë 東,one,day,2023-11-14,1,9,0
";
    assert_eq!(answered(usage(&folder, &options)), expected);
}

#[test]
fn peppered_keys_take_their_pepper() {
    let folder = folder("usage-pepper");
    folder.write("pepper", [7; 20]);
    let key = "keys = [{ id = \"p\", hmac = \"old:00000000000000000000000000000000000000000000000000000000000000ff\" }]";
    folder.write("plans.toml", PLANS.replace("[subjects.keyless]", &format!("[subjects.keyless]\n{key}")));
    let options = ["one", "keyless", "--format", "json", "--from", "2023-11-14"];
    let ran = usage(&folder, &options);
    assert!(ran.status == 2 && ran.err.contains("plans.toml: subjects.keyless.keys[0].hmac"), "{}", ran.err);
    let out = answered(usage(&folder, &[&options[..], &["--pepper", "old=file:pepper"]].concat()));
    assert!(out.ends_with("\"items\":{\"p\":[[0,3]]}}\n"), "{out}");
}

#[test]
fn a_region_in_use_is_read_and_stays_as_it_is() {
    let folder = Folder::new("usage-region");
    folder.write("plans.toml", PLANS);
    let capacity = Capacity::new().cells(1_000).lines(100);
    let region = Region::file(folder.path("region"), capacity.region_bytes()).unwrap();
    let clock = Clock::Manual(ManualClock::at(Nanos::new(T)));
    let engine = Engine::attach(region).capacity(capacity).changes(plans()).clock(clock).build().unwrap();
    traffic(&engine);
    let before = std::fs::read(folder.path("region")).unwrap();
    // Nobody may write to it.
    let mut permissions = std::fs::metadata(folder.path("region")).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(folder.path("region"), permissions).unwrap();
    let options = ["--from", "2023-11-13", "--to", "2023-11-14", "--at", "2023-11-14T22:13:20Z"];
    let usage = |plans: &str, plan: &str| {
        let common = ["usage", "--plans", plans, "--region", "region", plan, "--format", "csv"];
        answered(folder.run(&[&common[..], &options].concat()))
    };
    let expected = "\
subject,plan,limit,date,used,remaining,refused
\"comma, \"\"quote\"\"\",one,day,2023-11-13,2,1,0
\"comma, \"\"quote\"\"\",one,day,2023-11-14,0,3,0
keyless,one,day,2023-11-13,0,3,0
keyless,one,day,2023-11-14,0,3,0
zoë 東,one,day,2023-11-13,0,3,0
zoë 東,one,day,2023-11-14,1,2,0
";
    assert_eq!(usage("plans.toml", "one"), expected);
    // Under a plan file with limits, subjects and keys that the processes do not know, and more than there is room for.
    let many: String = (0..200).map(|n| format!("[subjects.s{n}]\nplans = [\"one\"]\n")).collect();
    let other = PLANS.replace("limit = 3, per", "limit = 9, per").replace("k-zoe", "k-other") + &many;
    folder.write(
        "other.toml",
        other.replace(
            "[plans.empty]",
            "[plans.fresh]\nthrottle = { rate = \"1/s\", burst = 9 }\n[plans.empty]",
        ),
    );
    let out = usage("other.toml", "one");
    assert!(out.contains("\nzoë 東,one,day,2023-11-14,1,8,0\n"), "{out}");
    assert!(out.contains("\ns199,one,day,2023-11-14,0,9,0\n"), "{out}");
    // Now, by the region's clock: nothing of the last week.
    let ran = folder.run(&["usage", "--plans", "plans.toml", "--region", "region", "one", "keyless"]);
    assert_eq!(answered(ran).matches(" keyless ").count(), 7);
    let after = std::fs::read(folder.path("region")).unwrap();
    assert!(before == after, "the region's bytes have changed");
    // Those that are attached go on.
    assert!(engine.check_at(&Request::new("k-zoe").cost(2), Nanos::new(T)).is_allowed());
    assert!(!engine.check_at(&Request::new("k-zoe"), Nanos::new(T)).is_allowed());
    assert!(usage("plans.toml", "one").ends_with("\nzoë 東,one,day,2023-11-14,3,0,1\n"));
}
