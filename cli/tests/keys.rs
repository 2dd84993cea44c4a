//! `tollgate keys` as its users run it.

mod common;

use std::collections::{BTreeMap, HashSet};

use common::Folder;
use serde_json::Value;
use tollgate::{Changes, Engine, KeyFormat, Nanos, Pepper, Request, SecretKey, Verdict};

const PLANS: &str = r#"# Ours: do not touch.
[plans.gold]   # the good one
stages = ["pets/prod"]
quotas = [{ limit = 5, per = "day" }]

[plans.silver]
stages = [ "orders/prod" ]

[subjects.acme]
plans = ["gold"]   # for now
keys  = [
  { id = "acme-1", value = "planted-acme-0123456789" },  # by value
]

# The end.
"#;

fn digest(key: &str) -> String {
    SecretKey::new(key).unwrap().sha256()
}

fn verdict(plans: &str, key: &str, stage: &str) -> Verdict {
    let engine = Engine::builder().changes(Changes::from_toml(plans).unwrap()).build().unwrap();
    engine.check_at(&Request::new(key).stage(stage), Nanos::from_secs(1_700_000_000)).verdict()
}

#[test]
fn generated_keys_are_shown_once_and_their_entries_are_of_a_plan_file() {
    let folder = Folder::new("generate");
    let ran = folder.run(&["keys", "generate", "--count", "3", "--subject", "ac me", "--plan", "gold"]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    let keys: Vec<_> = ran.out.lines().collect();
    let format = KeyFormat::new("tg_live_").unwrap();
    assert!(keys.len() == 3 && keys.iter().all(|key| format.matches(key.as_bytes())), "{}", ran.out);
    let plans = format!("[plans.gold]\n\n{}", ran.err);
    for key in keys {
        assert!(!ran.err.contains(&key[8..20]));
        assert_eq!(verdict(&plans, key, "any/stage"), Verdict::Ok);
    }
    // The same into a file.
    let ran =
        folder.run(&["keys", "generate", "--prefix", "x", "--subject", "s", "--id", "k", "--out", "s.toml"]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let text = folder.read("s.toml");
    assert_eq!(
        text,
        format!(
            "[subjects.s]\nplans = []\nkeys = [\n  {{ id = \"k\", sha256 = \"{}\" }},\n]\n",
            digest(ran.out.trim())
        )
    );
    // A file that is there is not written over, and no key is shown in vain.
    let ran = folder.run(&["keys", "generate", "--subject", "s", "--out", "s.toml"]);
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("is there already"), "{}", ran.err);
    assert_eq!((folder.read("s.toml"), folder.files()), (text, vec!["s.toml".into()]));
}

#[test]
fn generated_keys_in_json_and_under_a_pepper() {
    let folder = Folder::new("generate-json");
    folder.write("pepper", "sixteen bytes ok\n");
    let arguments = [
        "keys",
        "generate",
        "--json",
        "--count",
        "2",
        "--id",
        "k",
        "--subject",
        "s",
        "--pepper",
        "p=file:pepper",
    ];
    let ran = folder.run(&arguments);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let pepper = Pepper::new("p", b"sixteen bytes ok".to_vec()).unwrap();
    for (number, line) in ran.out.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        let key = SecretKey::new(line["key"].as_str().unwrap()).unwrap();
        assert_eq!(line["hmac"], pepper.hmac(&key));
        assert_eq!(
            (line["id"].as_str(), line["subject"].as_str()),
            (Some(&*format!("k-{}", number + 1)), Some("s"))
        );
    }
    for (arguments, expected) in [
        (&["--prefix", "tg-"][..], "--prefix: \"tg-\""),
        (&["--count", "0"], "--count"),
        (&["--plan", "gold"], "--subject"),
        (&["--id", ""], "is not a name"),
        (&["--pepper", "p=file:nosuch"], "nosuch"),
    ] {
        let ran = folder.run(&[&["keys", "generate"], arguments].concat());
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.err.contains(expected), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn keys_are_digested_from_standard_input_or_a_file() {
    let folder = Folder::new("hash");
    let keys = "planted-0123456789abcdef\r\n\nplanted two\n";
    let expected = format!(
        "sha256 = \"{}\"\nsha256 = \"{}\"\n",
        digest("planted-0123456789abcdef"),
        digest("planted two")
    );
    let ran = folder.run_with(&["keys", "hash"], keys);
    assert_eq!((ran.status, &ran.out, ran.err.as_str()), (0, &expected, ""));
    folder.write("keys", keys);
    assert_eq!(folder.run(&["keys", "hash", "keys"]).out, expected);
    folder.write("pepper", "sixteen bytes ok");
    let ran = folder.run_with(&["keys", "hash", "--pepper", "p=file:pepper", "-"], "planted-x");
    let pepper = Pepper::new("p", b"sixteen bytes ok".to_vec()).unwrap();
    assert_eq!(ran.out, format!("hmac = \"{}\"\n", pepper.hmac(&SecretKey::new("planted-x").unwrap())));
    // What is digested is what stands there, and no message repeats it.
    let ran = folder.run_with(&["keys", "hash"], " planted \n");
    assert_eq!(ran.out, format!("sha256 = \"{}\"\n", digest(" planted ")));
    assert!(ran.err.contains("line 1: the key begins or ends with white space"), "{}", ran.err);
    let long = format!("a\n{}", "planted".repeat(600));
    for (input, expected) in
        [("", "there is no key"), (&long, "line 2: an API key has 1 to 4096 bytes, this one has 4200")]
    {
        let ran = folder.run_with(&["keys", "hash"], input);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""));
        assert!(ran.err.contains(expected) && !ran.err.contains("planted"), "{}", ran.err);
    }
    // A key on the command line is a file that is not there.
    assert_eq!(folder.run(&["keys", "hash", "a-key"]).status, 2);
}

