//! `tollgate plans` as its users run it.

mod common;

use common::Folder;
use serde_json::{Value, json};

const PLANS: &str = r#"
[plans.gold]
stages   = ["pets/prod", "orders/prod"]
throttle = { rate = "10/s", burst = 5 }
quotas   = [
  { name = "daily", limit = 1000, per = "day", zone = "Europe/Berlin" },
  { name = "monthly", limit = 20000, per = "month", start = 14, zone = "Asia/Tokyo" },
  { limit = 7, per = "15m", unit = "tokens" },
  { limit = 1, per = "forever", alerts = [] },
]
[plans.gold.routes."GET /pets"]
throttle = { rate = "1/s", burst = 1, mode = { delay = "300ms" } }
[plans.gold.routes."POST /pets"]
[plans.gold.pool]
quotas   = [{ name = "all-day", limit = 100000, per = "week", start = 1 }]
[plans.dry]
observe = true
[subjects.acme]
plans = ["gold"]
keys  = [{ id = "acme-1", value = "planted" }, { id = "acme-2", hmac = "p:00000000000000000000000000000000000000000000000000000000000000FF" }]
[subjects.dora]
plans = ["gold"]
"#;

#[test]
fn a_plan_file_is_checked() {
    let folder = Folder::new("check");
    folder.write("plans.toml", PLANS);
    let ran = folder.run(&["plans", "check", "plans.toml"]);
    assert_eq!(
        (ran.status, ran.out.as_str(), ran.err.as_str()),
        (0, "ok: 2 plans, 2 subjects, 2 keys\n", "")
    );
    folder.write("plans.json", r#"{"plans": {"a": {}}, "subjects": {}}"#);
    assert_eq!(folder.run(&["plans", "check", "plans.json"]).out, "ok: 1 plan, 0 subjects, 0 keys\n");
    for (text, expected) in [
        ("[plans.a]\n\nlimit = 5\n", "x.toml: line 3: unknown field `limit`"),
        (
            "[plans.a]\nthrottle = { rate = \"1\", burst = 1 }\n",
            "x.toml: plans.a.throttle.rate: \"1\" is not a rate",
        ),
        (
            "[plans.a]\nquotas = [{ limit = 1, per = \"week\", start = 7 }]",
            "quotas[0].start: start 7 is out of range",
        ),
        ("[subjects.a]\nplans = [\"b\"]\n", "subjects.a.plans[0]: there is no plan \"b\""),
        ("[plans.a]\n[plans.b]\n[subjects.s]\nplans = [\"a\", \"b\"]\n", "both cover every stage"),
        (
            "[subjects.s]\nkeys = [{ id = \"k\", sha256 = \"planted\" }]\n",
            "subjects.s.keys[0].sha256: a digest is written as",
        ),
        ("[subjects.s]\nkeys = [{ id = \"k\", value = planted }]\n", "line 2"),
    ] {
        folder.write("x.toml", text);
        let ran = folder.run(&["plans", "check", "x.toml"]);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{text}");
        assert!(ran.err.contains(expected) && !ran.err.contains("planted"), "{}", ran.err);
    }
    let ran = folder.run(&["plans", "check", "nosuch.toml"]);
    assert!(ran.status == 2 && ran.err.contains("nosuch.toml: No such file"), "{}", ran.err);
}

#[test]
fn limits_are_explained_with_their_next_resets() {
    let folder = Folder::new("explain");
    folder.write("plans.toml", PLANS);
    // The clocks of Berlin go forward on 29 March 2026.
    let ran = folder.run(&["plans", "explain", "plans.toml", "gold", "--at", "2026-03-28T12:00:00Z"]);
    let expected = "\
gold: stages pets/prod, orders/prod; enforced
  each subject:
    throttle: at most 5 requests at once, then one every 100 ms; whole again 500 ms after it was used up (rate 10/s, burst 5)
    daily: at most 1,000 requests per day, from midnight in Europe/Berlin; alerts at 80 %, 100 %
      next resets: Sun 2026-03-29 00:00:00 CET (2026-03-28T23:00:00Z), Mon 2026-03-30 00:00:00 CEST (2026-03-29T22:00:00Z), Tue 2026-03-31 00:00:00 CEST (2026-03-30T22:00:00Z)
    monthly: at most 20,000 requests per month, from midnight on day 15 in Asia/Tokyo; alerts at 80 %, 100 %
      next resets: Wed 2026-04-15 00:00:00 JST (2026-04-14T15:00:00Z), Fri 2026-05-15 00:00:00 JST (2026-05-14T15:00:00Z), Mon 2026-06-15 00:00:00 JST (2026-06-14T15:00:00Z)
    15m: at most 7 tokens per 15 min, counted from the beginning of 1970 UTC; alerts at 80 %, 100 %
      next resets: 2026-03-28T12:15:00Z, 2026-03-28T12:30:00Z, 2026-03-28T12:45:00Z
    forever: at most 1 request in all, never reset
  each subject, besides, on GET /pets:
    throttle: at most 1 request at once, then one every 1 s; whole again 1 s after it was used up (rate 1/s, burst 1); a request that would have to wait for at most 300 ms is let through with that delay
  all subjects together, besides:
    all-day: at most 100,000 requests per week, from midnight on Monday in UTC; alerts at 80 %, 100 %
      next resets: 2026-03-30T00:00:00Z, 2026-04-06T00:00:00Z, 2026-04-13T00:00:00Z
  on POST /pets: nothing besides
  2 subjects: acme, dora
";
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (0, expected, ""));
    let ran = folder.run(&["plans", "explain", "plans.toml"]);
    assert!(ran.out.starts_with("dry: every stage; dry run: refuses nothing"), "{}", ran.out);
    assert!(ran.out.contains("\n  no limits\n\ngold: "), "{}", ran.out);
    let ran = folder.run(&["plans", "explain", "plans.toml", "gild"]);
    assert!(ran.status == 2 && ran.err.contains("no plan \"gild\", only dry, gold"), "{}", ran.err);
    for at in ["yesterday", "1969-12-31T23:59:59Z"] {
        assert_eq!(folder.run(&["plans", "explain", "plans.toml", "--at", at]).status, 2);
    }
}

