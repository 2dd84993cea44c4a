//! A plan file: TOML, or behind a first byte that is odd JSON. What is read says the same after it was printed, and in
//! the other of the two; an engine takes all of them or none.

use serde_json::Value;
use tollgate::{Capacity, Changes, Engine, Mode, Nanos, Pepper, Request};

use crate::{SECRET, tells};

/// To begin with.
pub const SEEDS: [&[u8]; 4] = [
    b"0[plans.gold]\nstages = [\"pets/prod\"]\nthrottle = [{ rate = \"0.1/250ms\", burst = 2, mode = { delay = \"300ms\" } }, { name = \"t\", rate = \"3/m\", burst = 9, unit = \"tokens\" }]\nquotas = [{ name = \"daily\", limit = 5, per = \"month\", start = 14, zone = \"Asia/Tokyo\", initial_debit = 1, alerts = [80] }]\nobserve = false\nconcurrency = { limit = 2, lease = \"5s\" }\n[plans.gold.routes.\"pets/prod GET /pets/*\"]\nquotas = [{ limit = 1, per = \"15m\" }]\n[plans.gold.pool]\nquotas = [{ limit = 100, per = \"forever\" }]\n[subjects.acme]\nplans = [\"gold\"]\nkeys = [{ id = \"acme-1\", value = \"hunter2-hunter2-hunter2\", enabled = true, expires = \"2027-06-01T00:00:00Z\" }]\n",
    b"0plans.free.throttle = { rate = \"10/s\", burst = 5 }\nplans.w.quotas = [{ limit = 3, per = \"week\", start = 6 }, { limit = 1, per = \"hour\" }]\nsubjects.a.keys = [{ id = \"k\", sha256 = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\", expires = 2027-06-01T00:00:00Z }]\nsubjects.a.plans = [\"free\"]\n",
    b"1{\"plans\":{\"gold\":{\"stages\":[\"pets/prod\"],\"throttle\":{\"rate\":\"10/s\",\"burst\":5},\"quotas\":[{\"name\":\"daily\",\"limit\":18446744073709551615,\"per\":\"day\",\"alerts\":[80,100]}],\"concurrency\":{\"limit\":8,\"lease\":60000000000},\"routes\":{\"* *\":{}},\"pool\":{\"throttle\":[]}},\"x\":null},\"subjects\":{\"acme\":{\"plans\":[\"gold\"],\"keys\":[{\"id\":\"k\",\"value\":\"hunter2-hunter2-hunter2\"},{\"id\":\"h\",\"hmac\":\"p:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"enabled\":false}]}}}",
    b"1{}",
];

const T0: u64 = 1_700_000_000_000_000_000;

/// See the module's comment.
pub fn run(bytes: &[u8]) {
    let Some((&kind, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let read = if kind % 2 == 0 { Changes::from_toml(text) } else { Changes::from_json(text) };
    let openings = ["value = \"", "\"value\":\"", "\"value\": \""];
    let quiet = |error: &dyn std::fmt::Display| {
        let message = error.to_string();
        assert!(!message.is_empty() && !tells(&message, text, &openings), "{message}");
    };
    let changes = match read {
        Ok(changes) => changes,
        Err(error) => return quiet(&error),
    };
    let shown = format!("{:?}", changes.view());
    assert!(!tells(&shown, text, &openings) && !tells(&format!("{changes:?}"), text, &openings), "{shown}");
    let others = if kind % 2 == 0 { of_toml(text) } else { of_json(text) };
    for other in &others {
        assert_eq!(shown, format!("{:?}", other.view()), "printed, it says something else");
    }
    match engine(&changes) {
        Err(error) => {
            quiet(&error);
            let same = |other| engine(other).is_err_and(|again| again.to_string() == error.to_string());
            assert!(others.iter().all(same), "printed, it is not refused alike: {error}");
        }
        Ok(first) => {
            let answers = answers(&first, &changes);
            for other in &others {
                let engine = engine(other).expect("printed, it is refused");
                assert_eq!(answers, self::answers(&engine, other));
            }
        }
    }
}

/// Printed as TOML, and as JSON.
fn of_toml(text: &str) -> Vec<Changes> {
    let table: toml::Table = text.parse().expect("it was read before");
    let printed = toml::to_string(&table).expect("a table can be printed");
    let json = json(&toml::Value::Table(table)).to_string();
    vec![Changes::from_toml(&printed).expect(&printed), Changes::from_json(&json).expect(&json)]
}

/// Printed as JSON, and as TOML where that has all the values.
fn of_json(text: &str) -> Vec<Changes> {
    let value: Value = serde_json::from_str(text).expect("it was read before");
    let printed = value.to_string();
    let mut all = vec![Changes::from_json(&printed).expect(&printed)];
    // There is no null, and no number beyond 63 bits.
    if let Ok(printed) = toml::to_string(&value) {
        all.push(Changes::from_toml(&printed).expect(&printed));
    }
    all
}

fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(is) => (*is).into(),
        toml::Value::Datetime(at) => at.to_string().into(),
        toml::Value::Array(values) => values.iter().map(json).collect(),
        toml::Value::Table(table) => table.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
    }
}

fn engine(changes: &Changes) -> Result<Engine, tollgate::ApplyError> {
    let pepper = Pepper::new("p", vec![7; 16]).expect("a pepper");
    let capacity = Capacity::new().cells(2_000).lines(2_000);
    Engine::builder().capacity(capacity).pepper(pepper).changes(changes.clone()).build()
}

/// What the plans say to a visitor, and to the one key that is known here.
fn answers(engine: &Engine, changes: &Changes) -> Vec<String> {
    let view = changes.view();
    let requests = view.plans.iter().flat_map(|plan| {
        let stage = plan.stages.first().map_or("api/stage", String::as_str);
        let visitor = Request::anonymous(plan.name, "visitor").stage(stage).route("GET /pets/7");
        [visitor, visitor.cost(3), Request::new(SECRET).stage(stage).route("GET /pets/7")]
    });
    let report = |(request, n)| {
        let now = Nanos::new(T0 + n * 1_000_000_007);
        format!("{:?}", engine.report_at(&request, now, Mode::Check))
    };
    requests.zip(0..60u64).map(report).collect()
}