#[test]
fn an_import_leaves_what_it_does_not_change_as_it_was_written() {
    let folder = Folder::new("import-edit");
    folder.write("plans.toml", PLANS);
    let bob = "planted-bob-0123456789";
    let csv = format!(
        "Name,Key,UsagePlanIds,Enabled\nbob,{bob},\"gold,silver\",\nacme,planted-acme-0123456789,silver,false\n"
    );
    let ran = folder.run_with(&["keys", "import", "-", "--plans", "plans.toml"], &csv);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, "1 imported, 1 overwritten, 0 skipped: plans.toml\n");
    let expected = PLANS
        .replace("[\"gold\"]   # for now", "[\"silver\"]   # for now")
        .replace("0123456789\" }", "0123456789\", enabled = false }")
        .replace("# The end.\n", "")
        + &format!(
            "[subjects.bob]\nplans = [\"gold\", \"silver\"]\nkeys = [{{ id = \"bob\", sha256 = \"{}\" }}]\n\n# The end.\n",
            digest(bob)
        );
    let plans = folder.read("plans.toml");
    assert_eq!(plans, expected);
    assert_eq!(verdict(&plans, bob, "orders/prod"), Verdict::Ok);
    // Once more changes nothing.
    let ran = folder.run_with(&["keys", "import", "-", "--plans", "plans.toml"], &csv);
    assert_eq!(ran.out, "0 imported, 2 overwritten, 0 skipped: plans.toml\n");
    assert_eq!(folder.read("plans.toml"), expected);
}