#[test]
fn differences_say_what_becomes_of_consumption() {
    let folder = Folder::new("diff");
    folder.write("old.toml", PLANS);
    // The same in other words.
    let same = PLANS
        .replace("10/s", "600/m")
        .replace("\"300ms\"", "300000000")
        .replace("\"15m\"", "\"900s\", name = \"15m\"")
        .replace("FF\"", "ff\", enabled = true")
        .replace("\"pets/prod\", \"orders/prod\"", "\"orders/prod\", \"pets/prod\"");
    folder.write("same.toml", same);
    let ran = folder.run(&["plans", "diff", "old.toml", "same.toml"]);
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (0, "nothing differs\n", ""));

    let edits = [
        ("[\"pets/prod\", \"orders/prod\"]", "[\"pets/prod\"]"),
        ("rate = \"10/s\", burst = 5", "rate = \"20/s\", burst = 3"),
        ("limit = 1000, per = \"day\"", "limit = 1500, initial_debit = 5, per = \"day\""),
        ("start = 14", "start = 13"),
        ("unit = \"tokens\"", "unit = \"bytes\""),
        ("alerts = []", "alerts = [50]"),
        ("\"POST /pets\"", "\"PUT /pets\""),
        (", mode = { delay = \"300ms\" }", ""),
        ("observe = true", ""),
        ("[subjects.acme]\nplans = [\"gold\"]", "[plans.new]\n[subjects.acme]\nplans = [\"new\"]"),
        ("[{ id = \"acme-1\", value = \"planted\" }, {", "[{ enabled = false, "),
        (
            "[subjects.dora]\nplans = [\"gold\"]",
            "[subjects.dora]\nplans = [\"gold\"]\nkeys = [{ id = \"acme-1\", value = \"planted\" }, { id = \"d\", value = \"planted 2\" }]",
        ),
    ];
    let new = edits.iter().fold(PLANS.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    folder.write("new.toml", new + "[subjects.eve]\n");
    let ran = folder.run(&["plans", "diff", "old.toml", "new.toml"]);
    let expected = "\
~ plan dry: dry run -> enforced
    kept: a dry run counts the same
~ plan gold: stages orders/prod, pets/prod -> pets/prod
    kept: what is used is summed over all stages of the plan, whichever they are
~ plan gold, throttle: rate 10/s -> 20/s
    kept: the debt stays in tokens, refilled at the old rate until the change
~ plan gold, throttle: burst 5 -> 3
    kept: the debt stays, and what exceeds the new burst is forgiven
+ plan gold, 15m: at most 7 bytes per 15 min, counted from the beginning of 1970 UTC; alerts at 80 %, 100 %
    fresh: nothing used
- plan gold, 15m
    no longer applies; its state stays until it is as good as fresh, and is found again if the limit comes back
~ plan gold, daily: limit 1000 -> 1500
    shifted: what is used stays, and the allowance of the present window changes by +500
~ plan gold, daily: initial_debit 0 -> 5
    kept: it holds for those who have not been debited yet
~ plan gold, forever: alerts [] -> [50]
    kept
~ plan gold, monthly: per month (start 14, Asia/Tokyo) -> per month (start 13, Asia/Tokyo)
    shifted: what is used becomes what the usage log has for the days of the new window; without a log it stays until the new window ends
~ plan gold, route GET /pets, throttle: delay 300ms -> none
    kept: only who has to wait is decided otherwise
- plan gold, route POST /pets
    no longer applies; its state stays until it is as good as fresh, and is found again if the limit comes back
+ plan gold, route PUT /pets
    fresh; requests that fell under another pattern fall under this one where it wins
+ plan new
    fresh: everybody on it begins with nothing used
+ subject acme on plan new
    fresh there, unless it was on it before
- subject acme on plan gold
    what it used there stays until it is as good as fresh
~ subject acme, key acme-2: enabled -> disabled
    kept: what the subject used stays as it is
~ subject dora: key acme-1 comes from subject acme
    what it used stays with acme; from now on it uses dora's
+ subject dora, key d
    it shares what the subject used
+ subject eve on none with 0 keys
    fresh: it begins with nothing used
";
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (1, expected, ""));
    let ran = folder.run(&["plans", "diff", "new.toml", "old.toml"]);
    for expected in
        ["- plan new\n", "- subject eve\n", "~ subject dora: lists no keys any more\n", "burst 3 -> 5\n"]
    {
        assert!(ran.status == 1 && ran.out.contains(expected), "{expected}: {}", ran.out);
    }
    // A key that goes.
    folder.write("fewer.toml", PLANS.replace("{ id = \"acme-1\", value = \"planted\" }, ", ""));
    let ran = folder.run(&["plans", "diff", "old.toml", "fewer.toml"]);
    assert_eq!(ran.out, "- subject acme, key acme-1\n    it becomes unknown; what the subject used stays\n");
    assert_eq!(folder.run(&["plans", "diff", "old.toml", "nosuch.toml"]).status, 2);
}

const USAGE_PLANS: &str = r#"{
    "items": [
        {
            "id": "c7y23b", "name": "Gold", "description": "The gold plan\nfor friends", "tags": {"x": "y"},
            "apiStages": [
                {"apiId": "a1", "stage": "prod", "throttle": {
                    "/pets/GET": {"burstLimit": 2, "rateLimit": 0.1},
                    "/pets/{petId}/ANY": {"burstLimit": 20, "rateLimit": 1.25e1},
                    "/files/{proxy+}/GET": {"burstLimit": 9, "rateLimit": 3000000000000001e-9},
                    "/*/*": {"burstLimit": 0, "rateLimit": 5.0},
                    "/a b/GET": {"burstLimit": 1, "rateLimit": 5.0}
                }},
                {"apiId": "f6", "stage": "dev", "throttle": {"/GET": {"burstLimit": 1, "rateLimit": 1}}}
            ],
            "throttle": {"burstLimit": 100, "rateLimit": 50.0},
            "quota": {"limit": 1000, "offset": 2, "period": "WEEK"}
        },
        {"id": "z9", "name": "Gold", "apiStages": [{"apiId": "a1", "stage": "x"}], "throttle": {"burstLimit": 5, "rateLimit": 0.00000001}},
        {"id": "q1", "name": "Silver", "apiStages": [], "quota": {"limit": 5, "offset": 40, "period": "MONTH"}},
        {"id": "d1", "name": "Day", "apiStages": [{"apiId": "a1", "stage": "y"}], "throttle": {"rateLimit": 2.5}, "quota": {"limit": 7, "offset": 0, "period": "DAY"}},
        {"id": "u1", "name": "Open", "apiStages": [{"apiId": "a1", "stage": "z"}], "throttle": {"burstLimit": -1, "rateLimit": -1.0}}
    ]
}"#;