#[test]
fn an_import_knows_every_form_of_toml() {
    let folder = Folder::new("import-forms");
    let csv =
        "Name,Key,Enabled,UsagePlanIds\na,planted-a-0123456789,false,gold\nb,planted-b-0123456789,,gold\n";
    let new = format!(
        "[subjects.b]\nplans = [\"gold\"]\nkeys = [{{ id = \"b\", sha256 = \"{}\" }}]\n",
        digest("planted-b-0123456789")
    );
    let inline = new.replace("[subjects.b]\n", "").trim_end().replace('\n', ", ");
    for (before, after) in [
        (
            "plans.gold = {}\nsubjects = { a = { keys = [{ id = \"a\", value = \"planted-a-0123456789\" }] } }\n",
            format!("plans.gold = {{}}\nsubjects = {{ a = {{ keys = [{{ id = \"a\", value = \"planted-a-0123456789\", enabled = false }}], plans = [\"gold\"] }}, b = {{ {inline} }} }}\n"),
        ),
        (
            "[plans.gold]\n[[subjects.a.keys]]\nid = \"a\" # it\nvalue = \"planted-a-0123456789\"\nenabled = true # on\n",
            format!("[plans.gold]\n\n[subjects.a]\nplans = [\"gold\"]\n[[subjects.a.keys]]\nid = \"a\" # it\nvalue = \"planted-a-0123456789\"\nenabled = false # on\n\n{new}"),
        ),
        (
            "[plans]\r\ngold={}\r\n\r\n[subjects.a]\r\nplans=[]\r\nkeys=[{value=\"planted-a-0123456789\",id=\"a\"}]\r\n",
            format!("[plans]\ngold={{}}\n\n[subjects.a]\nplans=[\"gold\"]\nkeys=[{{value=\"planted-a-0123456789\",id=\"a\", enabled = false}}]\n\n{new}").replace('\n', "\r\n"),
        ),
    ] {
        folder.write("plans.toml", before);
        let ran = folder.run_with(&["keys", "import", "-", "--plans", "plans.toml"], csv);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""));
        assert_eq!(folder.read("plans.toml"), after);
    }
}

#[test]
fn an_import_into_json_and_under_a_pepper() {
    let folder = Folder::new("import-json");
    folder.write("plans.json", r#"{"subjects":{"z":{"plans":["gold"],"keys":[{"id":"z","value":"planted-z-0123456789"}]}},"plans":{"gold":{}}}"#);
    folder.write("keys.csv", "KEY,NAME,ENABLED\nplanted-z-0123456789,z,false\nplanted-a-0123456789,a,true\n");
    folder.write("pepper", "sixteen bytes ok");
    let arguments = [
        "keys",
        "import",
        "keys.csv",
        "--plans",
        "plans.json",
        "--out",
        "new.json",
        "--pepper",
        "p=file:pepper",
    ];
    let ran = folder.run(&arguments);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let plans: Value = serde_json::from_str(&folder.read("new.json")).unwrap();
    assert_eq!(plans.as_object().unwrap().keys().collect::<Vec<_>>(), ["subjects", "plans"]);
    assert_eq!(plans["subjects"]["z"]["keys"][0]["enabled"], false);
    let pepper = Pepper::new("p", b"sixteen bytes ok".to_vec()).unwrap();
    let hmac = pepper.hmac(&SecretKey::new("planted-a-0123456789").unwrap());
    assert_eq!(plans["subjects"]["a"]["keys"][0]["hmac"], hmac);
    // The digest under the pepper is recognised, and without it nothing is imported in its place.
    let again = ["keys", "import", "keys.csv", "--plans", "new.json"];
    let ran = folder.run(&[&again[..], &["--pepper", "p=file:pepper"]].concat());
    assert_eq!(ran.out, "0 imported, 2 overwritten, 0 skipped: new.json\n");
    let ran = folder.run(&again);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("under the pepper \"p\""), "{}", ran.err);
    let ran = folder.run(&["keys", "import", "keys.csv", "--plans", "new.json", "--out", "new.toml"]);
    assert!(ran.status == 2 && ran.err.contains("JSON stays JSON"), "{}", ran.err);
}