#[test]
fn usage_plans_become_a_plan_file() {
    let folder = Folder::new("usage");
    folder.write("usage.json", USAGE_PLANS);
    let ran = folder.run(&["plans", "import", "usage.json"]);
    let expected = r#"# c7y23b: The gold plan
# for friends
[plans.Gold]
stages = ["a1/prod", "f6/dev"]
throttle = { rate = "50/s", burst = 100 }
quotas = [{ limit = 1000, per = "week", start = 2 }]

[plans.Gold.routes."a1/prod * /*"]
throttle = { rate = "0/s", burst = 1 }

[plans.Gold.routes."a1/prod GET /files/*"]
throttle = { rate = "3000000.000000001/s", burst = 9 }

[plans.Gold.routes."a1/prod GET /pets"]
throttle = { rate = "0.1/s", burst = 2 }

[plans.Gold.routes."a1/prod * /pets/{petId}"]
throttle = { rate = "12.5/s", burst = 20 }

[plans.Gold.routes."f6/dev GET /"]
throttle = { rate = "1/s", burst = 1 }

# q1
[plans.Silver]
quotas = [{ limit = 5, per = "month" }]

# d1
[plans.Day]
stages = ["a1/y"]
throttle = { rate = "2.5/s", burst = 3 }
quotas = [{ limit = 7, per = "day" }]

# u1
[plans.Open]
stages = ["a1/z"]
"#;
    assert_eq!((ran.status, ran.out.as_str()), (0, expected), "{}", ran.err);
    let warnings: Vec<_> = ran.err.lines().collect();
    let expected = [
        "plan \"Gold\": apiStages a1/prod throttle \"/*/*\".burstLimit: 0 admits nothing",
        "plan \"Gold\": apiStages a1/prod throttle \"/a b/GET\": left out: write \"METHOD PATH\"",
        "plan \"Gold\": apiStages a1/prod throttle \"/pets/{petId}/ANY\": a variable in a path",
        "plan \"z9\": name: another plan has it",
        "plan \"z9\": left out: plans.z9.throttle.burst: 5 takes more than 180 days",
        "plan \"Silver\": no apiStages",
        "plan \"Silver\": quota.offset: 40 is out of range for start of a month: 0 to 27",
        "plan \"Day\": throttle.burstLimit: missing: 3",
        "plan \"Open\": throttle: a negative rateLimit or burstLimit",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (told, expected) in warnings.iter().zip(expected) {
        assert!(told.starts_with(&format!("tollgate: usage.json: {expected}")), "{told} is not {expected}");
    }

    let ran =
        folder.run(&["plans", "import", "usage.json", "--out", "plans.json", "--offset", "initial-debit"]);
    assert_eq!((ran.status, ran.out.as_str()), (0, "4 plans: plans.json\n"));
    let plans: Value = serde_json::from_str(&folder.read("plans.json")).unwrap();
    assert_eq!(plans["plans"]["Gold"]["quotas"], json!([{"limit": 1000, "per": "week", "initial_debit": 2}]));
    assert_eq!(folder.run(&["plans", "check", "plans.json"]).out, "ok: 4 plans, 0 subjects, 0 keys\n");
    // What is there is not written over, and warnings may leave nothing.
    let ran = folder.run(&["plans", "import", "usage.json", "--out", "plans.json"]);
    assert!(ran.status == 2 && ran.err.contains("is there already"), "{}", ran.err);
    let ran = folder.run(&["plans", "import", "usage.json", "--out", "none.toml", "--fail-on-warnings"]);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert_eq!(folder.files(), ["plans.json", "usage.json"]);
}

#[test]
fn usage_plans_of_other_forms() {
    let folder = Folder::new("usage-forms");
    let plan = r#"{"id": "a", "name": "A", "apiStages": [{"apiId": "p", "stage": "s"}], "throttle": null}"#;
    let expected = "# a\n[plans.A]\nstages = [\"p/s\"]\n";
    for text in
        [plan.to_owned(), format!("[{plan}]"), format!("{{\"items\": [{plan}], \"NextToken\": null}}")]
    {
        let ran = folder.run_with(&["plans", "import", "-"], &text);
        assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (0, expected, ""));
    }
    let ran =
        folder.run_with(&["plans", "import", "-"], &format!("{{\"items\": [{plan}], \"NextToken\": \"x\"}}"));
    assert!(ran.status == 0 && ran.err.contains("NextToken"), "{}", ran.err);
    for (text, expected) in [
        ("{}", "no `items`"),
        ("", "EOF"),
        ("{\"items\": 5}", "line 1"),
        ("[{\"apiStages\": [{}]}]", "apiId"),
    ] {
        let ran = folder.run_with(&["plans", "import", "-"], text);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{text}");
        assert!(ran.err.contains(expected), "{}", ran.err);
    }
}