#[test]
fn a_list_that_is_no_list_changes_nothing() {
    let folder = Folder::new("import-broken");
    folder.write("plans.toml", PLANS);
    for (csv, expected) in [
        ("planted-0123456789abcdef,x\n", "no column Name"),
        ("", "no column Name"),
        ("Name,Key,key\n", "Key twice"),
    ] {
        let ran = folder.run_with(&["keys", "import", "-", "--plans", "plans.toml"], csv);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""));
        assert!(ran.err.contains(expected) && !ran.err.contains("planted"), "{}", ran.err);
    }
    folder.write("broken.toml", "[subjects.a]\nkeys = [{ id = \"k\", value = planted }]");
    let ran = folder.run_with(&["keys", "import", "-", "--plans", "broken.toml"], "Name,Key\n");
    assert!(ran.status == 2 && !ran.err.contains("planted"), "{}", ran.err);
    assert_eq!(folder.read("plans.toml"), PLANS);
}

#[test]
fn ids_of_usage_plans_are_those_of_the_plans_that_were_imported() {
    let folder = Folder::new("import-ids");
    folder.write("usage.json", r#"{"items":[{"id":"c7y23b","name":"gold"},{"id":"glvrsr","name":"gold"}]}"#);
    assert_eq!(folder.run(&["plans", "import", "usage.json", "--out", "plans.toml"]).status, 0);
    let csv = "Name,Key,UsagePlanIds\na,planted-a-0123456789,c7y23b\nb,planted-b-0123456789,glvrsr\n";
    let arguments = ["keys", "import", "-", "--plans", "plans.toml", "--usage-plans", "usage.json"];
    let ran = folder.run_with(&arguments, csv);
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("2 imported, 0 overwritten, 0 skipped: plans.toml\n", "")
    );
    let plans = folder.read("plans.toml");
    assert!(plans.contains("plans = [\"gold\"]") && plans.contains("plans = [\"glvrsr\"]"), "{plans}");
}

/// Ten thousand rows, and what must become of them.
struct List {
    csv: String,
    /// Rows of keys that are new, known, and wrong.
    counts: [usize; 3],
    /// Line and column of each warning.
    warnings: Vec<(usize, &'static str)>,
    /// Whether a key is on, by its value.
    keys: BTreeMap<String, bool>,
    /// Of rows that are left out.
    refused: Vec<String>,
}

fn list() -> List {
    let mut list = List {
        csv: "\u{feff}dEsCrIpTiOn,usagePLANids,X,KEY,eNaBlEd,NAME\r\n".into(),
        counts: [0; 3],
        warnings: Vec::new(),
        keys: BTreeMap::new(),
        refused: Vec::new(),
    };
    let mut line = 2;
    for n in 0..10_000 {
        let key = format!("planted-{n:05}-abcdef{}", "x".repeat(n % 100));
        let enabled = n % 3 != 0;
        let mut row = |text: String| {
            let at = line;
            list.csv += &text;
            list.csv += if n % 2 == 0 { "\r\n" } else { "\n" };
            line += 1 + text.matches('\n').count();
            at
        };
        let bad = |key: &str, plans: &str| format!(",{plans},,{key},true,row {n}");
        match n % 50 {
            // Too short: 5 digits. Too long. No ASCII. No name. Neither on nor off. More fields than columns.
            7 => {
                let at = row(bad(&format!("short-{n:05}"), "gold"));
                list.warnings.push((at, "Key"));
            }
            8 => {
                let at = row(bad(&"planted-long".repeat(11), "gold"));
                list.warnings.push((at, "Key"));
            }
            9 => {
                let at = row(bad(&format!("{key}-ümlaut"), "gold"));
                list.warnings.push((at, "Key"));
            }
            10 => {
                let at = row(format!("planted-description,gold,,{key},true,"));
                list.warnings.push((at, "Name"));
            }
            11 => {
                let at = row(format!(",gold,,{key},planted,row {n}"));
                list.warnings.push((at, "Enabled"));
            }
            12 => {
                let at = row(format!(",gold,silver,,{key},true,row {n}"));
                list.warnings.push((at, ""));
            }
            // A plan that is not there: the key is imported all the same.
            13 => {
                let at = row(format!(",\"gold,nosuch\",,{key},{enabled},row {n}"));
                list.warnings.push((at, "UsagePlanIds"));
                list.counts[0] += 1;
                list.keys.insert(key, enabled);
                continue;
            }
            // The same key as that of the row before.
            14 => {
                let known = format!("planted-{:05}-abcdef{}", n - 1, "x".repeat((n - 1) % 100));
                row(format!(",'gold,silver',,{known},{enabled},again {n}"));
                list.counts[1] += 1;
                list.keys.insert(known, enabled);
                continue;
            }
            _ => {
                let about =
                    ["", "plain", "\"a, b\"", "\"line\r\nanother, \"\"quoted\"\"\r\n\"", "'single"][n % 5];
                let plans = ["", "gold", "\"gold,silver\"", "'gold, silver'", "\"'silver'\""][n / 5 % 5];
                let enabled_text = if enabled { ["TRUE", "true"][n % 2] } else { ["False", "FALSE"][n % 2] };
                // Names repeat, with commas in some.
                row(format!("{about},{plans},ignored,{key},{enabled_text},\"name, {}\"", n % 1_000));
                list.counts[0] += 1;
                list.keys.insert(key, enabled);
                continue;
            }
        }
        list.counts[2] += 1;
        list.refused.push(key);
    }
    list
}

#[test]
fn ten_thousand_rows_are_counted_exactly_and_warned_of_by_line() {
    let folder = Folder::new("import-many");
    let list = list();
    folder.write("keys.csv", &list.csv);
    folder.write("plans.toml", PLANS);
    let [imported, overwritten, skipped] = list.counts;
    assert_eq!(imported + overwritten + skipped, 10_000);
    assert_eq!(list.counts, [8_600, 200, 1_200]);

    // All or nothing: the file is the same to the byte, and nothing is beside it.
    let arguments = ["keys", "import", "keys.csv", "--plans", "plans.toml"];
    let ran = folder.run(&[&arguments[..], &["--fail-on-warnings"]].concat());
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("nothing was imported: there would have been 8600 imported, 200 overwritten, 1200 skipped, 1400 warnings"));
    assert_eq!(folder.read("plans.toml"), PLANS);
    assert_eq!(folder.files(), ["keys.csv", "plans.toml"]);
    let before = ran.err;

    let ran = folder.run(&arguments);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(ran.out, "8600 imported, 200 overwritten, 1200 skipped, 1400 warnings: plans.toml\n");
    let told: Vec<&str> = ran.err.lines().collect();
    assert_eq!(told.len(), list.warnings.len());
    for (told, (line, field)) in told.iter().zip(&list.warnings) {
        let expected = match *field {
            "" => format!("tollgate: keys.csv: line {line}: 7 fields under 6 columns"),
            field => format!("tollgate: keys.csv: line {line}: {field}: "),
        };
        assert!(told.starts_with(&expected), "{told} is not {expected}");
    }
    assert!(before.starts_with(&ran.err));

    let plans = folder.read("plans.toml");
    for text in [&ran.out, &ran.err, &before, &plans.replace("planted-acme", "")] {
        assert!(!text.contains("planted"), "a key is told");
    }
    let changes = Changes::from_toml(&plans).unwrap();
    assert_eq!(changes.view().subjects.len(), 1 + list.keys.len());
    let ids: HashSet<_> = changes.view().subjects.iter().map(|subject| subject.name.to_owned()).collect();
    assert!(ids.contains("name, 0") && ids.contains("name, 0-2"));
    let engine = Engine::builder().changes(changes).build().unwrap();
    let state =
        |key: &str| engine.peek_at(&Request::new(key).stage("no/stage"), Nanos::from_secs(1)).verdict();
    for (key, enabled) in &list.keys {
        let expected = if *enabled { Verdict::NoPlanForStage } else { Verdict::KeyDisabled };
        assert_eq!(state(key), expected);
    }
    assert!(list.refused.iter().all(|key| state(key) == Verdict::KeyUnknown));
    let ran = folder.run(&["plans", "check", "plans.toml"]);
    assert_eq!(ran.out, "ok: 2 plans, 8601 subjects, 8601 keys\n");
}
